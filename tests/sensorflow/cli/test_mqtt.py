"""replay, simulate and watch against a real Mosquitto, with paho as the bridge."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from tests.broker import Broker
from tests.sensorflow.cli.conftest import Api, Run


class Subscriber:
    """What comes in on a topic, as a user that may read it."""

    def __init__(self, broker: Broker, user: str, topic: str) -> None:
        self.messages: queue.Queue[MQTTMessage] = queue.Queue()
        self._subscribed = threading.Event()
        self.client = client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        client.username_pw_set(user, broker.passwords[user])
        client.on_connect = lambda *_: self._subscribe(topic)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = lambda _client, _data, message: self.messages.put(message)
        client.connect(broker.host, broker.port)
        client.loop_start()
        assert self._subscribed.wait(5)

    def _subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)

    def next(self) -> MQTTMessage:
        return self.messages.get(timeout=5)

    def bodies(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` payloads, and no more behind them."""
        bodies = [json.loads(self.next().payload) for _ in range(count)]
        assert self.messages.empty()
        return bodies

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def mqtt(broker: Broker, settings: Callable[..., None]) -> Broker:
    settings(
        mqtt_port=broker.port,
        mqtt_device_password=broker.passwords["device"],
        mqtt_password=broker.passwords["operator"],
    )
    return broker


@pytest.fixture
def bridge(mqtt: Broker) -> Iterator[Subscriber]:
    subscriber = Subscriber(mqtt, "bridge", "sensors/#")
    yield subscriber
    subscriber.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A hundred rows of two sensors, with their own times."""
    rows = "".join(f"pump-{row % 2},{1_780_000_000 + row},{row}.25\n" for row in range(100))
    file = tmp_path / "log.csv"
    file.write_text("who,at,flow\n" + rows)
    return file


def replay_log(log: Path, *more: object) -> tuple[object, ...]:
    return ("replay", log, "--kind", "telemetry", "--sensor-column", "who", "--time-column", "at", *more)


def test_rows_are_published_to_the_topics_of_their_sensors(run: Run, bridge: Subscriber, log: Path) -> None:
    result = run(*replay_log(log, "--over", "mqtt"))

    assert result.exit_code == 0, result.output
    first = bridge.next()
    assert (first.topic, first.qos) == ("sensors/pump-0/telemetry", 1)
    assert json.loads(first.payload) == {"flow": 0.25, "sensor_id": "pump-0", "time": "2026-05-28T20:26:40.000000Z"}
    assert [body["flow"] for body in bridge.bodies(99)] == [row + 0.25 for row in range(1, 100)]
    assert "accepted       100" in result.stdout


def test_both_sends_every_other_row_over_mqtt_and_none_twice(run: Run, bridge: Subscriber, api: Api, log: Path) -> None:
    result = run(*replay_log(log, "--over", "both"))

    assert result.exit_code == 0, result.output
    published = [body["flow"] for body in bridge.bodies(50)]
    assert sorted(published + [body["flow"] for body in api.bodies]) == [row + 0.25 for row in range(100)]


def test_broker_without_a_bridge_is_asked_again_until_there_is_one(run: Run, mqtt: Broker, log: Path) -> None:
    late: list[Subscriber] = []
    timer = threading.Timer(0.5, lambda: late.append(Subscriber(mqtt, "bridge", "sensors/#")))
    timer.start()

    result = run(*replay_log(log, "--over", "mqtt"))

    timer.join()
    assert result.exit_code == 0, result.output
    assert {body["flow"] for body in late[0].bodies(100)} == {row + 0.25 for row in range(100)}
    late[0].close()


def test_broker_without_a_bridge_ends_the_run_with_the_reason_code(run: Run, mqtt: Broker, log: Path) -> None:
    result = run(*replay_log(log, "--over", "mqtt", "--give-up-after", 0.3))

    assert result.exit_code == 1
    assert "answered 0x10 (No matching subscribers): nobody takes readings" in result.stderr
    assert "unanswered       100" in result.stdout


def test_broker_that_restarts_in_the_middle_gets_every_row(
    run: Run, mqtt: Broker, bridge: Subscriber, log: Path
) -> None:
    def restart() -> None:
        bridge.next()
        mqtt.stop()
        mqtt.start()

    restarting = threading.Thread(target=restart)
    restarting.start()

    result = run(*replay_log(log, "--over", "mqtt", "--speed", 50, "--concurrency", 4))

    restarting.join()
    assert result.exit_code == 0, result.output
    assert "accepted       100" in result.stdout


def test_broker_that_does_not_know_the_password_ends_the_run_at_once(
    run: Run, mqtt: Broker, settings: Callable[..., None], log: Path
) -> None:
    settings(mqtt_device_password="not what it was before")

    result = run(*replay_log(log, "--over", "mqtt"))

    assert result.exit_code == 1
    assert "does not let user 'device' in: Not authorized" in result.stderr


def test_broker_that_is_away_is_named(run: Run, log: Path) -> None:
    result = run(*replay_log(log, "--over", "mqtt", "--give-up-after", 0.2))

    assert result.exit_code == 1
    assert "gave up after 0.2 s" in result.stderr


def test_simulated_sensors_speak_in_turn_at_the_rate(run: Run, bridge: Subscriber) -> None:
    result = run("simulate", "--over", "mqtt", "--sensors", 3, "--rate", 100, "--duration", "300ms", "--prefix", "t.")

    bodies = bridge.bodies(30)
    assert result.exit_code == 0, result.output
    assert [body["sensor_id"] for body in bodies[:4]] == ["t.1", "t.2", "t.3", "t.1"]
    assert all(5 <= body["temperature"] <= 35 for body in bodies)


def test_watch_prints_a_line_a_reading_and_ends_after_the_count(run: Run, mqtt: Broker) -> None:
    frames = [{"temperature": 1.5, "sensor_id": s, "timestamp": "T", "kind": "k", "id": 1} for s in ("a1", "b1", "a2")]
    live = "\n".join(map(json.dumps, frames)).encode()

    with publishing(mqtt, live):
        result = run("watch", "--sensor", "a", "--count", 3)

    assert result.exit_code == 0, result.output
    one, two = "T  a1  k  temperature=1.5", "T  a2  k  temperature=1.5"
    assert result.stdout.splitlines() == [one, two, one]


def test_watch_prints_frames_as_they_came(run: Run, mqtt: Broker) -> None:
    frame = b'{"v":"\\u001b[31m","sensor_id":"a","timestamp":"T","kind":"k","id":1}'

    with publishing(mqtt, frame):
        result = run("watch", "--json", "--count", 1)

    assert result.stdout_bytes == frame + b"\n"


def test_watch_connects_again_after_the_broker_was_away(run: Run, mqtt: Broker) -> None:
    frame = b'{"v":1,"sensor_id":"a","timestamp":"T","kind":"k","id":1}'
    mqtt.stop()
    timer = threading.Timer(0.3, mqtt.start)
    timer.start()

    with publishing(mqtt, frame):
        result = run("watch", "--count", 1)

    timer.join()
    assert result.exit_code == 0, result.output
    assert "trying again" in result.stderr


def test_watch_that_is_not_let_in_says_so(run: Run, mqtt: Broker, settings: Callable[..., None]) -> None:
    settings(mqtt_password="not what it was before")

    result = run("watch")

    assert result.exit_code == 1
    assert "does not let user 'operator' in" in result.stderr


@contextmanager
def publishing(broker: Broker, payload: bytes) -> Iterator[None]:
    """Publish to ``live`` as the bridge, again and again until it is over: nobody says when watch has subscribed."""
    is_over = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.username_pw_set("bridge", broker.passwords["bridge"])
    client.connect_async(broker.host, broker.port)
    client.loop_start()

    def publish() -> None:
        while not is_over.wait(0.02):
            if client.is_connected():
                client.publish("live", payload, qos=1)

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    is_over.set()
    thread.join()
    client.disconnect()
    client.loop_stop()
