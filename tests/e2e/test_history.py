"""What was posted is found again: each reading once, whichever way it is asked for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.system import System
from tests.waiting import until

pytestmark = pytest.mark.e2e

SENSORS, TIMES = 7, 20


def test_every_reading_is_found_once_whichever_way_it_is_asked_for(system: System) -> None:
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)
    sent = [
        {"sensor_id": f"hall-{sensor}", "time": (began + timedelta(minutes=n)).isoformat(), "temperature": n / 2}
        for n in range(TIMES)
        for sensor in range(SENSORS)  # all at the same times
    ]
    ids = {
        (posted["id"], posted["sensor_id"])
        for posted in (_posted(system, reading | {"humidity": 50, "pressure": 1000}) for reading in sent)
    }
    until(lambda: system.count("sensor_readings") == len(sent))

    for query in ({"limit": 1 + SENSORS // 2}, {"limit": 50, "order": "desc"}, {"limit": 9, "prefix": "hall-"}):
        found = _followed(system, **query)
        assert len(found) == len(sent)
        assert {(row["id"], row["sensor_id"]) for row in found} == ids
    lines = system.http.get("/api/v1/history", params={"format": "csv"}).text.splitlines()
    assert len(lines) == len(sent) + 1
    bins = _followed(system, every="10m", agg="count", limit=5)
    assert sum(row["temperature"] for row in bins) == len(sent)

    sensors = system.http.get("/api/v1/sensors").json()["sensors"]
    assert [each["sensor_id"] for each in sensors] == [f"hall-{n}" for n in range(SENSORS)]
    assert {each["kinds"]["temperature_reading"]["values"]["temperature"] for each in sensors} == {(TIMES - 1) / 2}
    assert system.http.get("/api/v1/stats").json()["last_hour"] == len(sent)


def _posted(system: System, reading: dict[str, Any]) -> dict[str, Any]:
    answer = system.post("temperature_reading", reading)
    assert answer.status_code == 201, answer.text
    record: dict[str, Any] = answer.json()
    return record


def _followed(system: System, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = system.http.get("/api/v1/history", params=query | cursor)
        assert answer.status_code == 200, answer.text
        found += answer.json()["rows"]
        if answer.json()["next"] is None:
            return found
        cursor = {"cursor": answer.json()["next"]}
