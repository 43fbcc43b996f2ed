"""A steady flow of numbered readings, from outside the system, and what became of each in the store.

The number is the reading: kind ``telemetry``, value ``n``, no time and no id. So a reading that is stored twice is two
rows, and one that is lost is a number missing.
"""

import http.client
import json
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sensorflow.influx import Influx
from tests.e2e.system import System
from tests.waiting import until

SENSORS = 20
WARM_UP = 130_000  # readings; the timeline remembers 100,000, the fingerprints 60,000 messages
_IN_FLIGHT = 500  # messages; a device waits for PUBACKs beyond
_TICK_S = 0.005
_FIRST_OF_BOARD = 1_000_000_000  # boards and devices count apart


class Flow:
    """A device that publishes at ``rate`` readings per second, ``per_message`` in one, until it is stopped.

    ``accepted`` holds the numbers that the broker has acknowledged. Not for a broker that goes away.

    Args:
        rate: What it aims at; a broker that acknowledges more slowly gets less.
        also: More fields of every ``mark_every``-th reading, where a trial needs some that differ.
        is_stamped: Whether each says when it was ``sent``, by the clock of ``time.monotonic``.
    """

    def __init__(
        self,
        system: System,
        *,
        rate: float,
        per_message: int = 1,
        first: int = 0,
        also: dict[str, object] | None = None,
        mark_every: int = 1,
        is_stamped: bool = False,
    ) -> None:
        self.accepted: set[int] = set()
        self.marked: set[int] = set()
        self._rate, self._per_message, self._next = rate, per_message, first
        self._also, self._mark_every = also, mark_every
        self._first, self._is_stamped = first, is_stamped
        self._in_flight: dict[int, range] = {}
        self._messages = 0
        self._stopping = threading.Event()
        self._broken: Exception | None = None
        self._socket = _connected(system)
        self._thread = threading.Thread(target=self._run, name="flow", daemon=True)
        self._thread.start()

    @property
    def offered(self) -> int:
        """Readings sent so far."""
        return self._next - self._first

    def stop(self) -> None:
        """Send nothing more, and wait for the last PUBACK."""
        self._stopping.set()
        self._thread.join(30)
        self._socket.close()
        if self._broken:
            raise self._broken
        assert not self._in_flight, f"{len(self._in_flight)} messages without a PUBACK"

    def _run(self) -> None:
        try:
            self._flow()
        except Exception as error:  # noqa: BLE001 - raised in the thread that stops us
            self._broken = error

    def _flow(self) -> None:
        started, rest = time.monotonic(), b""
        give_up = float("inf")
        while self._in_flight or not self._stopping.is_set():
            if self._stopping.is_set():
                give_up = min(give_up, time.monotonic() + 20)
                assert time.monotonic() < give_up, "no PUBACK within 20 s"
            else:
                due = int((time.monotonic() - started) * self._rate) - self.offered
                count = min(due // self._per_message, _IN_FLIGHT - len(self._in_flight))
                self._socket.sendall(b"".join(self._message() for _ in range(count)))
            if select.select([self._socket], [], [], _TICK_S)[0]:
                data = self._socket.recv(65_536)
                assert data, "the broker closed the connection"
                rest = self._take(rest + data)

    def _message(self) -> bytes:
        numbers = range(self._next, self._next + self._per_message)
        self._next = numbers.stop
        self._messages += 1
        packet_id = self._messages % 65_535 + 1
        self._in_flight[packet_id] = numbers
        payload = json.dumps([self._reading(n) for n in numbers] if len(numbers) > 1 else self._reading(numbers[0]))
        topic = b"sensors/flow-%d/telemetry" % (self._messages % SENSORS)
        # PUBLISH, QoS 1 (MQTT 3.1.1, 3.3): | 0x32 | length | topic | packet id | payload |
        return _packet(0x32, _text(topic) + struct.pack(">H", packet_id) + payload.encode())

    def _reading(self, n: int) -> dict[str, object]:
        reading: dict[str, object] = {"n": n}
        if self._is_stamped:
            reading["sent"] = time.monotonic()
        if self._also is not None and n % self._mark_every == 0:
            self.marked.add(n)
            reading |= self._also
        return reading

    def _take(self, data: bytes) -> bytes:
        """PUBACKs are | 0x40 | 2 | packet id |, and nothing else comes."""
        whole = len(data) // 4 * 4
        for kind, size, packet_id in struct.iter_unpack(">BBH", data[:whole]):
            assert (kind, size) == (0x40, 2), data[:whole]
            self.accepted.update(self._in_flight.pop(packet_id))
        return data[whole:]


@dataclass
class Board:
    """A board that POSTs a reading every ``1 / rate`` s over one connection, and notes each answer."""

    system: System
    rate: float
    accepted: set[int] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    """When each 201 came, and how long it took."""
    first: int = _FIRST_OF_BOARD

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more."""
        self._stopping.set()
        self._thread.join(30)

    def p99_s(self, since: float, until_: float) -> float:
        """Of the 201s that came in this time."""
        took = sorted(took_s for at, took_s in self.latencies if since <= at < until_)
        assert len(took) >= 100, f"{len(took)} answers, too few for a p99"
        return took[int(0.99 * len(took))]

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.system.settings.http_port, timeout=15)
        headers = {"X-API-Key": self.system.key, "Content-Type": "application/json"}
        started, n = time.monotonic(), self.first
        while not self._stopping.is_set():
            began = time.monotonic()
            body = json.dumps({"n": n, "sensor_id": "board"})
            connection.request("POST", "/api/v1/telemetry", body, headers)
            answer = connection.getresponse()
            answer.read()
            ended = time.monotonic()
            self.answers[answer.status] += 1
            if answer.status in {201, 202}:
                self.accepted.add(n)
            if answer.status == 201:
                self.latencies.append((ended, ended - began))
            n += 1
            self._stopping.wait(max(0.0, started + (n - self.first) / self.rate - time.monotonic()))
        connection.close()


@dataclass(frozen=True)
class Verdict:
    """What the store has of the numbers."""

    lost: int
    duplicated: int
    foreign: int
    """Rows that nobody sent."""
    is_ordered: bool
    """Whether of each sensor, the later reading has the later time."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.foreign) and self.is_ordered


def judge(system: System, accepted: Iterable[int], *, sent: Iterable[int] | None = None) -> Verdict:
    """Compare what was accepted with what is in the store.

    Args:
        sent: What may be there as well: sent, and answered with a "nobody knows".
    """
    influx = Influx(
        f"http://127.0.0.1:{system.settings.influx_port}",
        system.settings.influx_token.get_secret_value(),
        system.settings.influx_database,
        timeout_s=60,
    )
    try:
        found = influx.query("SELECT sensor_id, n FROM telemetry WHERE n IS NOT NULL ORDER BY sensor_id, time")
    finally:
        influx.close()
    by_sensor: dict[str, list[int]] = {}
    for sensor_id, n in zip(found["sensor_id"].to_pylist(), found["n"].to_pylist(), strict=True):
        by_sensor.setdefault(sensor_id, []).append(int(n))
    counts = Counter(n for numbers in by_sensor.values() for n in numbers)
    owed = set(accepted)
    return Verdict(
        lost=len(owed - counts.keys()),
        duplicated=counts.total() - len(counts),
        foreign=len(counts.keys() - owed - set(sent or ())),
        is_ordered=all(numbers == sorted(numbers) for numbers in by_sensor.values()),
    )


def warm_up(system: System) -> Flow:
    """Send so many that the bridge's memory of past readings is as large as it gets; what has done it, stopped."""
    flow = Flow(system, rate=50_000, per_message=2)
    until(lambda: flow.offered >= WARM_UP, 60)
    flow.stop()
    wait_until_drained(system)
    return flow


def status(system: System) -> dict[str, Any]:
    """What the bridge last wrote about itself; at most 5 s old, and at once after a change."""
    said: dict[str, Any] = json.loads((Path(system.settings.data_dir) / "bridge-status.json").read_bytes())
    return said


def wait_until_drained(system: System, timeout_s: float = 60) -> None:
    """Until nothing is spooled any more."""
    until(lambda: status(system)["counters"]["spooled"] == 0, timeout_s)


def rss_mb(system: System, name: str) -> float:
    """Resident memory of one of its processes, in MB (2**20 bytes)."""
    return float(psutil.Process(system._processes[name].pid).memory_info().rss / 2**20)


def _connected(system: System) -> socket.socket:
    """As the shared user ``device``, in MQTT 3.1.1: what most devices speak."""
    client = socket.create_connection(("127.0.0.1", system.settings.mqtt_port), timeout=20)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    password = system.settings.mqtt_device_password.get_secret_value().encode()
    # CONNECT (3.1): protocol MQTT 4; user name, password, clean session; no keepalive
    head = _text(b"MQTT") + b"\x04\xc2" + struct.pack(">H", 0)
    client.sendall(_packet(0x10, head + _text(b"") + _text(b"device") + _text(password)))
    assert client.recv(4) == b"\x20\x02\x00\x00", "the broker does not let the device in"
    return client


def _packet(first: int, body: bytes) -> bytes:
    size, length = len(body), bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | 0x80 if size else digit)
        if not size:
            return bytes([first]) + length + body


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value
