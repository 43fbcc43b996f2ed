"""The API as a real process, and a stand-in for the bridge on the other side of a real Mosquitto."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sensorflow import reading
from tests.broker import Broker, free_port
from tests.waiting import until

KEY = "the boards enter by this"
KEY_WS = "browsers enter by this one"
TOKEN = "the store opens to this"

VAT = '''
from sensorflow.kinds import Kind, Text, measure

class Vat(Kind):
    """A vat with a lid."""

    table = "vat_levels"

    level: float = measure("%", ge=0, le=100)
    is_open: bool
    note: Text | None = None
'''


class Api:
    """``python -m http_api`` on a port of its own."""

    def __init__(self, directory: Path, mqtt_port: int, mqtt_password: str, **more: object) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "vat.py").write_text(VAT)
        self.mqtt_port, self.mqtt_password = mqtt_port, mqtt_password
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws/sensor_updates"
        self.log = directory / "http_api.log"
        environment = {
            "API_KEY": KEY,
            "API_KEY_WS": KEY_WS,
            "HTTP_PORT": str(self.port),
            "INFLUX_TOKEN": TOKEN,
            "INFLUX_HOST": "http://127.0.0.1:9",  # discard: nobody is there
            "KINDS": str(directory / "vat.py"),
            "MQTT_PASSWORD": mqtt_password,
            "MQTT_PORT": str(mqtt_port),
            "RATE_LIMIT_FAILURES": "off",  # the tests share it, and 127.0.0.1
            "TIMEZONE": "Asia/Tokyo",
            **{name: str(value) for name, value in more.items()},
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "http_api"],
                cwd=directory,
                env={"PATH": os.environ["PATH"], **environment},
                stderr=log,
            )
        self.client = httpx.Client(base_url=self.url, headers={"X-API-Key": KEY}, timeout=15)

    def wait_until(self, **services: str) -> None:
        """Until it listens and health says so of these services."""
        until(lambda: services.items() <= self._services().items(), 10)

    def _services(self) -> dict[str, Any]:
        assert self.process.poll() is None, self.log.read_text()
        try:
            services: dict[str, Any] = self.client.get("/api/v1/health").json()["services"]
        except httpx.TransportError:
            return {}
        return services

    def post(self, kind: str, body: object, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """A board's POST; ``bytes`` go as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} | dict(headers or {})
        return self.client.post(f"/api/v1/{kind}", content=content, headers=sent)

    def is_connected_to(self, port: int) -> bool:
        """Whether it holds a socket whose other end is this port."""
        connections = psutil.Process(self.process.pid).net_connections("tcp")
        return any(connection.raddr and connection.raddr.port == port for connection in connections)

    def stop(self) -> int:
        """End it as ``sensorflow up`` does; its exit code."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()


Outcome = Callable[[dict[str, Any], int], object]


class StandIn:
    """Answers readings as the bridge does, by an MQTT client that is not ours.

    ``outcome`` makes a receipt's element from a reading and the id; None leaves the message without a receipt.
    """

    def __init__(self, broker: Broker) -> None:
        self.received: list[tuple[str, bytes, dict[str, str]]] = []
        self.outcome: Outcome = store
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "bridge-stand-in", protocol=paho.MQTTv5)
        self._client.username_pw_set("bridge", broker.passwords["bridge"])
        self._client.on_message = self._answer
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho types it not
        properties.SessionExpiryInterval = 3600
        self._client.reconnect_delay_set(1, 1)
        self._client.on_socket_open = _send_at_once
        self._client.connect(broker.host, broker.port, clean_start=False, properties=properties)
        self._client.loop_start()
        self._client.subscribe("sensors/#", 1)
        assert self._subscribed.wait(5)
        self.say("running")

    def say(self, state: str, **more: object) -> None:
        """Publish a status."""
        status = {"service": "bridge", "state": state, "store": "connected", "spool": {"readings": 0}} | more
        self.publish("status/bridge", json.dumps(status).encode(), retain=True)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """With QoS 1; returns when the broker has it."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(5)

    def announce(self, *readings: tuple[str, str, int, dict[str, Any]]) -> None:
        """Publish readings as live."""
        self.publish("live", b"\n".join(reading.frame(*each) for each in readings))

    def leave(self) -> None:
        """Away, with a session that stays."""
        self._client.disconnect()
        self._client.loop_stop()

    def _answer(self, client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        asked: Any = message.properties
        properties = dict(asked.UserProperty)
        self.received.append((message.topic, bytes(message.payload), properties))
        payload = json.loads(message.payload)
        readings = payload if isinstance(payload, list) else [payload]
        outcomes = [self.outcome(each, int(properties["received_us"])) for each in readings]
        if None not in outcomes:
            receipt = {asked.CorrelationData.decode(): outcomes}
            client.publish(asked.ResponseTopic, json.dumps(receipt).encode(), 0)


def _send_at_once(_: paho.Client, __: object, opened: Any) -> None:
    """Without this each receipt waits 40 ms for the PUBACK before it to be acknowledged by TCP."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class StatusReader:
    """What the API says of itself, as an operator's tool hears it."""

    def __init__(self, broker: Broker) -> None:
        self.heard: list[dict[str, Any]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.username_pw_set("operator", broker.passwords["operator"])
        self._client.on_message = lambda _, __, message: self.heard.append(json.loads(message.payload))
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._client.subscribe("status/http_api", 1)

    @property
    def states(self) -> list[str]:
        """Each change of ``state``."""
        states = [status["state"] for status in self.heard]
        return [state for state, before in zip(states, ["", *states], strict=False) if state != before]

    @property
    def counters(self) -> dict[str, int]:
        """The last ones."""
        return self.heard[-1]["counters"] if self.heard else {}

    def leave(self) -> None:
        """Stop listening."""
        self._client.disconnect()
        self._client.loop_stop()


def store(payload: dict[str, Any], received_us: int) -> int:
    """The usual outcome."""
    return reading.parse_time(payload["time"]) if "time" in payload else received_us


def silence(payload: dict[str, Any], received_us: int) -> None:
    """No receipt."""
