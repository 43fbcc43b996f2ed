"""What /metrics says of a whole system."""

import pytest

from tests.e2e.system import System
from tests.http_api.requests import READING
from tests.http_api.test_metrics import samples, value
from tests.waiting import until

pytestmark = pytest.mark.e2e


def test_every_accepted_reading_is_somewhere_at_each_scrape(system: System) -> None:
    accepted = stored = 0.0
    scrapes = 0
    for number in range(200):
        system.http.post("/api/v1/temperature_reading", json=READING | {"sensor_id": f"s{number % 7}"})
        found = samples(system.http.get("/metrics").text)
        if ("sensorflow_readings_accepted_total", frozenset()) not in found:
            continue
        scrapes += 1
        accepted, stored, spooled, dead = (
            value(found, f"sensorflow_readings_{name}")
            for name in ("accepted_total", "stored", "spooled", "dead_letters_total")
        )
        assert accepted == stored + spooled + dead
    assert scrapes > 100

    until(lambda: value(samples(system.http.get("/metrics").text), "sensorflow_readings_stored") == 200, 20)
    found = samples(system.http.get("/metrics").text)
    assert value(found, "sensorflow_commit_readings_sum") == 200
    assert value(found, "sensorflow_bridge_memory_bytes") > 10_000_000
    assert value(found, "sensorflow_bridge_store_up") == value(found, "sensorflow_store_up") == 1
