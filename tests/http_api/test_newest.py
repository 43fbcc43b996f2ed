"""Where the newest reading is told from, with a store of which the test says when it answers, and what."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from http_api import newest as newest_module
from http_api.latest import Latest, Newest
from http_api.newest import NewestReadings
from sensorflow.errors import TransientError
from sensorflow.kinds import Telemetry

SERIES = ("pump", Telemetry.kind)
OURS = Newest(5, {"rpm": 5.0}, "192.0.2.1")
LATER = Newest(9, {"rpm": 9.0}, None)


class Questions:
    """Each waits until the test settles it."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[Newest | None]] = []

    async def ask(self, _: Callable[[], object]) -> Newest | None:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


@pytest.fixture
def questions() -> Questions:
    return Questions()


@pytest.fixture
def latest() -> Latest:
    latest = Latest()
    latest.reconnected()
    return latest


@pytest.fixture
def newest(questions: Questions, latest: Latest) -> NewestReadings:
    bridge, session = SimpleNamespace(is_behind=False), SimpleNamespace(is_connected=True)
    return NewestReadings(cast("Any", questions), latest, cast("Any", bridge), cast("Any", session))


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def find(newest: NewestReadings, sensor_id: str = "pump") -> Newest | None:
    async with asyncio.timeout(1):
        return await newest.find(Telemetry, sensor_id)


async def test_a_reading_of_our_own_is_told_at_once_and_a_later_one_of_the_store_from_then_on(
    newest: NewestReadings, latest: Latest, questions: Questions
) -> None:
    latest.offer(SERIES, OURS)

    assert [await find(newest) for _ in range(3)] == [OURS] * 3
    await turns()
    assert len(questions.asked) == 1
    questions.asked[0].set_result(LATER)
    await turns()

    assert await find(newest) == LATER
    assert len(questions.asked) == 1


async def test_a_store_that_is_away_is_asked_again_later(
    newest: NewestReadings, latest: Latest, questions: Questions
) -> None:
    latest.offer(SERIES, OURS)
    await find(newest)
    await turns()
    questions.asked[0].set_exception(TransientError("away"))
    await turns()

    assert await find(newest) == OURS
    await turns()
    assert len(questions.asked) == 2


async def test_what_was_accepted_before_the_feed_had_a_gap_is_not_told_unasked(
    newest: NewestReadings, latest: Latest, questions: Questions
) -> None:
    latest.offer(SERIES, OURS)
    latest.reconnected()

    asking = asyncio.create_task(find(newest))
    await turns()
    questions.asked[0].set_result(LATER)

    assert await asking == LATER


async def test_only_so_many_series_are_checked_at_once(
    newest: NewestReadings, latest: Latest, questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest_module, "MAX_CHECKS", 2)
    for name in "abc":
        latest.offer((name, Telemetry.kind), OURS)

        assert await find(newest, name) == OURS
    await turns()

    assert len(questions.asked) == 2
