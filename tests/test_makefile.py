"""What exists twice: Makefile, README, CONTRIBUTING.md, .ci/run, .env.example, and the code that they speak of."""

import re
import subprocess
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from sensorflow import settings

ROOT = Path(__file__).parents[1]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def example() -> list[tuple[str, str]]:
    """Name and value of every setting in .env.example."""
    return re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)


@pytest.mark.parametrize("text", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_every_make_command_that_is_written_down_exists(text: str) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)\b", (ROOT / text).read_text(), re.MULTILINE))

    assert named <= targets()


def test_ci_runs_the_readmes_test_command_and_the_proof() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-2:] == ["make test", "make prove"]


def test_make_without_a_target_lists_them_all() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert set(re.findall(r"^make ([a-z-]+)", listed, re.MULTILINE)) == targets()


def test_makefile_needs_no_newer_make_than_macos_has() -> None:
    text = (ROOT / "Makefile").read_text()

    assert not re.search(r"\.ONESHELL|\.RECIPEPREFIX|!=|\$\((file|guile|let|intcmp) |::=|&:", text)


def test_env_example_has_every_setting_once() -> None:
    names = [name for name, _ in example()]

    assert sorted(names) == sorted(settings.EVERY_SETTING)


def test_env_example_sets_nothing_by_being_copied() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize(("name", "value"), example())
def test_env_example_shows_the_default(name: str, value: str) -> None:
    fields = [model.model_fields[name.lower()] for model in settings.MODELS if name.lower() in model.model_fields]
    defaults = [field.default for field in fields if not field.is_required() and field.default not in {None, ""}]

    if name == "MQTT_USERNAME" or not defaults:  # each service has its own user name
        assert value == ""
    else:
        assert [TypeAdapter(type(default)).validate_python(value) for default in defaults] == defaults
