import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge import reporter as reporter_module
from bridge.reporter import Reporter
from bridge.stats import Stats
from bridge.status import Condition
from sensorflow.errors import PermanentError, TransientError
from sensorflow.influx import PartialWriteError
from tests.bridge.conditions import condition
from tests.waiting import until_async


class StandIn:
    """A store that fails as it is told, and a bridge at which time goes on by one microsecond a row."""

    def __init__(self) -> None:
        self.writes: list[list[int]] = []
        self.error: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.now_us = 0

    def write(self, lines: bytes) -> None:
        self.writes.append([int(line.rpartition(b" ")[2]) for line in lines.split(b"\n")])
        self.answers.wait(10)
        if self.error:
            raise self.error

    async def condition(self) -> Condition:
        self.now_us += 1
        return condition(time_us=self.now_us)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter_module, "INTERVAL_S", 0.01)


@pytest.fixture
def store() -> StandIn:
    return StandIn()


@asynccontextmanager
async def reporting(store: StandIn) -> AsyncIterator[Stats]:
    stats = Stats()
    task = asyncio.create_task(Reporter(store, stats, store.condition).run())
    try:
        yield stats
        assert not task.done()
    finally:
        store.answers.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_row_is_written_once(store: StandIn) -> None:
    async with reporting(store):
        await until_async(lambda: len(store.writes) >= 3)

    assert store.writes[:3] == [[1], [2], [3]]


async def test_rows_that_the_store_did_not_take_are_written_later_in_one_go(
    store: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    store.error = TransientError("store unreachable")
    with caplog.at_level(logging.WARNING, "bridge"):
        async with reporting(store) as stats:
            await until_async(lambda: len(store.writes) >= 3)

            store.error = None
            await until_async(lambda: not stats.rows)

    with_all = max(store.writes, key=len)
    assert with_all == list(range(1, with_all[-1] + 1))
    assert with_all[-1] >= 3
    assert [record.getMessage() for record in caplog.records] == [
        "statistics wait until the store takes them: store unreachable"
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermanentError("store answered 400"), "the store refuses statistics, which are lost: store answered 400"),
        (PartialWriteError([(1, "bad type")]), "the store refuses statistics, which are lost: 1 lines rejected"),
        (ZeroDivisionError("division by zero"), "statistics are lost by a bug: division by zero"),
    ],
    ids=["refused", "refused in part", "a bug"],
)
async def test_failure_for_good_costs_the_rows_and_one_line_of_log(
    store: StandIn, error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.error = error
    with caplog.at_level(logging.WARNING, "bridge"):
        async with reporting(store):
            await until_async(lambda: len(store.writes) >= 3)

    assert store.writes[:3] == [[1], [2], [3]]
    (record,) = caplog.records
    assert record.getMessage().startswith(said)


async def test_store_that_hangs_is_asked_by_one_write_at_a_time_and_later_gets_all(store: StandIn) -> None:
    store.answers.clear()
    async with reporting(store) as stats:
        await until_async(lambda: store.writes)
        for _ in range(10):
            stats.commits.add(0.001)  # the event loop goes on
            await asyncio.sleep(0)

        assert store.writes == [[1]]
        store.answers.set()
        await until_async(lambda: len(store.writes) >= 2)

    assert store.writes[:2] == [[1], [2]]


async def test_condition_that_cannot_be_told_stops_nothing(
    store: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([OSError("disk I/O error")])

    async def failing_once() -> Condition:
        for error in answers:
            raise error
        return await StandIn.condition(store)

    monkeypatch.setattr(store, "condition", failing_once)
    with caplog.at_level(logging.WARNING, "bridge"):
        async with reporting(store):
            await until_async(lambda: store.writes)

    assert [record.getMessage() for record in caplog.records] == ["statistics are lost by a bug: disk I/O error"]
