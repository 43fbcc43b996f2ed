"""The trial of hostile sensor ids, R22: by each of the three ways on which one comes in."""

import http.client
import json
import socket
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from urllib.parse import quote

from tests.e2e.system import System
from tests.faults import hostile
from tests.faults.board import ACCEPTED
from tests.faults.findings import counters, settle, settle_after
from tests.faults.injections import tables
from tests.faults.input import Message
from tests.faults.oracle import Oracle
from tests.faults.running import board_of, device_of, running
from tests.faults.trial import Outcome, trial
from tests.waiting import until

SEED = 22
IDS = 2000
BOARDS = 100
BODY = b'{"number": 1, "third": true, "text": "hostile"}'
# What the services log when the broker has closed their connection.
CUT = "trying again"


class RawDevice:
    """MQTT 3.1.1 by hand: libraries refuse to send what this one has to."""

    def __init__(self, system: System) -> None:
        self.cuts = 0
        self._system = system
        self._socket = self._connected()

    def publish(self, topic: str) -> bool:
        """With QoS 1; False where the broker closes the connection instead of a PUBACK."""
        self._send(0x32, _text(topic) + struct.pack(">H", 1) + BODY)
        try:
            if self._socket.recv(4) == b"\x40\x02\x00\x01":
                return True
        except ConnectionError:
            pass
        self.cuts += 1
        self._socket.close()
        self._socket = self._connected()
        return False

    def leave(self) -> None:
        self._socket.close()

    def _connected(self) -> socket.socket:
        self._socket = socket.create_connection(("127.0.0.1", self._system.settings.mqtt_port), 10)
        password = self._system.settings.mqtt_device_password.get_secret_value()
        # CONNECT (3.1): protocol, level 4, user name + password + clean session, keep alive 60 s, client id, both.
        head = _text("MQTT") + b"\x04\xc2\x00\x3c" + _text("") + _text("device") + _text(password)
        self._send(0x10, head)
        assert self._socket.recv(4) == b"\x20\x02\x00\x00"
        return self._socket

    def _send(self, kind: int, packet: bytes) -> None:
        length, size = b"", len(packet)
        while size or not length:
            size, seven = divmod(size, 128)
            length += bytes([seven | (128 if size else 0)])
        self._socket.sendall(bytes([kind]) + length + packet)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


@trial("R22", must_hold="only ids of the pattern pass; broker disconnects 0; tables and tags unchanged")
def hostile_ids(directory: Path) -> Outcome:
    chance = Random(SEED)  # noqa: S311 - to be repeated by its seed
    ids = list(dict.fromkeys(hostile.sensor_ids(chance, 2 * IDS)))[:IDS]
    right = set(filter(hostile.is_sensor_id, ids))
    with running(directory) as system:
        system.wait_until()
        device = device_of(system)
        with Oracle(device) as oracle:
            (first,) = settle_after(system, oracle, device)  # so that its columns are there
        before = tables(system)
        posted = _post(system, ids)
        gets = _get(system, ids)
        raw = RawDevice(system)
        published = {each for each in ids if raw.publish(f"sensors/{each}/telemetry")}
        raw.leave()
        owed = Counter({each: (each in posted) + (each in published) for each in right})
        owed[first.sensor_id] = 1
        settle(system, messages=owed.total())
        with suppress(AssertionError):
            until(lambda: counters(system).get("dead_letters", 0) >= len(published - right), 5)
        found = Counter(row["sensor_id"] for row in system.rows("SELECT sensor_id FROM telemetry"))
        buried = counters(system).get("dead_letters", 0)
        after = tables(system)
        cuts = sum(system.log(name).count(CUT) for name in ("bridge", "http_api"))
    wrong_gets = {each for each, status in gets.items() if status != (404 if each in right else 422)}
    return Outcome(
        injected=f"{len(ids)} ids (seed {SEED}), {len(right)} of them good: in a POST, a GET and a topic",
        offered=2 * len(ids),
        accepted=len(posted) + len(published),
        lost=(owed - found).total() + len(published - right) - buried,
        duplicated=(found - owed).total(),
        measured=f"{len(posted ^ right)} POSTs and {len(wrong_gets)} GETs judged wrongly, {buried} dead letters, "
        f"services cut off {cuts} x, the device itself {raw.cuts} x, {len(after ^ before)} columns changed",
        holds=found == owed
        and posted == right
        and not (wrong_gets or cuts)
        and buried == len(published - right)
        and after == before,
    )


def _post(system: System, ids: list[str]) -> set[str]:
    """Those that were accepted."""
    body = json.loads(BODY)
    messages = [Message(each, 0, raw=json.dumps({**body, "sensor_id": each}).encode()) for each in ids]
    boards = [board_of(system, tries=1) for _ in range(BOARDS)]
    with Oracle(*boards) as oracle:
        for number, board in enumerate(boards):
            oracle.offer(board, messages[number::BOARDS])
        oracle.wait(60)
    return {each.sensor_id for each in messages if each.answer in ACCEPTED}


def _get(system: System, ids: list[str]) -> dict[str, int]:
    """The status of each; of a kind of which there is no reading."""
    answers = {}
    connection = http.client.HTTPConnection("127.0.0.1", system.settings.http_port, timeout=10)
    for each in ids:
        path = f"/api/v1/sensor/{quote(each, safe='')}/latest?kind=temperature_reading"
        connection.request("GET", path, headers={"X-API-Key": system.key})
        answer = connection.getresponse()
        answer.read()
        answers[each] = answer.status
    connection.close()
    return answers
