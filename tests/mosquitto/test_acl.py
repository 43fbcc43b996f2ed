"""``mosquitto/acl`` against ``sensorflow/topics.py`` and against a real Mosquitto."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensorflow import topics
from tests.broker import USERS, Broker, free_port

ACL = Path(__file__).parents[2] / "mosquitto" / "acl"
NOT_AUTHORIZED = 0x87
TIMEOUT_S = 5

READING = topics.reading("sensor_001", "temperature_reading")
OWN_READING = topics.reading("sensor_007", "temperature_reading")
RECEIPT = topics.receipts("http_api-0123456789abcdef")
BRIDGE_STATUS = topics.status("bridge")
HTTP_API_STATUS = topics.status("http_api")
DEAD_LETTER = topics.dead_letters("bad_json")
OURS = (READING, OWN_READING, RECEIPT, topics.LIVE, BRIDGE_STATUS, HTTP_API_STATUS, DEAD_LETTER)
VERSION = "$SYS/broker/version"  # the broker's own, and written by nobody else
FOREIGN = ("something/else", "status/mosquitto", VERSION)

MAY_WRITE = {
    "bridge": {RECEIPT, topics.LIVE, BRIDGE_STATUS, DEAD_LETTER},
    "http_api": {READING, OWN_READING, HTTP_API_STATUS},
    "operator": {READING, OWN_READING},
    "device": {READING, OWN_READING},
    "sensor_007": {OWN_READING},
}
MAY_READ = {
    "bridge": {READING, OWN_READING},
    "http_api": {RECEIPT, topics.LIVE, BRIDGE_STATUS, HTTP_API_STATUS},
    "operator": {topics.LIVE, BRIDGE_STATUS, HTTP_API_STATUS, DEAD_LETTER},
    "device": set(),
    "sensor_007": set(),
}
WRITER = {
    READING: "device",
    OWN_READING: "sensor_007",
    HTTP_API_STATUS: "http_api",
    **dict.fromkeys((RECEIPT, topics.LIVE, BRIDGE_STATUS, DEAD_LETTER), "bridge"),
}


class Person:
    """A paho client that waits for the broker's word on everything it does."""

    def __init__(self, broker: Broker, user: str, password: str | None = None) -> None:
        self.received: list[str] = []
        self._answers: queue.Queue[int] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        self._client.username_pw_set(user, password or broker.passwords[user])
        self._client.on_connect = self._on_reason_code
        self._client.on_publish = lambda _c, _u, _mid, reason, _p: self._answers.put(reason.value)
        self._client.on_subscribe = lambda _c, _u, _mid, reasons, _p: self._answers.put(reasons[0].value)
        self._client.on_message = lambda _c, _u, message: self.received.append(message.topic)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self.connack = self._answers.get(timeout=TIMEOUT_S)

    def publish(self, topic: str) -> int:
        self._client.publish(topic, b"{}", qos=1)
        return self._answers.get(timeout=TIMEOUT_S)

    def subscribe(self, topic: str) -> int:
        self._client.subscribe(topic, qos=1)
        return self._answers.get(timeout=TIMEOUT_S)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_reason_code(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._answers.put(reason.value)


@contextmanager
def person(broker: Broker, user: str, password: str | None = None) -> Iterator[Person]:
    someone = Person(broker, user, password)
    try:
        yield someone
    finally:
        someone.leave()


def rules() -> list[tuple[str, str]]:
    """Access and topic filter of every rule."""
    lines = [line.split() for line in ACL.read_text().splitlines() if line and not line.startswith("#")]
    return [(words[1], words[2].replace("%u", "sensor_007")) for words in lines if words[0] != "user"]


def test_every_topic_of_ours_has_a_writer_and_a_reader_in_the_acl() -> None:
    for topic in OURS:
        for access in ("read", "write"):
            assert any(how == access and mqtt.topic_matches_sub(what, topic) for how, what in rules()), (access, topic)


def test_every_rule_of_the_acl_is_about_a_topic_of_ours() -> None:
    for access, topic_filter in rules():
        assert access in {"read", "write", "deny"}
        assert any(mqtt.topic_matches_sub(topic_filter, topic) for topic in (*OURS, VERSION)), topic_filter


@pytest.mark.parametrize("user", USERS)
def test_user_may_write_its_own_topics_and_no_other(broker: Broker, user: str) -> None:
    with person(broker, user) as someone:
        answers = {topic: someone.publish(topic) for topic in (*OURS, *FOREIGN)}

    allowed = {topic for topic, reason in answers.items() if reason != NOT_AUTHORIZED}
    assert allowed == MAY_WRITE[user]


@pytest.mark.parametrize("user", USERS)
def test_user_receives_what_it_may_read_and_nothing_else(broker: Broker, user: str) -> None:
    with person(broker, user) as reader:
        assert reader.subscribe("#") == 1
        for topic in OURS:
            with person(broker, WRITER[topic]) as writer:
                assert writer.publish(topic) == 0
        reader.subscribe("nothing/more")  # its answer comes after all deliveries

        assert set(reader.received) == MAY_READ[user]


@pytest.mark.parametrize("user", USERS)
def test_only_the_operator_learns_which_broker_it_is(broker: Broker, user: str) -> None:
    with person(broker, user) as reader:
        reader.subscribe("$SYS/#")
        reader.subscribe("nothing/more")  # its answer comes after all deliveries

        assert set(reader.received) == ({VERSION} if user == "operator" else set())


@pytest.mark.parametrize(("user", "password"), [("device", "wrong"), ("nobody", "wrong"), ("", "")])
def test_wrong_password_unknown_user_and_nobody_are_refused(broker: Broker, user: str, password: str) -> None:
    with person(broker, user, password or "none") as someone:
        assert someone.connack == NOT_AUTHORIZED


@pytest.mark.parametrize(("user", "may"), [("http_api", True), ("device", True), ("sensor_007", False), ("_", False)])
def test_for_many_sensors_in_one_message_writes_who_may_write_for_all_and_nobody_by_his_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str, *, may: bool
) -> None:
    monkeypatch.setattr("tests.broker.USERS", (*USERS, "_"))
    broker = Broker(tmp_path / "mosquitto", free_port())
    broker.start()
    try:
        with person(broker, user) as someone:
            answer = someone.publish(topics.many("telemetry"))
    finally:
        broker.kill()

    assert (answer != NOT_AUTHORIZED) == may


def test_user_called_like_a_wildcard_gains_nothing(broker: Broker) -> None:
    for user in ("+", "#"):
        with person(broker, user, "x") as someone:
            assert someone.connack == NOT_AUTHORIZED
