"""The boards' scripts, run by CPython with modules that do on a socket what MicroPython's do."""

import sys
from pathlib import Path

import pytest

from tests.e2e.system import System
from tests.examples.conftest import Start
from tests.examples.outage import sends_through_an_outage
from tests.examples.sketch import EXAMPLES, configured

pytestmark = pytest.mark.e2e

BOARD = Path(__file__).parent / "micropython" / "board.py"


def run(start: Start, directory: Path, name: str, **settings: str | int) -> None:
    script = directory / name
    script.write_text(configured((EXAMPLES / "micropython" / name).read_text(), **settings))
    start(sys.executable, "-u", BOARD, script)


def test_over_http_nothing_is_lost_while_the_server_is_away(system: System, tmp_path: Path, start: Start) -> None:
    run(start, tmp_path, "http_board.py", URL=system.url, API_KEY=system.key, SENSOR_ID="pico-http", EVERY_MS=100)

    sends_through_an_outage(system, "pico-http", "http_api")


def test_over_mqtt_nothing_is_lost_while_the_broker_is_away(system: System, tmp_path: Path, start: Start) -> None:
    run(
        start,
        tmp_path,
        "mqtt_board.py",
        SERVER="127.0.0.1",
        PORT=system.settings.mqtt_port,
        PASSWORD=system.settings.mqtt_device_password.get_secret_value(),
        SENSOR_ID="pico-mqtt",
        EVERY_MS=100,
    )

    sends_through_an_outage(system, "pico-mqtt", "mosquitto")
