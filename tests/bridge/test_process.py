import json
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.service import STATUS_FILE_NAME
from tests.bridge.processes import CLIMATE, Bridge, Client, Store
from tests.broker import Broker
from tests.waiting import until

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessageInfo

COUNT = 5_000
Counters = Callable[[], dict[str, Any]]

pytestmark = pytest.mark.e2e


def has_spooled(bridge: Bridge, count: int) -> bool:
    return bridge.spooled >= count


def times(store: Store, sensor_id: str = "s1") -> list[str]:
    rows = store.rows(f"SELECT time FROM sensor_readings WHERE sensor_id = '{sensor_id}' ORDER BY time")
    return [row["time"] for row in rows]


def test_devices_publish_is_a_row_and_a_live_frame(
    store: Store, device: Client, operator: Client, counters: Counters
) -> None:
    store.start()
    now_us = time.time_ns() // 1000

    device.publish(CLIMATE | {"time": now_us})

    (row,) = until(lambda: store.rows("SELECT * FROM sensor_readings"))
    assert CLIMATE.items() <= row.items()
    assert row["sensor_id"] == "s1"
    frame = until(lambda: operator.last("live"))
    assert frame["id"] == now_us
    assert CLIMATE.items() <= frame.items()
    until(lambda: counters().get("stored") == 1)
    assert counters() == {
        "accepted": 1,
        "stored": 1,
        "spooled": 0,
        "dead_letters": 0,
        "duplicates": 0,
        "live_dropped": 0,
    }


def test_bridge_that_is_killed_again_and_again_stores_every_reading_once(
    store: Store, bridge: Bridge, device: Client
) -> None:
    store.start()
    sent: list[MQTTMessageInfo] = []
    for _ in range(5):
        before = len(sent)
        sent += [device.send(CLIMATE, "sensors/s1/temperature_reading") for _ in range(COUNT // 5)]
        until(partial(has_spooled, bridge, before + 100))
        bridge.kill()
        bridge.start()
    for message in sent:
        message.wait_for_publish(20)

    until(lambda: bridge.spooled >= COUNT and bridge.waiting == 0, 20)

    assert bridge.spooled == COUNT
    stored = times(store)
    assert len(stored) == COUNT
    assert all(earlier < later for earlier, later in pairwise(stored))


def test_store_that_is_away_all_the_time_gets_everything_once_it_is_there(
    store: Store, bridge: Bridge, device: Client, operator: Client
) -> None:
    device.publish(*[CLIMATE] * 2_000)
    until(lambda: bridge.spooled == 2_000)
    assert operator.last("status/bridge")["store"] == "disconnected"

    store.start()

    until(lambda: store.count() == 2_000)
    until(lambda: operator.last("status/bridge").get("store") == "connected")


def test_bridge_that_is_told_to_stop_under_load_loses_and_doubles_nothing(
    store: Store, bridge: Bridge, device: Client, operator: Client
) -> None:
    store.start()
    sent = [device.send(CLIMATE, "sensors/s1/temperature_reading") for _ in range(COUNT)]
    until(lambda: bridge.spooled > 200)

    assert bridge.stop() == 0

    until(lambda: operator.last("status/bridge").get("state") == "stopped")
    before = bridge.spooled
    bridge.start()
    for message in sent:
        message.wait_for_publish(20)
    until(lambda: bridge.spooled >= COUNT and bridge.waiting == 0, 20)
    assert 0 < before <= bridge.spooled == COUNT
    assert store.count() == COUNT


def test_bridge_stops_within_ten_seconds_though_the_store_never_answers(
    tmp_path: Path, broker: Broker, client: Callable[..., Client], operator: Client
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        bridge = Bridge(tmp_path, broker, silent.getsockname()[1])
        bridge.start()
        until(lambda: operator.last("status/bridge").get("state") == "running")
        client("device").publish(CLIMATE)
        until(lambda: bridge.spooled)

        started = time.monotonic()
        assert bridge.stop() == 0
        assert time.monotonic() - started < 10


def test_every_bad_message_is_a_dead_letter_with_its_reason_and_costs_no_good_one(
    store: Store, bridge: Bridge, device: Client, operator: Client, counters: Counters
) -> None:
    store.start()
    bad = {
        "bad_json": ("sensors/s1/telemetry", b"{"),
        "bad_reading": ("sensors/s1/telemetry", b'{"a": null}'),
        "bad_topic": ("sensors/s1/telemetry/more", b'{"a": 1}'),
        "unknown_kind": ("sensors/s1/colour", b'{"a": 1}'),
        "bad_time": ("sensors/s1/telemetry", b'{"a": 1, "time": 1e999}'.replace(b"1e999", b"1" + b"0" * 300)),
        "too_large": ("sensors/s1/telemetry", b" " * 65_537),
    }

    for topic, payload in bad.values():
        device.publish(payload, b"{}", topic=topic)
        device.publish(CLIMATE)

    until(lambda: store.count() == len(bad))
    letters = bridge.read_spool("SELECT reason, topic, payload FROM dead_letter ORDER BY id")
    assert set(zip(bad, *zip(*bad.values(), strict=True), strict=True)) <= set(letters)
    until(lambda: {f"dead_letters/{reason}" for reason in bad} <= {message.topic for message in operator.heard})
    mirror = operator.last("dead_letters/bad_topic")
    assert mirror["topic"] == "sensors/s1/telemetry/more"
    assert mirror["payload"] == "{}"


def test_what_the_store_rejects_is_a_dead_letter_and_can_be_sent_again_once_it_would_take_it(
    store: Store, bridge: Bridge, device: Client, operator: Client
) -> None:
    store.start()
    until(lambda: store.rows("SELECT 1 AS n"))
    store.write('telemetry,sensor_id=s0 a="text" 1')  # which the bridge knows nothing of

    device.publish([{"a": 1}, {"b": 2}], topic="sensors/s1/telemetry")

    letter = until(lambda: operator.last("dead_letters/store_rejected"))
    assert letter["topic"] == "sensors/s1/telemetry"
    assert "a" in letter["detail"]
    until(lambda: store.count("telemetry") == 2)
    bridge.kill()
    bridge.start()
    device.publish(letter["payload"].encode(), topic=letter["topic"])  # what `sensorflow dead-letters replay` does

    until(lambda: bridge.waiting == 0 and len(bridge.read_spool("SELECT id FROM dead_letter")) == 2)
    assert bridge.spooled == 3
    assert store.count("telemetry") == 2


def test_status_is_retained_and_the_last_will_says_that_the_bridge_is_gone(
    bridge: Bridge, device: Client, client: Callable[..., Client], operator: Client
) -> None:
    status = until(lambda: client("operator", "status/bridge").last("status/bridge"))
    assert status["state"] == "running"
    assert {"service", "version", "time", "uptime_s", "store", "spool", "counters"} <= status.keys()

    bridge.kill()

    until(lambda: operator.last("status/bridge").get("state") == "gone")
    bridge.start()
    until(lambda: operator.last("status/bridge").get("state") == "running")


def test_status_file_says_how_the_bridge_is_whether_or_not_the_broker_hears_it(
    tmp_path: Path, broker: Broker, bridge: Bridge, device: Client
) -> None:
    def said() -> dict[str, Any]:
        status: dict[str, Any] = json.loads((tmp_path / STATUS_FILE_NAME).read_bytes())
        return status

    until(lambda: (said()["state"], said()["broker"]) == ("running", "connected"))

    broker.stop()

    until(lambda: (said()["state"], said()["broker"]) == ("running", "disconnected"))
    assert bridge.stop() == 0
    assert said()["state"] == "stopped"


def test_retained_message_of_a_device_is_stored_once(bridge: Bridge, device: Client, operator: Client) -> None:
    device.publish(CLIMATE, retain=True)
    until(lambda: bridge.spooled == 1)

    bridge.stop()
    bridge.start()
    until(lambda: operator.last("status/bridge").get("state") == "running")
    device.publish(CLIMATE)

    until(lambda: bridge.spooled >= 2)
    assert bridge.spooled == 2


def test_broker_that_is_restarted_costs_nothing(store: Store, bridge: Bridge, device: Client, broker: Broker) -> None:
    store.start()
    device.publish(*[CLIMATE] * 500)
    broker.stop()
    broker.start()
    until(lambda: device.is_connected)
    device.publish(*[CLIMATE] * 500)

    until(lambda: bridge.spooled >= 1_000 and bridge.waiting == 0)

    assert bridge.process is not None
    assert bridge.process.poll() is None
    assert store.count() == bridge.spooled == 1_000


def test_full_spool_stops_accepting_and_carries_on_when_the_store_is_back(
    tmp_path: Path, broker: Broker, store: Store, client: Callable[..., Client], operator: Client
) -> None:
    bridge = Bridge(tmp_path, broker, store.port, SPOOL_MAX_BYTES=2**20)
    try:
        bridge.start()
        until(lambda: operator.last("status/bridge").get("state") == "running")
        device = client("device")
        messages = [{"text": f"{number:05d}" + "x" * 250} for number in range(12_000)]
        device.publish(*messages, topic="sensors/s1/telemetry")
        until(lambda: operator.last("status/bridge").get("spool", {}).get("is_full"))
        assert bridge.spooled < len(messages)

        store.start()

        until(lambda: store.count("telemetry") == len(messages), 20)
        until(lambda: operator.last("status/bridge").get("spool", {}).get("is_full") is False)
        assert bridge.spooled == len(messages)
        assert bridge.stop() == 0
    finally:
        bridge.kill()
    assert "nothing is accepted until there is room: the spool holds" in bridge.log.read_text()


def test_second_bridge_on_the_same_data_ends_with_a_word(bridge: Bridge, device: Client, tmp_path: Path) -> None:
    bridge_process = bridge.process
    assert bridge_process is not None

    bridge.start()
    second, bridge.process = bridge.process, bridge_process

    assert second is not None
    assert second.wait(10) == 1
    assert "another bridge is running on the spool in" in bridge.log.read_text()
    assert bridge_process.poll() is None


def test_bridge_waits_for_a_broker_that_is_away_and_stops_when_told(broker: Broker, bridge: Bridge) -> None:
    broker.stop()
    bridge.start()
    until(lambda: "trying again" in (bridge.log.read_text() if bridge.log.exists() else ""))

    assert bridge.process is not None
    bridge.process.send_signal(signal.SIGINT)

    assert bridge.process.wait(10) == 0
