"""Bad input costs nothing but itself; and a kind of one's own is one class in one file."""

import json
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.e2e.system import System
from tests.waiting import until

pytestmark = pytest.mark.e2e

GOOD = {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5}
BAD_SENSOR_IDS = ["a/b", "a+b", "a#b", "a\0b", 'a"b', "a'b", "a b", "x" * 65, "", "-a", "é", "\u202e", "\uffff", "../a"]
BAD_BODIES = {
    "broken JSON": b'{"temperature": 25.5, "humidity"',
    "NaN": b'{"temperature": NaN, "humidity": 60.2, "pressure": 1012.5, "sensor_id": "bad"}',
    "infinity": b'{"temperature": 1e999, "humidity": 60.2, "pressure": 1012.5, "sensor_id": "bad"}',
    "text for a number": b'{"temperature": "25.5", "humidity": 60.2, "pressure": 1012.5, "sensor_id": "bad"}',
    "a missing field": b'{"temperature": 25.5, "pressure": 1012.5, "sensor_id": "bad"}',
    "out of bounds": b'{"temperature": 25.5, "humidity": 160.2, "pressure": 1012.5, "sensor_id": "bad"}',
    "not UTF-8": b"\xff\xfe\x00",
    "nothing": b"",
    "a time out of the window": json.dumps(GOOD | {"sensor_id": "bad", "time": "1970-01-01T00:00:00Z"}).encode(),
}


class Device:
    """An MQTT client that is not ours."""

    def __init__(self, system: System) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.username_pw_set("device", system.settings.mqtt_device_password.get_secret_value())
        self._client.connect("127.0.0.1", system.settings.mqtt_port)
        self._client.loop_start()

    def publish(self, topic: str, payload: object) -> None:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, body, qos=1).wait_for_publish(10)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def dead_letters(system: System) -> list[dict[str, Any]]:
    output, _ = system.command("dead-letters", "list", "--json").communicate(timeout=20)
    return [json.loads(line) for line in output.splitlines()]


def test_bad_posts_are_4xx_that_name_the_field_and_good_ones_beside_them_are_stored(system: System) -> None:
    for number, (what, body) in enumerate(BAD_BODIES.items()):
        answer = system.post("temperature_reading", body)
        assert answer.status_code == 422, (what, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert system.post("temperature_reading", GOOD | {"sensor_id": f"good-{number}"}).status_code == 201
    for sensor_id in BAD_SENSOR_IDS:
        answer = system.post("temperature_reading", GOOD | {"sensor_id": sensor_id})
        assert answer.status_code == 422, sensor_id
        assert answer.json()["errors"][0]["field"] == "sensor_id"
    assert system.post("telemetry", {"sensor_id": "tank", "level": 1}).status_code == 201
    changed = system.post("telemetry", {"sensor_id": "tank", "level": "high"})
    assert changed.status_code == 422  # and not a 201 for what the store would refuse
    assert "level: text ('high'), but it was a number before" in changed.json()["detail"]
    too_large = b'{"padding": "' + b"x" * 65_536 + b'"}'
    assert system.post("temperature_reading", too_large).status_code == 413

    until(lambda: system.count("sensor_readings") == len(BAD_BODIES))

    assert system.http.get("/api/v1/sensor/bad/latest").status_code == 404


def test_bad_publishes_are_dead_letters_with_reason_and_good_ones_beside_them_are_stored(system: System) -> None:
    device = Device(system)
    topics = ["sensors/bad/nosuchkind", "sensors/bad", "sensors/a b/telemetry", "sensors/bad/temperature_reading/more"]

    for body in BAD_BODIES.values():
        device.publish("sensors/bad/temperature_reading", body)
        device.publish("sensors/good/temperature_reading", GOOD)
    for topic in topics:
        device.publish(topic, GOOD)
    device.publish("sensors/good/temperature_reading", GOOD | {"sensor_id": "another"})
    device.publish("sensors/good/temperature_reading", [GOOD, GOOD | {"humidity": "wet"}, GOOD])
    device.publish("sensors/good/telemetry", {"level": 1})
    until(lambda: system.count("telemetry") == 1)
    device.publish("sensors/good/telemetry", {"level": "high"})  # it was a number before
    device.leave()

    until(lambda: system.count("sensor_readings") == len(BAD_BODIES) + 2)
    until(lambda: len(dead_letters(system)) == len(BAD_BODIES) + len(topics) + 3)
    letters = dead_letters(system)
    assert {letter["reason"] for letter in letters} == {
        *("bad_json", "bad_reading", "bad_time", "bad_topic", "unknown_kind")
    }
    assert any("level: text ('high'), but it was a number before" in letter["detail"] for letter in letters)
    assert any("humidity" in letter["detail"] and "wet" in letter["detail"] for letter in letters)
    assert system.count("telemetry") == 1
    assert system.health()["status"] == "healthy"


def test_a_kind_of_ones_own_has_endpoint_topic_table_validation_and_documentation(
    make_system: Callable[..., System],
) -> None:
    system = make_system(KINDS="examples/kinds/cip.py")
    system.start()
    system.wait_until()
    cycle = {"cip_id": "tank-7", "status_cip": "rinse", "temperature": 71.5, "pressure": 2.25, "concentration": 1.5}

    posted = system.post("cip", cycle | {"sensor_id": "cip_1"})
    refused = system.post("cip", cycle | {"sensor_id": "cip_1", "pressure": 41})
    device = Device(system)
    device.publish("sensors/cip_2/cip", cycle)
    device.leave()

    assert posted.status_code == 201
    assert {name: posted.json()[name] for name in cycle} == cycle
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"field": "pressure", "detail": "Input should be less than or equal to 40, got 41"}
    ]
    until(lambda: system.count("cip_readings") == 2)
    rows = system.rows("SELECT * FROM cip_readings ORDER BY sensor_id")
    assert [row["sensor_id"] for row in rows] == ["cip_1", "cip_2"]
    assert all({name: row[name] for name in cycle} == cycle for row in rows)
    latest = system.http.get("/api/v1/sensor/cip_2/latest", params={"kind": "cip"}).json()
    assert {name: latest[name] for name in cycle} == cycle
    documented = system.http.get("/openapi.json").text
    assert "/api/v1/cip" in documented
    assert '"bar"' in documented
