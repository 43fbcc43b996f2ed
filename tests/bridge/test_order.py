"""The bridge's loop in this process: what comes before what, and what it knows when it starts again."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from bridge import service
from bridge.intake import Commit
from bridge.service import Bridge
from bridge.spool import Spool, SpoolFullError
from sensorflow.influx import Ping
from sensorflow.kinds import load_kinds
from sensorflow.mqtt import Delivery, Event
from sensorflow.reading import TimeWindow
from tests.bridge.deliveries import RECEIPTS, posted
from tests.waiting import until_async

COUNT = 3
TELEMETRY = "sensors/s1/telemetry"
NUMBER, TEXT = b'{"a": 1}', b'{"a": "x"}'
TIMED = b'{"a": 1, "time": %d}' % time.time_ns()


class Session:
    """Keeps what the bridge says to the broker, in order."""

    is_connected = True

    def __init__(self) -> None:
        self.said: list[str] = []
        self._arrived: asyncio.Queue[list[Event]] = asyncio.Queue()

    def deliver(self, payload: bytes = NUMBER, *, again: bool = False) -> None:
        """``COUNT`` messages; ``again`` as a broker does whose acknowledgements were lost."""
        properties: dict[str, Any] = {"received_us": "", "response_topic": RECEIPTS, "duplicate": again}
        deliveries = [
            posted(payload, TELEMETRY, packet_id=number, correlation_data=b"%x" % number, **properties)
            for number in range(1, COUNT + 1)
        ]
        self._arrived.put_nowait([*deliveries])

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def events(self) -> list[Event]:
        return await self._arrived.get()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.said += [f"PUBACK {each.packet_id}" for each in deliveries]

    async def publish(self, topic: str, payload: bytes, **options: object) -> None:
        if not topic.startswith("status/"):
            self.said.append(topic)


def has_heard_all(session: Session) -> bool:
    return f"PUBACK {COUNT}" in session.said


class Store:
    """One that takes everything."""

    def write(self, lines: bytes) -> None:
        pass

    def declare(self, *_: object) -> None:
        pass

    def ping(self) -> Ping:
        return Ping("1", "only")


class GatedSpool(Spool):
    """A spool whose commits wait for the gate, and fail as often as they are told."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, max_bytes=2**30)
        self.gate, self.failures = threading.Event(), 0
        self.tried = 0

    def commit(self, commit: Commit) -> None:
        self.tried += 1
        assert self.gate.wait(10)
        if self.failures:
            self.failures -= 1
            raise SpoolFullError("no room")
        super().commit(commit)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "backoff_s", lambda *_, **__: 0.001)


@pytest.fixture
def spool(tmp_path: Path) -> GatedSpool:
    return GatedSpool(tmp_path / "spool")


@asynccontextmanager
async def running(spool: GatedSpool, directory: Path) -> AsyncIterator[Session]:
    session = Session()
    bridge = Bridge(
        cast("Any", session),
        spool,
        cast("Any", Store()),
        load_kinds(),
        TimeWindow(),
        replay_window_s=60,
        status_file=directory / "status.json",
    )
    stopping = asyncio.Event()
    task = asyncio.create_task(bridge.run(stopping))
    try:
        yield session
    finally:
        stopping.set()
        spool.gate.set()
        await task
        spool.close()


async def test_nobody_hears_of_a_reading_before_it_is_on_the_disk(spool: GatedSpool, tmp_path: Path) -> None:
    async with running(spool, tmp_path) as session:
        session.deliver()
        await until_async(lambda: spool.tried)
        for _ in range(100):  # turns of the loop: enough for a wrong word
            await asyncio.sleep(0)
        assert session.said == []

        spool.gate.set()

        await until_async(lambda: len(session.said) == COUNT + 2)
        assert session.said == ["PUBACK 1", "PUBACK 2", "PUBACK 3", RECEIPTS, "live"]


async def test_commit_that_fails_is_tried_again_and_says_nothing_meanwhile(spool: GatedSpool, tmp_path: Path) -> None:
    spool.failures = 1_000_000
    spool.gate.set()
    async with running(spool, tmp_path) as session:
        session.deliver()
        await until_async(lambda: spool.tried > 5)
        assert session.said == []

        spool.failures = 0

        await until_async(lambda: len(session.said) == COUNT + 2)
        assert spool.depth().accepted == COUNT


async def test_bridge_that_is_stopped_before_there_is_room_has_acknowledged_nothing(
    spool: GatedSpool, tmp_path: Path
) -> None:
    spool.failures = 1_000_000
    spool.gate.set()
    async with running(spool, tmp_path) as session:
        session.deliver()
        await until_async(lambda: spool.tried > 5)

    assert session.said == []


@pytest.mark.parametrize(
    ("first", "then", "again", "accepted", "dead_letters"),
    [(NUMBER, NUMBER, True, COUNT, 0), (TIMED, TIMED, False, 1, 0), (NUMBER, TEXT, False, 2 * COUNT, COUNT)],
    ids=["redeliveries", "times", "types of fields"],
)
async def test_bridge_that_starts_again_knows_what_its_spool_knows(
    tmp_path: Path, first: bytes, then: bytes, accepted: int, dead_letters: int, *, again: bool
) -> None:
    for payload, is_again in ((first, False), (then, again)):
        spool = GatedSpool(tmp_path / "spool")
        spool.gate.set()
        async with running(spool, tmp_path) as session:
            session.deliver(payload, again=is_again)
            await until_async(partial(has_heard_all, session))
            depth = spool.depth()

    assert (depth.accepted, depth.dead_letters) == (accepted, dead_letters)
