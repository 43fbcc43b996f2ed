"""What ``mosquitto/mosquitto.conf`` promises, kept by a real Mosquitto."""

import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sensorflow import topics
from sensorflow.up import broker as shipped
from tests.broker import Broker

READING = topics.reading("sensor_001", "temperature_reading")
TIMEOUT_S = 10


def a_client(broker: Broker, user: str, client_id: str) -> mqtt.Client:
    made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
    made.username_pw_set(user, broker.passwords[user])
    return made


def connect_session(consumer: mqtt.Client, broker: Broker) -> None:
    """One that the broker keeps while its client is away."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho leaves it untyped
    properties.SessionExpiryInterval = 600
    consumer.connect(broker.host, broker.port, clean_start=False, properties=properties)
    consumer.loop_start()


def leave(someone: mqtt.Client) -> None:
    someone.disconnect()
    someone.loop_stop()


def test_more_than_a_thousand_messages_for_an_absent_bridge_survive_a_clean_restart(broker: Broker) -> None:
    count = 1_500
    subscribed, published, received = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)
    bridge, device, restarted_bridge = (
        a_client(broker, user, client_id) for user, client_id in (("bridge", "b"), ("device", "d"), ("bridge", "b"))
    )
    bridge.on_subscribe = lambda *_: subscribed.set()
    device.on_publish = lambda *_: published.release()
    restarted_bridge.on_message = lambda *_: received.release()

    connect_session(bridge, broker)
    bridge.subscribe(topics.READINGS, qos=1)
    assert subscribed.wait(TIMEOUT_S)
    leave(bridge)
    device.connect(broker.host, broker.port)
    device.loop_start()
    for _ in range(count):
        device.publish(READING, b"{}", qos=1)
    assert all(published.acquire(timeout=TIMEOUT_S) for _ in range(count))
    leave(device)
    broker.stop()
    broker.start()
    connect_session(restarted_bridge, broker)

    assert all(received.acquire(timeout=TIMEOUT_S) for _ in range(count))
    leave(restarted_bridge)


def test_packet_over_the_limit_ends_the_connection(broker: Broker) -> None:
    lost = threading.Event()
    device = a_client(broker, "device", "device-0")
    device.on_disconnect = lambda *_: lost.set()
    device.connect(broker.host, broker.port)
    device.loop_start()

    device.publish(READING, bytes(300_000), qos=1)

    assert lost.wait(TIMEOUT_S)
    device.loop_stop()


def test_broker_is_quiet_but_for_its_warning_about_root(broker: Broker) -> None:
    lines = broker.log.read_text().splitlines()

    assert [line for line in lines if "Loading config file" not in line and "run as root" not in line] == []


def test_missing_mosquitto_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(shipped, "_SBIN", ())

    with pytest.raises(FileNotFoundError, match=r"mosquitto is not installed.*apt-get install mosquitto.*brew install"):
        shipped.command()


def test_users_and_options_added_by_hand_outlive_the_next_start(tmp_path: Path) -> None:
    shipped.prepare(tmp_path, [shipped.Listener("127.0.0.1", 1883)], {"device": "one word for all"})
    with (tmp_path / "passwords").open("a") as file:
        file.write("sensor_009:$7$101$AAAA$BBBB\n")
    (tmp_path / "conf.d" / "tls.conf").write_text("# mine\n")

    shipped.prepare(tmp_path, [shipped.Listener("127.0.0.1", 1884)], {"device": "another word for all"})

    users = [line.partition(":")[0] for line in (tmp_path / "passwords").read_text().splitlines()]
    assert users == ["device", "sensor_009"]
    assert (tmp_path / "conf.d" / "tls.conf").read_text() == "# mine\n"
    assert "listener 1884 127.0.0.1" in (tmp_path / "conf.d" / "listener.conf").read_text()
