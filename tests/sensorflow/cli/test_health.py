"""``sensorflow health``: what it says of a service that works, and of one that does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from bridge import service as bridge
from sensorflow.cli import app
from sensorflow.cli.health import STATUS_FILE_NAME, bridge_complaint
from tests.e2e.system import System
from tests.sensorflow.cli.conftest import Api

NOW_US = 1_800_000_000_000_000
pytestmark = pytest.mark.usefixtures("no_settings")


def health(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["health", *map(str, arguments)])


def status(**changes: Any) -> dict[str, Any]:
    said = {"state": "running", "time": "2027-01-15T08:00:00Z", "broker": "connected", "spool": {"is_full": False}}
    return said | changes


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (status(), ""),
        ({}, "the bridge has not started yet"),
        (status(time="2027-01-15T07:59:44Z"), "the bridge is running, its last word is 16 s old"),
        (status(time="2027-01-15T08:00:16Z"), "the bridge is running, its last word is -16 s old"),
        (status(state="stopped"), "the bridge is stopped, its last word is 0 s old"),
        (status(broker="disconnected"), "the bridge has no broker"),
        (status(spool={"is_full": True}), "the spool is full"),
    ],
)
def test_bridge_is_judged_by_its_last_status(said: dict[str, Any], complaint: str) -> None:
    assert bridge_complaint(said, NOW_US) == complaint


def test_bridge_and_command_speak_of_the_same_file() -> None:
    assert bridge.STATUS_FILE_NAME == STATUS_FILE_NAME


def test_unreadable_status_is_a_complaint(tmp_path: Path) -> None:
    (tmp_path / STATUS_FILE_NAME).write_text("{")

    done = health("bridge", "--data-dir", tmp_path)

    assert done.exit_code == 1
    assert "bridge-status.json" in done.output


def test_service_that_is_away_is_named_with_its_address(
    monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    port = free_port()
    monkeypatch.setenv("HTTP_PORT", str(port))
    monkeypatch.setenv("HTTP_HOST", "0.0.0.0")

    done = health("http-api")

    assert done.exit_code == 1
    assert f"http://127.0.0.1:{port}/api/v1/health: " in done.output
    assert "refused" in done.output


def test_service_is_asked_directly_whatever_proxy_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int], api: Api
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("INFLUX_PORT", str(api.port))

    done = health("store")

    assert f"http://127.0.0.1:{api.port}/health answered 501" in done.output


@pytest.mark.e2e
def test_each_service_says_when_it_works_and_why_it_does_not(tmp_path: Path) -> None:
    system = System(tmp_path)
    data = ("--data-dir", system.settings.data_dir)
    before = health("bridge", *data)
    system.start()
    try:
        system.wait_until()
        working = [health(service, *data).exit_code for service in ("bridge", "http-api", "store")]
        system.stop("bridge")
        stopped = health("bridge", *data)
        system.kill("mosquitto")
        system.wait_until(mqtt="disconnected")
        without_broker = health("http-api", *data)
    finally:
        system.stop_all()

    assert "has not started yet" in before.output
    assert working == [0, 0, 0]
    assert (stopped.exit_code, "the bridge is stopped" in stopped.output) == (1, True)
    assert (without_broker.exit_code, "answered 503" in without_broker.output) == (1, True)
    assert json.dumps("disconnected") in without_broker.output
    with pytest.raises(httpx.TransportError):
        httpx.get(system.url)
