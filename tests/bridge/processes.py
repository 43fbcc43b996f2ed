"""The bridge and the store as real processes, a device and an operator by paho."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.broker import Broker

TOKEN = "apiv3_the-store-opens-to-this"
CLIMATE = {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5}


class Process:
    """``python -m name`` with these settings alone; its log is a file."""

    def __init__(self, name: str, directory: Path, **settings: object) -> None:
        self.log = directory / f"{name}.log"
        self._command = [sys.executable, "-W", "error", "-m", name]
        self._environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(directory), "INFLUX_TOKEN": TOKEN}
        self._environment |= {setting: str(value) for setting, value in settings.items()}
        self._directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self._directory, env=self._environment, stdout=log, stderr=log
            )

    def stop(self) -> int:
        """SIGTERM; its exit code, which has to come within 10 s."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        self.process = None
        return code

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Store(Process):
    """The embedded store on a port that stays."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__("store", directory, INFLUX_PORT=port)
        self.port = port
        self._url = f"http://127.0.0.1:{port}"
        self._headers = {"Authorization": f"Bearer {TOKEN}"}

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Empty also where the store is away or does not know the table yet."""
        try:
            answer = httpx.post(
                f"{self._url}/api/v3/query_sql", headers=self._headers, json={"db": "sensorflow", "q": sql}, timeout=10
            )
        except httpx.TransportError:
            return []
        rows: list[dict[str, Any]] = answer.json() if answer.status_code == 200 else []
        return rows

    def count(self, table: str = "sensor_readings") -> int:
        rows = self.rows(f"SELECT count(*) AS n FROM {table}")
        return int(rows[0]["n"]) if rows else 0

    def write(self, lines: str) -> int:
        answer = httpx.post(
            f"{self._url}/api/v3/write_lp",
            params={"db": "sensorflow", "precision": "microsecond"},
            headers=self._headers,
            content=lines,
        )
        return answer.status_code


class Bridge(Process):
    """The bridge between that broker and a store on that port."""

    def __init__(self, directory: Path, broker: Broker, store_port: int, **settings: object) -> None:
        super().__init__(
            "bridge",
            directory,
            MQTT_PORT=broker.port,
            MQTT_PASSWORD=broker.passwords["bridge"],
            INFLUX_HOST=f"http://127.0.0.1:{store_port}",
            **settings,
        )
        self._spool = directory / "spool" / "spool.db"

    def read_spool(self, sql: str) -> list[Any]:
        """Look into the spool beside the bridge."""
        if not self._spool.exists():
            return []
        db = sqlite3.connect(f"file:{self._spool}?mode=ro", uri=True)
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            db.close()

    @property
    def spooled(self) -> int:
        """Readings that it ever accepted."""
        return int(dict(self.read_spool("SELECT name, value FROM meta")).get("readings", 0))

    @property
    def waiting(self) -> int:
        """Readings that the store does not have."""
        counters = dict(self.read_spool("SELECT name, value FROM meta"))
        return int(counters.get("readings", 0) - counters.get("shipped", 0))


class Client:
    """A paho client; what it hears is in ``heard``."""

    def __init__(self, broker: Broker, user: str, *topics: str) -> None:
        self.heard: list[paho.MQTTMessage] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.username_pw_set(user, broker.passwords[user])
        self._client.max_inflight_messages_set(500)
        self._client.on_message = lambda _, __, message: self.heard.append(message)
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        if topics:
            self._client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in topics])
            assert subscribed.wait(5)

    def publish(self, *payloads: object, topic: str = "sensors/s1/temperature_reading", retain: bool = False) -> None:
        """With QoS 1; returns when the broker has all of them."""
        sent = [self.send(payload, topic, retain=retain) for payload in payloads]
        for message in sent:
            message.wait_for_publish(20)
            assert message.is_published()

    def send(self, payload: object, topic: str, *, retain: bool = False) -> paho.MQTTMessageInfo:
        """With QoS 1; returns at once."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self._client.publish(topic, body, 1, retain)

    def last(self, topic: str) -> dict[str, Any]:
        """The last JSON object heard on a topic; empty before the first."""
        payloads = [message.payload for message in self.heard if message.topic == topic]
        found: dict[str, Any] = json.loads(payloads[-1]) if payloads else {}
        return found

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected()

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
