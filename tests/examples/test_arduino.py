"""The sketches: what they send, byte for byte, and the sketches themselves, compiled for this computer."""

import json
import re
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.system import System
from tests.examples.conftest import Start
from tests.examples.outage import sends_through_an_outage, times_s
from tests.examples.sketch import EXAMPLES, compiled, configured, constant
from tests.waiting import until

pytestmark = pytest.mark.e2e

W5500 = (EXAMPLES / "arduino_w5500" / "arduino_w5500.ino").read_text()
ESP = (EXAMPLES / "esp_mqtt" / "esp_mqtt.ino").read_text()


def reading(sensor_id: str, age_s: int) -> str:
    return constant(W5500, "READING") % (sensor_id, time.time() - age_s, 7, "-0.05", "45.00", "1013.00")


def request(system: System, path: str, media_type: str, body: str) -> bytes:
    head = constant(W5500, "HEAD") % (path, "127.0.0.1", system.key, media_type, len(body))
    return (head + body).encode()


def ask(system: System, sent: bytes) -> tuple[int, bytes, bytes]:
    """Status, head and body of the answer."""
    with socket.create_connection(("127.0.0.1", system.settings.http_port), 10) as connection:
        connection.sendall(sent)
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(10_000)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(re.findall(rb"content-length: (\d+)", head)[0])
        while len(body) < length:
            body += connection.recv(10_000)
    return int(head[9:12]), head, body


def test_what_the_w5500_sends_is_stored_and_answered_in_64_bytes(system: System) -> None:
    sent = request(system, "/api/v1/temperature_reading", "application/json", reading("w5500-bytes", 60))

    status, head, body = ask(system, sent)

    assert (status, body[:4], len(body) < 64) == (201, b"201 ", True)
    assert b"x-server-time-us: " in head
    record = system.http.get("/api/v1/sensor/w5500-bytes/latest").json()
    assert (record["temperature"], record["id"] % 1_000_000) == (-0.05, 7_000)


def test_the_w5500_hears_the_time_before_it_has_one(system: System) -> None:
    status, head, _ = ask(system, (constant(W5500, "PING") % "127.0.0.1").encode())

    assert status == 200
    assert abs(int(re.findall(rb"x-server-time-us: (\d+)", head)[0]) / 1e6 - time.time()) < 5


def test_what_the_w5500_kept_while_it_was_offline_is_stored_at_once(system: System) -> None:
    body = "".join(reading("w5500-backlog", age_s) for age_s in (30, 20, 10))

    status, _, _ = ask(system, request(system, "/api/v1/readings", "application/x-ndjson", body))

    assert status == 201
    until(lambda: len(times_s(system, "w5500-backlog")) == 3)


def test_the_w5500_sketch_loses_nothing_while_the_server_is_away(system: System, tmp_path: Path, start: Start) -> None:
    sketch = configured(
        W5500,
        SERVER="127.0.0.1",
        PORT=system.settings.http_port,
        API_KEY=system.key,
        SENSOR_ID="w5500-sketch",
        EVERY_MS=50,
        MAX_WAITING=1000,
    )

    start(compiled(sketch, tmp_path))

    sends_through_an_outage(system, "w5500-sketch", "http_api")


@pytest.mark.parametrize("board", ["-DESP32", "-DESP8266"])
def test_the_esp_sketch_loses_nothing_while_the_broker_is_away(
    system: System, tmp_path: Path, start: Start, board: str
) -> None:
    sensor_id = f"esp{board[-2:].lower()}"
    sketch = configured(
        ESP,
        SERVER="127.0.0.1",
        PORT=system.settings.mqtt_port,
        PASSWORD=system.settings.mqtt_device_password.get_secret_value(),
        SENSOR_ID=sensor_id,
        EVERY_MS=50,
        RETRY_MS=100,
    )

    start(compiled(sketch, tmp_path, defines=(board,)))

    sends_through_an_outage(system, sensor_id, "mosquitto")


def test_what_the_esp_sends_is_a_reading(system: System) -> None:
    payload = constant(ESP, "READING") % (time.time(), 7, -0.05, 45, 1013)

    answer = system.post("temperature_reading", json.loads(payload) | {"sensor_id": "esp-bytes"})

    assert constant(ESP, "TOPIC") % "esp-bytes" == "sensors/esp-bytes/temperature_reading"
    assert answer.status_code == 201
    assert answer.json()["id"] % 1_000_000 == 7_000
