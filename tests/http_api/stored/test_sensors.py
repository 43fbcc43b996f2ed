"""The directory of sensors and the statistics, by a real store and a live feed on the other side."""

import time
from typing import Any

import httpx
import pytest

from sensorflow.reading import timestamp
from tests.http_api.processes import Api, StandIn
from tests.http_api.requests import HOSTILE_IDS, READING, assert_problem
from tests.store.store_process import StoreProcess
from tests.waiting import until

OLD_US = 1_755_345_600_000_000


@pytest.fixture(scope="module", autouse=True)
def written(store: StoreProcess) -> None:
    lines = [
        f"sensor_readings,sensor_id=hall-{n} temperature={n}.5,humidity=1.0,pressure=2.0 {OLD_US + age}"
        for n in range(5)
        for age in (n, 1_000_000, 0)
    ]
    lines.append(f'telemetry,sensor_id=hall-1 first_seen=1.5,state="on" {OLD_US + 7_000_000}')
    assert store.write("\n".join(lines)).status_code == 204


def sensors(api: Api, **query: object) -> list[dict[str, Any]]:
    response = api.client.get("/api/v1/sensors", params={name: str(value) for name, value in query.items()})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["sensors"]
    return found


def test_a_sensor_is_listed_with_its_first_and_last_reading(api: Api) -> None:
    answer = api.client.get("/api/v1/sensors", params={"prefix": "hall-1"}).json()

    assert (answer["active_within_s"], answer["is_complete"], answer["next"]) == (300, True, None)
    assert answer["sensors"] == [
        {
            "sensor_id": "hall-1",
            "active": False,
            "inactive_since": "2025-08-16T12:00:07.000Z",
            "first_seen": "2025-08-16T12:00:00.000Z",
            "last_seen": "2025-08-16T12:00:07.000Z",
            "kinds": {
                "temperature_reading": {
                    "first_seen": "2025-08-16T12:00:00.000Z",
                    "last_seen": "2025-08-16T12:00:01.000Z",
                    "id": OLD_US + 1_000_000,
                    "values": {"temperature": 1.5, "humidity": 1.0, "pressure": 2.0},
                },
                "telemetry": {
                    "first_seen": "2025-08-16T12:00:07.000Z",
                    "last_seen": "2025-08-16T12:00:07.000Z",
                    "id": OLD_US + 7_000_000,
                    "values": {"first_seen": 1.5, "state": "on"},
                },
            },
        }
    ]


def test_a_sensor_that_sends_is_active(api: Api, bridge: StandIn) -> None:
    sensors(api)
    now_us = time.time_ns() // 1000
    bridge.announce(("telemetry", "hall-3", now_us, {"rpm": 9.0}), ("vat", "brand-new", now_us, {"level": 1.0}))

    (moved,) = until(lambda: [each for each in sensors(api, prefix="hall-3") if each["active"]])
    (new,) = sensors(api, prefix="brand-new")

    assert (moved["inactive_since"], moved["last_seen"]) == (None, timestamp(now_us))
    assert moved["first_seen"] == "2025-08-16T12:00:00.000Z"
    assert moved["kinds"]["telemetry"]["values"] == {"rpm": 9.0}
    assert (new["first_seen"], list(new["kinds"])) == (timestamp(now_us), ["vat"])
    assert "hall-3" not in [each["sensor_id"] for each in sensors(api, inactive_for="1h")]
    assert "hall-2" in [each["sensor_id"] for each in sensors(api, inactive_for="1h")]
    (silent,) = sensors(api, prefix="hall-3", kind="temperature_reading")
    assert silent["inactive_since"] == "2025-08-16T12:00:01.000Z"


def test_pages_have_each_sensor_once(api: Api) -> None:
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.client.get("/api/v1/sensors", params={"prefix": "hall-", "limit": "2"} | cursor).json()
        names += [each["sensor_id"] for each in answer["sensors"]]
        if answer["next"] is None:
            break
        cursor = {"cursor": answer["next"]}

    assert names == [f"hall-{n}" for n in range(5)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"kind": "nonsense"}, "kind"),
        ({"inactive_for": "-1h"}, "inactive_for"),
        ({"inactive_for": "0s"}, "inactive_for"),
        ({"active_within": "99999999w"}, "active_within"),
        ({"limit": "1001"}, "limit"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_wrong_parameter_is_422_and_named(api: Api, query: dict[str, str], field: str) -> None:
    problem = assert_problem(api.client.get("/api/v1/sensors", params=query), 422)

    assert [each["field"] for each in problem["errors"]] == [field]


@pytest.mark.parametrize("text", HOSTILE_IDS, ids=ascii)
def test_hostile_text_is_422_wherever_it_stands(api: Api, text: str) -> None:
    coded = "".join(f"%{byte:02X}" for byte in text.encode())

    for name in ("kind", "prefix", "inactive_for", "active_within", "limit", "cursor"):
        url = httpx.URL(api.url, raw_path=f"/api/v1/sensors?{name}={coded}".encode())
        assert_problem(api.client.get(url), 422)


def test_readings_are_counted(api: Api, bridge: StandIn) -> None:
    before = api.client.get("/api/v1/stats").json()
    now_us = time.time_ns() // 1000

    bridge.announce(*(("telemetry", f"s{n}", now_us + n, {"rpm": 1.0}) for n in range(3)))
    bridge.announce(("temperature_reading", "s", now_us, dict.fromkeys(list(READING)[:3], 1.0)))

    def stats() -> dict[str, Any]:
        answer: dict[str, Any] = api.client.get("/api/v1/stats").json()
        return answer

    after = until(lambda: (found := stats())["total"] == before["total"] + 4 and found)
    assert after["kinds"]["telemetry"]["last_minute"] >= 3
    assert after["last_hour"] >= after["last_minute"] >= 4
    assert after["total"] == sum(each["total"] for each in after["kinds"].values())
    assert after["since"] == before["since"] <= before["timestamp"]


def test_without_the_key_it_is_401(api: Api) -> None:
    assert_problem(httpx.get(f"{api.url}/api/v1/sensors"), 401)
    assert_problem(httpx.get(f"{api.url}/api/v1/stats"), 401)
