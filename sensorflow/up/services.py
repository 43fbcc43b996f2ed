"""What ``sensorflow up`` starts, and what each of it is told: its own settings and no other's secrets."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sensorflow.credentials import influx_url, reachable
from sensorflow.settings import LOOPBACK, BridgeSettings, Common, HttpApiSettings, StoreSettings, is_setting, read
from sensorflow.up import broker
from sensorflow.up.broker import Listener

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import SecretStr

    from sensorflow.settings import CompleteSettings, UpSettings


@dataclass(frozen=True)
class Service:
    """One process: how it is started, where, and with which environment."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(repr=False)
    directory: Path | None = None


def services(settings: CompleteSettings) -> list[Service]:
    """All of them, in the order in which they depend on each other; they are ended in the reverse.

    Raises:
        FileNotFoundError: Mosquitto is not installed.
        SystemExit: A setting of one of them is wrong.
    """
    settings.load_kinds()  # one that cannot be used stops the start, not three children again and again
    place = {"DATA_DIR": str(settings.data_dir)}
    store = {"INFLUX_TOKEN": _text(settings.influx_token), "INFLUX_DATABASE": settings.influx_database}
    reach = {
        **place,
        **store,
        "INFLUX_HOST": influx_url(settings),
        **_broker(settings),
        "MQTT_TLS": "false",
    }
    return [
        Service("mosquitto", broker.command(), _environment(Common, {}), broker_directory(settings)),
        _service(
            "store",
            StoreSettings,
            {**place, **store, "STORE_HOST": settings.store_host, "INFLUX_PORT": str(settings.influx_port)},
        ),
        _service("bridge", BridgeSettings, reach | _user("bridge", settings.mqtt_password_bridge)),
        _service(
            "http_api",
            HttpApiSettings,
            {
                **reach,
                **_user("http_api", settings.mqtt_password_http_api),
                "HTTP_HOST": settings.http_host,
                "HTTP_PORT": str(settings.http_port),
                "API_KEY": _text(settings.api_key),
                "API_KEY_WS": _text(settings.api_key_ws),
            },
        ),
    ]


def listeners(settings: UpSettings) -> list[Listener]:
    """Where the broker of `sensorflow up` listens: for all, and for the services alone where they have a port."""
    port = settings.mqtt_services_port
    if port is None:
        return [Listener(settings.mqtt_host, settings.mqtt_port)]
    devices = Listener(settings.mqtt_host, settings.mqtt_port, names_clients=not settings.mqtt_shared_device)
    return [devices, Listener(LOOPBACK, port)]


def prepare_broker(settings: CompleteSettings, listeners: Sequence[Listener]) -> None:
    """Write the broker's files: listeners, access rules and the passwords of our users.

    Raises:
        LossyBrokerError: With options that were added by hand the broker would lose readings.
    """
    passwords = {
        "bridge": _text(settings.mqtt_password_bridge),
        "http_api": _text(settings.mqtt_password_http_api),
        "operator": _text(settings.mqtt_password_operator),
        "device": _text(settings.mqtt_device_password) if settings.mqtt_shared_device else None,
    }
    directory = broker_directory(settings)
    broker.prepare(directory, listeners, passwords)
    broker.check(directory)


def broker_directory(settings: Common) -> Path:
    """Where Mosquitto is started and keeps its sessions and queues."""
    return settings.data_dir / "mosquitto"


def _service(name: str, model: type[Common], own: dict[str, str]) -> Service:
    """A part of ours. Its settings are tried out here, where a wrong one stops the start and not a child."""
    read(model, **{setting.lower(): value for setting, value in own.items()})
    # -P: a directory called "store" where we happen to be started is not ours.
    return Service(name, [sys.executable, "-P", "-m", name], _environment(model, own))


def _environment(model: type[Common], own: dict[str, str]) -> dict[str, str]:
    """Ours without the settings of other services, and with ``own`` in place of whatever was given."""
    wanted = {name.upper() for name in model.model_fields} - own.keys()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not is_setting(name) or name in wanted or name.removesuffix("_FILE") in wanted
    }
    return inherited | own


def _broker(settings: UpSettings) -> dict[str, str]:
    """Where the services reach it."""
    host, port = reachable(settings.mqtt_host), settings.mqtt_port
    if settings.mqtt_services_port is not None:
        host, port = LOOPBACK, settings.mqtt_services_port
    return {"MQTT_HOST": host, "MQTT_PORT": str(port)}


def _user(name: str, password: SecretStr) -> dict[str, str]:
    return {"MQTT_USERNAME": name, "MQTT_PASSWORD": _text(password)}


def _text(secret: SecretStr) -> str:
    return secret.get_secret_value()
