import json
import socket
from datetime import UTC, datetime, timedelta

import pytest

from tests.http_api.processes import KEY_WS, Api, StandIn, silence
from tests.http_api.requests import HOSTILE_IDS, READING, assert_problem


def test_a_reading_is_answered_as_the_firmware_expects_it(api: Api, bridge: StandIn) -> None:
    response = api.post("temperature_reading", READING)

    assert response.status_code == 201
    record = response.json()
    expected = ["id", "temperature", "humidity", "pressure", "date_recorded", "time_recorded", "sensor_id", "client_ip"]
    assert list(record)[:8] == expected
    moment = datetime.fromtimestamp(record["id"] / 1e6, UTC)
    assert abs(moment - datetime.now(UTC)) < timedelta(seconds=5)
    in_tokyo = moment + timedelta(hours=9)
    assert (record["date_recorded"], record["time_recorded"]) == (f"{in_tokyo:%Y-%m-%d}", f"{in_tokyo:%H:%M:%S}")
    assert record["client_ip"] == "127.0.0.1"
    assert "durable" not in record


def test_the_bridge_gets_the_body_as_it_came_with_time_and_address(api: Api, bridge: StandIn) -> None:
    body = b' {"sensor_id":"s-1", "temperature":1.50,"humidity":2,"pressure":3e0}\n'

    record = api.post("temperature_reading", body).json()

    topic, payload, properties = bridge.received[0]
    assert (topic, payload) == ("sensors/s-1/temperature_reading", body)
    assert properties == {"received_us": str(record["id"]), "client_ip": "127.0.0.1"}


def test_the_id_is_the_one_that_the_bridge_gave(api: Api, bridge: StandIn) -> None:
    bridge.outcome = lambda _, received_us: received_us + 1

    record = api.post("temperature_reading", READING).json()

    assert record["id"] == int(bridge.received[0][2]["received_us"]) + 1


def test_a_time_of_the_devices_own_is_kept(api: Api) -> None:
    moment = datetime.now(UTC) - timedelta(hours=1)

    record = api.post("temperature_reading", READING | {"time": moment.isoformat()}).json()

    assert datetime.fromtimestamp(record["id"] / 1e6, UTC) == moment


def test_ids_increase_strictly(api: Api) -> None:
    ids = [api.post("temperature_reading", READING).json()["id"] for _ in range(20)]

    assert ids == sorted(set(ids))


def test_a_rejection_by_the_bridge_is_422_with_its_detail(api: Api, bridge: StandIn) -> None:
    bridge.outcome = lambda *_: {"reason": "bad_time", "detail": "time: yesterday was full"}

    problem = assert_problem(api.post("temperature_reading", READING), 422, "time: yesterday was full")

    assert problem["reason"] == "bad_time"


def test_without_a_receipt_it_is_202_and_says_so(api: Api, bridge: StandIn) -> None:
    bridge.outcome = silence

    response = api.post("temperature_reading", READING)

    assert response.status_code == 202
    assert response.json()["durable"] is False
    assert response.json()["id"] == int(bridge.received[0][2]["received_us"])


def test_a_kind_of_the_users_own_has_its_endpoint(api: Api, bridge: StandIn) -> None:
    response = api.post("vat", {"sensor_id": "vat-3", "level": 71, "is_open": True})

    assert response.status_code == 201
    assert {"level": 71.0, "is_open": True, "kind": "vat"}.items() <= response.json().items()
    assert bridge.received[0][0] == "sensors/vat-3/vat"


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json", "application/json; charset=utf-8", "APPLICATION/JSON", None),
        *("text/plain", "application/x-www-form-urlencoded"),  # what boards' libraries send when they are not asked
    ],
)
def test_json_passes_by_whatever_name_or_none(api: Api, content_type: str | None) -> None:
    request = api.client.build_request("POST", "/api/v1/temperature_reading", content=json.dumps(READING))
    request.headers.pop("content-type", None)
    if content_type:
        request.headers["content-type"] = content_type

    assert api.client.send(request).status_code == 201


@pytest.mark.parametrize("content_type", ["text/csv", "multipart/form-data; boundary=a", "application/jsonx"])
def test_another_content_type_is_415(api: Api, content_type: str) -> None:
    response = api.post("temperature_reading", READING, {"Content-Type": content_type})

    assert_problem(response, 415, "application/json")


def test_with_the_key_of_browsers_it_is_403(api: Api, bridge: StandIn) -> None:
    response = api.client.post("/api/v1/temperature_reading", json=READING, headers={"X-API-Key": KEY_WS})

    assert_problem(response, 403, "'API_KEY_WS' lacks the scope write")
    assert bridge.received == []


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ""},
        {"X-API-Key": "the boards enter by thi"},
        {"X-API-Key": "the boards enter by this "[:-2] + "S"},
        {"X-API-Key": "", "Authorization": "Basic dGhlIGJvYXJkcw=="},
        {"X-API-Key": "", "Authorization": "Bearer"},
        {"X-API-Key": "\xff\xfe"},
    ],
)
def test_without_the_key_it_is_401(api: Api, bridge: StandIn, headers: dict[str, str]) -> None:
    encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}

    response = api.client.post("/api/v1/temperature_reading", json=READING, headers=encoded)

    assert_problem(response, 401, "X-API-Key")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert bridge.received == []


def test_a_bearer_token_is_as_good(api: Api) -> None:
    headers = {"X-API-Key": "", "Authorization": "bearer the boards enter by this"}

    assert api.post("temperature_reading", READING, headers).status_code == 201


def test_an_unknown_kind_is_404_and_the_known_ones_are_named(api: Api) -> None:
    assert_problem(api.post("temperature", READING), 404, "temperature_reading, telemetry, vat")


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1/ping/", "/api/v2/ping", "/api/v1/%00", "/api/v1/sensor/a"])
def test_an_unknown_path_is_404(api: Api, path: str) -> None:
    assert_problem(api.client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/temperature_reading", "POST"),
        ("PUT", "/api/v1/temperature_reading", "POST"),
        ("POST", "/api/v1/health", "GET"),
        ("DELETE", "/api/v1/sensor/a/latest", "GET"),
    ],
)
def test_another_method_is_405_and_the_allowed_ones_are_named(api: Api, method: str, path: str, allowed: str) -> None:
    response = api.client.request(method, path)

    assert_problem(response, 405, f"{method} is not possible here, use {allowed}")
    assert allowed in response.headers["allow"]


def padded(size: int) -> bytes:
    return json.dumps(READING).encode().ljust(size)


def test_a_body_of_65536_bytes_passes(api: Api) -> None:
    assert api.post("temperature_reading", padded(65_536)).status_code == 201


def test_a_body_of_one_byte_more_is_413(api: Api, bridge: StandIn) -> None:
    assert_problem(api.post("temperature_reading", padded(65_537)), 413, "65537", "65536")
    assert bridge.received == []


def test_a_body_without_length_is_413_once_it_is_too_large(api: Api) -> None:
    chunks = iter([padded(40_000), b" " * 40_000])

    response = api.client.post("/api/v1/temperature_reading", content=chunks)

    problem = assert_problem(response, 413)
    assert problem["detail"] == "body of more than 65536 bytes"


def test_an_empty_body_is_422_in_plain_words(api: Api) -> None:
    problem = assert_problem(api.post("temperature_reading", b""), 422)

    assert problem["detail"] == "the body is empty"


def test_a_declared_body_is_413_before_it_is_sent(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port), 5) as connection:
        connection.sendall(
            b"POST /api/v1/temperature_reading HTTP/1.1\r\nHost: a\r\nX-API-Key: the boards enter by this\r\n"
            b"Content-Length: 200000000000\r\n\r\n"
        )

        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_client_that_hangs_up_leaves_no_trace(api: Api) -> None:
    before = api.log.read_text()
    with socket.create_connection(("127.0.0.1", api.port), 5) as connection:
        connection.sendall(
            b"POST /api/v1/temperature_reading HTTP/1.1\r\nHost: a\r\nX-API-Key: the boards enter by this\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )

    assert api.post("temperature_reading", READING).status_code == 201
    assert api.log.read_text() == before


BROKEN_BODIES = [  # whatever the kind
    b"",
    b" ",
    b"null",
    b"true",
    b"5",
    b'"text"',
    b"[]",
    b"{}",
    b"{",
    b'{"temperature": 25.5',
    b"\xef\xbb\xbf" + json.dumps(READING).encode(),
    json.dumps(READING).encode("utf-16"),
    json.dumps(READING).encode("utf-32-le"),
    b"\x00" + json.dumps(READING).encode(),
    json.dumps(READING).encode() + b"\x00",
    json.dumps(READING).encode() * 2,
    json.dumps([READING]).encode(),
    b'{"temperature": NaN, "humidity": 1, "pressure": 1, "sensor_id": "a"}',
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"temperature": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "\\ud800"}',
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "a", "note": "\\udfff"}',
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "a", "\\ud800": 1}',
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "\xff"}',
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "a", "time": 1e308}',
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "a", "time": "9999-12-31T23:59:59-23:59"}',
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "a", "time": "0001-01-01T00:00:00+23:59"}',
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "a", "time": ' + b"9" * 400 + b"}",
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "a", "time": "2025-08-16"}',
    b'{"temperature": 1, "humidity": 1, "pressure": 1, "sensor_id": "a", "time": true}',
]
WRONG_READINGS = [  # as temperature readings
    b'{"temperature": Infinity, "humidity": 1, "pressure": 1, "sensor_id": "a"}',
    b'{"temperature": 1e999, "humidity": 1, "pressure": 1, "sensor_id": "a"}',
    b'{"temperature": -1e999, "humidity": 1, "pressure": 1, "sensor_id": "a"}',
    b'{"temperature": "25.5", "humidity": 1, "pressure": 1, "sensor_id": "a"}',
    b'{"temperature": true, "humidity": 1, "pressure": 1, "sensor_id": "a"}',
    b'{"temperature": null, "humidity": 1, "pressure": 1, "sensor_id": "a"}',
    b'{"temperature": ' + b"9" * 5000 + b', "humidity": 1, "pressure": 1, "sensor_id": "a"}',
]
HOSTILE_BODIES = [
    *(("temperature_reading", body) for body in BROKEN_BODIES + WRONG_READINGS),
    *((kind, body) for kind in ("telemetry", "vat") for body in BROKEN_BODIES),
]


@pytest.mark.parametrize(("kind", "body"), HOSTILE_BODIES, ids=range(len(HOSTILE_BODIES)))
def test_a_hostile_body_is_422_and_reaches_nobody(api: Api, bridge: StandIn, kind: str, body: bytes) -> None:
    response = api.post(kind, body)

    problem = assert_problem(response, 422)
    assert problem["errors"]
    assert problem["reason"] in ("bad_json", "bad_reading", "bad_time")
    assert bridge.received == []


@pytest.mark.parametrize("sensor_id", HOSTILE_IDS, ids=ascii)
def test_a_hostile_sensor_id_is_422_and_named(api: Api, bridge: StandIn, sensor_id: str) -> None:
    problem = assert_problem(api.post("temperature_reading", READING | {"sensor_id": sensor_id}), 422)

    assert [error["field"] for error in problem["errors"]] == ["sensor_id"]
    assert bridge.received == []


def test_a_missing_sensor_id_is_422_and_named(api: Api) -> None:
    reading = {name: value for name, value in READING.items() if name != "sensor_id"}

    problem = assert_problem(api.post("temperature_reading", reading), 422, "sensor_id: Field required")

    assert problem["errors"] == [{"field": "sensor_id", "detail": "Field required"}]


def test_every_bad_field_is_named_with_value_and_bound(api: Api) -> None:
    problem = assert_problem(api.post("temperature_reading", READING | {"humidity": 101, "pressure": -1}), 422)

    assert {error["field"]: error["detail"] for error in problem["errors"]} == {
        "humidity": "Input should be less than or equal to 100, got 101",
        "pressure": "Input should be greater than or equal to 0, got -1",
    }


def test_a_time_out_of_the_window_is_422(api: Api) -> None:
    response = api.post("temperature_reading", READING | {"time": "2001-01-01T00:00:00Z"})

    assert_problem(response, 422, "time:", "400 days back and 600 s ahead")
