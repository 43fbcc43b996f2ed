"""Which settings reach which service in the compose files, against the settings that there are."""

import re
from pathlib import Path
from typing import Any

import pytest

from sensorflow.settings import (
    SECRETS,
    BoardSettings,
    BridgeSettings,
    Common,
    ComposeSettings,
    HttpApiSettings,
    UpSettings,
    is_setting,
)
from tests.compose.stack import ROOT, fixed, passed_on, variables

ENV_EXAMPLE = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

# Fixed inside, whatever they are outside, or without a meaning there.
INSIDE = {
    "DATA_DIR",
    "HTTP_HOST",
    "HTTP_PORT",
    "INFLUX_HOST",
    "KEYS_DIR",
    "MQTT_CA_FILE",
    "MQTT_HOST",
    "MQTT_PORT",
    "MQTT_TLS",
}
OWN_USER = {"MQTT_USERNAME"}  # the default is the service's own


def test_every_variable_is_a_setting_and_in_env_example(stack_name: str, services: dict[str, Any]) -> None:
    names = {name for name, _ in variables(stack_name)} | set().union(*map(passed_on, services.values()))

    assert {name.removesuffix("_FILE") for name in names} <= ENV_EXAMPLE
    assert all(map(is_setting, names))


def test_defaults_are_those_of_the_settings(stack_name: str) -> None:
    fields = UpSettings.model_fields | ComposeSettings.model_fields
    # Here each device gets a user of its own; for development one wants to see more.
    other = {("MQTT_SHARED_DEVICE", "false"), ("LOG_LEVEL", "DEBUG")}

    for name, default in set(variables(stack_name)) - other:
        known = fields[name.lower()].default
        assert (Path(default) if isinstance(known, Path) else default) == (
            known if isinstance(known, Path) else str(known)
        ), name


@pytest.mark.parametrize(("name", "model"), [("bridge", BridgeSettings), ("http_api", HttpApiSettings)])
def test_every_setting_of_a_service_reaches_it(plain: dict[str, Any], name: str, model: type[Common]) -> None:
    settings = {field.upper() for field in model.model_fields}

    given = {setting.removesuffix("_FILE") for setting in fixed(plain[name])}

    assert passed_on(plain[name]) == settings - INSIDE - OWN_USER - SECRETS
    assert given - INSIDE == settings & SECRETS


def test_init_gets_every_secret_that_may_be_given_and_its_file(plain: dict[str, Any]) -> None:
    secrets = {field.upper() for field in UpSettings.model_fields} & SECRETS

    assert passed_on(plain["init"]) >= secrets | {f"{name}_FILE" for name in secrets}


def test_the_simulator_gets_what_a_board_has(plain: dict[str, Any]) -> None:
    needed = {field.upper() for field in BoardSettings.model_fields} - {field.upper() for field in Common.model_fields}

    assert {name.removesuffix("_FILE") for name in plain["simulator"]["environment"]} == needed
