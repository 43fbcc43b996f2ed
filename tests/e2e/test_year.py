"""A year of real readings through all of it: what the README's example does, with and without parts missing."""

import csv
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.e2e.system import ROOT, System
from tests.waiting import until

pytestmark = pytest.mark.e2e

FILE = ROOT / "examples/data/greensboro_hourly.csv"
HOURS = 8760
REPLAY = (
    "replay",
    str(FILE),
    *("--sensor-id", "greensboro", "--every", "1h", "--over", "both"),
    *("--map", "temperature=temperature_c"),
    *("--map", "humidity=relative_humidity_pct"),
    *("--map", "pressure=pressure_hpa"),
)
Values = tuple[float, float, float]


def year() -> list[Values]:
    with FILE.open() as file:
        return [
            (float(row["temperature_c"]), float(row["relative_humidity_pct"]), float(row["pressure_hpa"]))
            for row in csv.DictReader(file)
        ]


def values(reading: dict[str, Any]) -> Values:
    return (reading["temperature"], reading["humidity"], reading["pressure"])


def replay(system: System, *options: str) -> str:
    command = system.command(*REPLAY, *options)
    output, _ = command.communicate(timeout=100)
    assert command.returncode == 0, output
    return output


def stored_year(system: System) -> list[Values]:
    until(lambda: system.count("sensor_readings") >= HOURS, 60)
    rows = system.rows("SELECT * FROM sensor_readings WHERE sensor_id = 'greensboro' ORDER BY time")
    assert len({row["time"] for row in rows}) == len(rows)
    return [values(row) for row in rows]


@contextmanager
def browser(system: System) -> Iterator[list[dict[str, Any]]]:
    """A WebSocket client; what it sees."""
    seen: list[dict[str, Any]] = []
    with connect(system.ws_url, max_queue=None) as socket:
        listening = threading.Thread(target=lambda: seen.extend(map(json.loads, socket)))
        listening.start()
        yield seen
        socket.close()
        listening.join(10)


def test_year_over_http_and_mqtt_is_stored_once_and_seen_once(system: System) -> None:
    with browser(system) as seen:
        replay(system)

        assert stored_year(system) == year()
        latest = system.http.get("/api/v1/sensor/greensboro/latest").json()
        assert values(latest) == year()[-1]
        until(lambda: len(seen) >= HOURS)
    assert Counter(map(values, seen)) == Counter(year())
    assert len({frame["id"] for frame in seen}) == HOURS
    assert system.health()["status"] == "healthy"


def test_rows_sent_twice_are_stored_once(system: System) -> None:
    options = ("--until", system.health()["timestamp"], "--limit", "1500")

    replay(system, *options)
    replay(system, *options)

    until(lambda: system.health()["spool"]["readings"] == 0)
    rows = system.rows("SELECT * FROM sensor_readings WHERE sensor_id = 'greensboro' ORDER BY time")
    assert [values(row) for row in rows] == year()[:1500]


def test_kill_of_the_bridge_amid_the_year_loses_and_doubles_nothing(system: System) -> None:
    command = system.command(*REPLAY)

    for enough in (1500, 3500):
        while system.count("sensor_readings") < enough:
            assert command.poll() is None
        system.kill("bridge")
        system.start("bridge")

    output, _ = command.communicate(timeout=100)
    assert command.returncode == 0, output
    assert stored_year(system) == year()


def test_store_that_is_away_for_the_whole_year_has_all_of_it_afterwards(make_system: Callable[..., System]) -> None:
    system = make_system()
    system.start("mosquitto", "bridge", "http_api")
    system.wait_until(mqtt="connected", bridge="active")
    assert system.health()["status"] == "degraded"

    replay(system)
    system.start("store")
    system.wait_until()

    assert stored_year(system) == year()
    until(lambda: system.health()["status"] == "healthy")
