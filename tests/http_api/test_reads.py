import re

import httpx
import pytest

from tests.http_api.processes import KEY, Api, StandIn
from tests.http_api.requests import HOSTILE_IDS, READING, assert_problem, latest
from tests.waiting import until


def raw_latest(api: Api, encoded: str) -> httpx.Response:
    url = httpx.URL(api.url, raw_path=f"/api/v1/sensor/{encoded}/latest".encode())
    return httpx.get(url, headers={"X-API-Key": KEY})


def test_ping_answers_as_the_firmware_expects_it(api: Api) -> None:
    response = httpx.get(f"{api.url}/api/v1/ping")

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "message": "SensorFlow API is running"}


def test_health_answers_as_monitoring_expects_it(api: Api) -> None:
    response = httpx.get(f"{api.url}/api/v1/health")

    health = response.json()
    assert list(health)[:5] == ["status", "timestamp", "version", "services", "uptime_seconds"]
    assert list(health["services"].items()) == [
        ("influxdb", "disconnected"),
        ("websocket_manager", "active"),
        ("mqtt", "connected"),
        ("bridge", "active"),
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", health["timestamp"])
    assert isinstance(health["uptime_seconds"], int)
    assert (response.status_code, health["status"]) == (200, "degraded")


def test_latest_is_the_reading_that_was_just_answered_with_201(api: Api) -> None:
    record = api.post("temperature_reading", READING | {"sensor_id": "just-now"}).json()

    response = latest(api, "just-now")

    assert response.status_code == 200
    assert response.json() == record
    assert list(response.json()) == list(record)


def test_latest_is_the_newest_by_time_not_by_arrival(api: Api) -> None:
    newer = api.post("temperature_reading", READING | {"sensor_id": "late"}).json()
    hour_ago = (newer["id"] - 3_600_000_000) / 1e6
    api.post("temperature_reading", READING | {"sensor_id": "late", "time": hour_ago})

    assert latest(api, "late").json()["id"] == newer["id"]


def test_latest_shows_what_came_over_mqtt(api: Api, bridge: StandIn) -> None:
    bridge.announce(("vat", "mqtt-1", 1_755_354_645_123_456, {"level": 3.5, "is_open": False}))

    record = until(lambda: (answer := latest(api, "mqtt-1", "vat")).status_code == 200 and answer.json())

    assert {"id": 1_755_354_645_123_456, "level": 3.5, "is_open": False, "client_ip": None}.items() <= record.items()
    assert (record["date_recorded"], record["time_recorded"]) == ("2025-08-16", "23:30:45")


def test_latest_without_store_is_503_when_nothing_is_known(api: Api) -> None:
    assert_problem(latest(api, "never-seen"), 503, "store")


def test_latest_without_the_key_is_401(api: Api) -> None:
    assert_problem(httpx.get(f"{api.url}/api/v1/sensor/a/latest"), 401)


@pytest.mark.parametrize("sensor_id", HOSTILE_IDS, ids=ascii)
def test_latest_of_a_hostile_sensor_id_is_422(api: Api, sensor_id: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in sensor_id.encode())

    response = raw_latest(api, encoded)

    problem = assert_problem(response, 422)
    assert problem["errors"][0]["field"] == "sensor_id"


@pytest.mark.parametrize("raw", ["%ff", "%c0%af", "%", "%zz", "a%2Fb", "%00", "%2e%2e%2f"])
def test_latest_of_a_badly_encoded_sensor_id_is_4xx(api: Api, raw: str) -> None:
    response = raw_latest(api, raw)

    assert response.status_code in (404, 422)


def test_latest_of_an_unknown_kind_is_422_and_the_known_ones_are_named(api: Api) -> None:
    assert_problem(latest(api, "a", "vats"), 422, "vats", "temperature_reading, telemetry, vat")


def test_the_document_names_every_route_and_nothing_else(api: Api) -> None:
    document = httpx.get(f"{api.url}/openapi.json").json()

    assert set(document["paths"]) == {
        "/api/v1/temperature_reading",
        "/api/v1/telemetry",
        "/api/v1/vat",
        "/api/v1/readings",
        "/api/v1/readings/line-protocol",
        "/api/v1/sensor/{sensor_id}/latest",
        "/api/v1/sensor/{sensor_id}/history",
        "/api/v1/history",
        "/api/v1/sensors",
        "/api/v1/stats",
        "/api/v1/health",
        "/api/v1/ping",
        "/metrics",
        "/openapi.json",
        "/asyncapi.json",
        "/docs",
        "/redoc",
        "/asyncapi",
    }
    for path, methods in document["paths"].items():
        for method in methods:
            response = api.client.request(method, path.replace("{sensor_id}", "any"))
            assert str(response.status_code) in methods[method]["responses"], f"{method} {path}: {response.text}"
