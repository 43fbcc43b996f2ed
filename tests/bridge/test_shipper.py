import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge import shipper as shipper_module
from bridge.intake import Commit
from bridge.shipper import Shipper, write_all
from bridge.spool import Spool, SpoolFullError
from sensorflow.errors import PermanentError, TransientError
from sensorflow.influx import PartialWriteError, Ping
from sensorflow.kinds import load_kinds
from tests.waiting import until_async

WINDOW_S = 60


class StandIn:
    """A store in memory that fails as it is told."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.writes: list[list[bytes]] = []
        self.failures: list[Exception] = []
        self.rejects: Callable[[bytes], bool] = lambda _: False
        self.has_line_errors = True
        self.process_id: str | None = "first"
        self.is_there = True
        self.pings = 0

    def write(self, lines: bytes) -> None:
        self.writes.append(lines.split(b"\n"))
        if self.failures:
            raise self.failures.pop(0)
        bad = [number for number, line in enumerate(self.writes[-1], 1) if self.rejects(line)]
        if bad and not self.has_line_errors:
            raise PermanentError("store answered 400: something is wrong")
        self.rows += [line for number, line in enumerate(self.writes[-1], 1) if number not in bad]
        if bad:
            raise PartialWriteError([(number, f"line {number} is bad") for number in bad])

    def ping(self) -> Ping:
        self.pings += 1
        if not self.is_there:
            raise TransientError("store unreachable")
        return Ping("1", self.process_id)


@pytest.fixture
def store() -> StandIn:
    return StandIn()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool", max_bytes=2**30)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper_module, "PING_INTERVAL_S", 0.01)
    monkeypatch.setattr(shipper_module, "backoff_s", lambda _, **__: 0.001)


async def in_spool(call: Callable[..., Any], *arguments: Any) -> Any:
    await asyncio.sleep(0)
    return call(*arguments)


@asynccontextmanager
async def shipping(
    spool: Spool,
    store: StandIn,
    in_spool: Any = in_spool,
    on_new_store: Callable[[], None] = lambda: None,
    on_stored: Callable[[float], None] = lambda _: None,
) -> AsyncIterator[Shipper]:
    rejected: list[tuple[str, str]] = []
    shipper = Shipper(
        spool,
        in_spool,
        store,
        load_kinds(),
        replay_window_s=WINDOW_S,
        on_change=lambda: None,
        on_new_store=on_new_store,
        on_stored=on_stored,
        on_rejected=lambda line, letter: rejected.append((line, letter.reason)),
    )
    shipper.rejected = rejected  # type: ignore[attr-defined] # for the test to look at
    task = asyncio.create_task(shipper.run())
    try:
        yield shipper
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def lines(*numbers: int) -> list[str]:
    return [f'telemetry,sensor_id=s1 a={number}.0,client_ip="::1" {number}' for number in numbers]


def put(spool: Spool, *numbers: int) -> None:
    spool.commit(Commit(time.time_ns() // 1000, lines(*numbers)))


def dead_letters(spool: Spool) -> list[tuple[str, str, str, dict[str, Any], str]]:
    rows = spool._db.execute("SELECT reason, detail, topic, payload, client_ip FROM dead_letter ORDER BY id")
    return [(*row[:3], json.loads(row[3]), row[4]) for row in rows]


def stored(store: StandIn) -> list[int]:
    return sorted(int(row.rpartition(b" ")[2]) for row in store.rows)


async def test_what_is_in_the_spool_and_what_comes_later_is_shipped(spool: Spool, store: StandIn) -> None:
    put(spool, 1, 2)
    async with shipping(spool, store) as shipper:
        await until_async(lambda: spool.depth().spooled == 0)

        put(spool, 3)
        shipper.wake()

        await until_async(lambda: spool.depth().spooled == 0)
        await until_async(lambda: shipper.is_connected)
    assert stored(store) == [1, 2, 3]


async def test_store_that_is_away_for_a_while_gets_all_of_it_later(spool: Spool, store: StandIn) -> None:
    store.failures = [TransientError("away")] * 7
    put(spool, 1, 2)

    async with shipping(spool, store):
        await until_async(lambda: spool.depth().spooled == 0)

    assert stored(store) == [1, 2]
    assert len(store.writes) == 8
    assert dead_letters(spool) == []


@pytest.mark.parametrize("process_id", ["first", None])
async def test_store_that_answers_but_takes_nothing_is_away_until_it_does(
    spool: Spool, store: StandIn, process_id: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bridge")
    store.process_id = process_id
    store.failures = [TransientError("store answered 401")] * 10_000
    met: list[None] = []
    put(spool, 1)
    async with shipping(spool, store, on_new_store=lambda: met.append(None)) as shipper:
        await until_async(lambda: store.writes)
        pings = store.pings
        await until_async(lambda: store.pings > pings + 5)
        while_refused = shipper.is_connected, len(met)
        store.failures.clear()
        await until_async(lambda: shipper.is_connected)

    said = [record.getMessage().partition(",")[0].partition(":")[0] for record in caplog.records]
    assert while_refused == (False, 1 if process_id else 2)  # without a process id it may have been restarted, once
    assert said == ["store connected", "store away", "store connected"]
    assert stored(store) == [1]


async def test_exactly_the_lines_that_the_store_rejects_are_dead_letters(spool: Spool, store: StandIn) -> None:
    store.rejects = lambda line: line.endswith((b" 2", b" 3"))
    put(spool, 1, 2)
    put(spool, 3, 4)

    async with shipping(spool, store) as shipper:
        await until_async(lambda: spool.depth().spooled == 0)
        assert shipper.rejected == [(line, "store_rejected") for line in lines(2, 3)]  # type: ignore[attr-defined] # as above

    assert stored(store) == [1, 4]
    assert dead_letters(spool) == [
        ("store_rejected", "line 2 is bad", "sensors/s1/telemetry", {"a": 2.0, "time": 2}, "::1"),
        ("store_rejected", "line 3 is bad", "sensors/s1/telemetry", {"a": 3.0, "time": 3}, "::1"),
    ]


async def test_line_that_the_store_does_not_name_is_found(spool: Spool, store: StandIn) -> None:
    store.has_line_errors = False
    store.rejects = lambda line: line.endswith((b" 13", b" 14", b" 90"))
    put(spool, *range(1, 101))

    async with shipping(spool, store):
        await until_async(lambda: spool.depth().spooled == 0)

    assert stored(store) == [number for number in range(1, 101) if number not in (13, 14, 90)]
    assert [letter[3]["time"] for letter in dead_letters(spool)] == [13, 14, 90]
    assert len(store.writes) < 50


async def test_store_that_goes_away_while_a_line_is_looked_for_costs_nothing(spool: Spool, store: StandIn) -> None:
    store.failures = [PermanentError("no"), PermanentError("no"), TransientError("away")]
    store.rejects = lambda line: line.endswith(b" 3")
    put(spool, 1, 2, 3, 4)

    async with shipping(spool, store):
        await until_async(lambda: spool.depth().spooled == 0)

    assert set(stored(store)) == {1, 2, 4}
    assert [letter[3]["time"] for letter in dead_letters(spool)] == [3]


async def test_store_that_was_restarted_gets_the_replay_window_again(spool: Spool, store: StandIn) -> None:
    put(spool, 1, 2)
    async with shipping(spool, store) as shipper:
        await until_async(lambda: spool.depth().spooled == 0 and shipper.is_connected)

        store.rows.clear()
        store.process_id = "second"

        await until_async(lambda: stored(store) == [1, 2])
        await until_async(lambda: spool.depth().spooled == 0)


async def test_store_without_process_ids_gets_it_again_when_it_was_away(spool: Spool, store: StandIn) -> None:
    store.process_id = None
    put(spool, 1)
    async with shipping(spool, store) as shipper:
        await until_async(lambda: spool.depth().spooled == 0 and shipper.is_connected)

        store.is_there = False
        await until_async(lambda: not shipper.is_connected)
        store.rows.clear()
        store.is_there = True

        await until_async(lambda: stored(store) == [1])


async def test_store_that_was_restarted_while_we_were_away_gets_it_again(spool: Spool, store: StandIn) -> None:
    put(spool, 1)
    async with shipping(spool, store):
        await until_async(lambda: spool.depth().spooled == 0)
    store.rows.clear()
    store.process_id = "second"

    async with shipping(spool, store):
        await until_async(lambda: stored(store) == [1] and spool.depth().spooled == 0)


async def test_store_that_is_the_same_at_the_next_start_gets_nothing_again(spool: Spool, store: StandIn) -> None:
    put(spool, 1)
    async with shipping(spool, store):
        await until_async(lambda: spool.depth().spooled == 0)

    async with shipping(spool, store):
        put(spool, 2)
        await until_async(lambda: spool.depth().spooled == 0)

    assert stored(store) == [1, 2]


async def test_store_without_process_ids_gets_it_again_at_every_start(spool: Spool, store: StandIn) -> None:
    store.process_id = None
    put(spool, 1)
    for _ in range(2):
        store.rows.clear()
        async with shipping(spool, store):
            await until_async(lambda: stored(store) == [1] and spool.depth().spooled == 0)


async def test_rejected_lines_are_not_sent_again_after_a_restart(spool: Spool, store: StandIn) -> None:
    store.rejects = lambda line: line.endswith(b" 2")
    put(spool, 1, 2)
    for process_id in ("first", "second"):
        store.process_id = process_id
        store.rows.clear()
        async with shipping(spool, store):
            await until_async(lambda: stored(store) == [1] and spool.depth().spooled == 0)

    depth = spool.depth()
    assert (depth.accepted, depth.stored, depth.dead_letters) == (2, 1, 1)
    assert len(dead_letters(spool)) == 1


async def test_restart_that_is_noticed_while_the_spool_is_read_forgets_nothing(spool: Spool, store: StandIn) -> None:
    gate, held = asyncio.Event(), asyncio.Event()
    gate.set()

    async def late(call: Callable[..., Any], *arguments: Any) -> Any:
        answer = await in_spool(call, *arguments)
        if call.__name__ == "unshipped" and answer is not None and not gate.is_set():
            held.set()
            await gate.wait()
        return answer

    put(spool, 1, 2)
    async with shipping(spool, store, late) as shipper:
        await until_async(lambda: spool.depth().spooled == 0 and shipper.is_connected)

        gate.clear()
        put(spool, 3)
        shipper.wake()
        await held.wait()
        store.rows.clear()
        store.process_id = "second"
        await until_async(lambda: spool.depth().spooled == 3)
        gate.set()

        await until_async(lambda: spool.depth().spooled == 0)
    assert set(stored(store)) == {1, 2, 3}


async def test_spool_that_cannot_be_written_for_a_while_stops_nothing(spool: Spool, store: StandIn) -> None:
    fails = {"unship": 2, "mark_shipped": 2}

    async def failing(call: Callable[..., Any], *arguments: Any) -> Any:
        if fails.get(call.__name__, 0):
            fails[call.__name__] -= 1
            raise SpoolFullError("disk full") from sqlite3.OperationalError()
        return await in_spool(call, *arguments)

    put(spool, 1)
    async with shipping(spool, store, failing) as shipper:
        await until_async(lambda: spool.depth().spooled == 0 and shipper.is_connected)

        fails["unship"] = 2
        store.rows.clear()
        store.process_id = "second"

        await until_async(lambda: stored(store) == [1])


async def test_time_to_the_store_is_measured_once_for_each_chunk_and_not_when_it_is_sent_again(
    spool: Spool, store: StandIn
) -> None:
    took_s: list[float] = []
    accepted_us = time.time_ns() // 1000 - 5_000_000
    spool.commit(Commit(accepted_us, lines(1)))
    spool.commit(Commit(accepted_us + 2_000_000, lines(2)))
    store.failures = [TransientError("away")]
    async with shipping(spool, store, on_stored=took_s.append) as shipper:
        await until_async(lambda: len(took_s) == 1 and shipper.is_connected)

        store.rows.clear()
        store.process_id = "second"
        await until_async(lambda: stored(store) == [1, 2] and spool.depth().spooled == 0)
        put(spool, 3)
        shipper.wake()
        await until_async(lambda: len(took_s) == 2)

    assert 5 <= took_s[0] < 60  # of the oldest reading in the chunk
    assert took_s[1] < 5


async def test_batch_that_is_sent_again_with_new_ones_is_not_measured(spool: Spool, store: StandIn) -> None:
    took_s: list[float] = []
    put(spool, 1)
    async with shipping(spool, store):
        await until_async(lambda: spool.depth().spooled == 0)
    put(spool, 2)
    store.process_id = "second"

    async with shipping(spool, store, on_stored=took_s.append) as shipper:
        await until_async(lambda: spool.depth().spooled == 0)
        put(spool, 3)
        shipper.wake()
        await until_async(lambda: spool.depth().spooled == 0 and len(took_s) > 0)

    assert store.writes[-2:] == [[line.encode() for line in lines(1, 2)], [line.encode() for line in lines(3)]]
    assert len(took_s) == 1


async def test_store_that_is_restarted_twice_before_it_has_all_again_counts_nothing_twice(
    spool: Spool, store: StandIn
) -> None:
    took_s: list[float] = []
    put(spool, 1)
    async with shipping(spool, store):
        await until_async(lambda: spool.depth().spooled == 0)

    store.failures = [TransientError("away")] * 10_000
    store.process_id = "second"
    async with shipping(spool, store, on_stored=took_s.append) as shipper:
        await until_async(lambda: spool.depth().spooled == 1 and shipper._rounds == 1)
        store.process_id = "third"
        await until_async(lambda: shipper._rounds == 2)
        store.failures.clear()
        await until_async(lambda: spool.depth().spooled == 0)
        put(spool, 2)
        shipper.wake()
        await until_async(lambda: spool.depth().spooled == 0 and len(took_s) > 0)

    assert len(took_s) == 1


async def test_new_store_is_told_of_at_the_first_answer_and_when_another_process_answers(
    spool: Spool, store: StandIn
) -> None:
    told: list[str | None] = []
    store.is_there = False
    async with shipping(spool, store, on_new_store=lambda: told.append(store.process_id)) as shipper:
        store.is_there = True
        await until_async(lambda: shipper.is_connected)
        store.is_there = False
        await until_async(lambda: not shipper.is_connected)
        store.is_there = True
        await until_async(lambda: shipper.is_connected)
        assert told == ["first"]

        store.process_id = "second"

        await until_async(lambda: told == ["first", "second"])


def test_nothing_but_refused_lines_comes_back_from_a_write(store: StandIn) -> None:
    store.rejects = lambda line: line == b"b"

    assert write_all(store, [b"a"]) == []
    assert write_all(store, [b"a", b"b", b"c"]) == [(b"b", "line 2 is bad")]


def test_only_line_that_is_refused_without_a_word_is_the_culprit(store: StandIn) -> None:
    store.has_line_errors = False
    store.rejects = lambda _: True

    assert write_all(store, [b"a", b"b"]) == [
        (b"a", "store answered 400: something is wrong"),
        (b"b", "store answered 400: something is wrong"),
    ]
