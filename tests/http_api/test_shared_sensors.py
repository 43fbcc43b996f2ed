"""The directory of sensors, with a store of which the test says when it answers, and what."""

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from http_api import sensors as sensors_module
from http_api.directory import LIKELY_FOR_S, Directory, Seen
from http_api.sensors import Sensors
from sensorflow.errors import TransientError
from sensorflow.kinds import Telemetry, TemperatureReading


class Questions:
    """Each waits until the test settles it."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[dict[str, Seen]]] = []

    async def ask(self, _: Callable[[], object]) -> dict[str, Seen]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


@pytest.fixture
def questions() -> Questions:
    return Questions()


@pytest.fixture
def directory() -> Directory:
    return Directory([Telemetry.kind, TemperatureReading.kind])


@pytest.fixture
def sensors(questions: Questions, directory: Directory) -> Sensors:
    bridge, session = SimpleNamespace(is_behind=False), SimpleNamespace(is_connected=True)
    return Sensors(cast("Any", questions), directory, cast("Any", bridge), cast("Any", session), timeout_s=5.0)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_who_wait_share_one_question_and_its_failure(sensors: Sensors, questions: Questions) -> None:
    waiting = [asyncio.create_task(sensors.known([Telemetry])) for _ in range(50)]
    await turns()

    questions.asked[0].set_exception(TransientError("away"))
    await turns()

    assert len(questions.asked) == 1
    assert [str(each.exception()) for each in waiting] == ["away"] * 50
    again = asyncio.create_task(sensors.known([Telemetry]))
    await turns()
    questions.asked[1].set_result({})
    await again


async def test_kinds_do_not_wait_for_each_other(sensors: Sensors, questions: Questions) -> None:
    slow = asyncio.create_task(sensors.known([Telemetry]))
    await turns()
    quick = asyncio.create_task(sensors.known([TemperatureReading]))
    await turns()

    questions.asked[1].set_result({})
    await turns()

    assert (quick.done(), slow.done()) == (True, False)
    slow.cancel()


async def test_one_who_goes_leaves_the_question_to_the_others(sensors: Sensors, questions: Questions) -> None:
    first, second = (asyncio.create_task(sensors.known([Telemetry])) for _ in range(2))
    await turns()

    first.cancel()
    await turns()
    questions.asked[0].set_result({})

    assert await second
    assert len(questions.asked) == 1


async def test_all_kinds_together_have_one_deadline(questions: Questions, directory: Directory) -> None:
    state: Any = SimpleNamespace(is_behind=False, is_connected=True)
    sensors = Sensors(cast("Any", questions), directory, state, state, timeout_s=0.01)

    with pytest.raises(TransientError, match=r"within 0\.01 s"):
        await sensors.known([Telemetry, TemperatureReading])


async def test_it_is_good_from_the_end_of_the_question(
    sensors: Sensors, questions: Questions, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(sensors_module, "time", SimpleNamespace(monotonic=lambda: now_s))
    asking = asyncio.create_task(sensors.known([Telemetry]))
    await turns()
    directory.reconnected()  # which makes the answer a likely one only

    now_s = 106.0
    questions.asked[0].set_result({"a": Seen(1, 1, {}, time.monotonic())})
    await asking

    assert directory.is_good(Telemetry.kind, 106.0 + LIKELY_FOR_S - 0.1)
    assert not directory.is_good(Telemetry.kind, 106.0 + LIKELY_FOR_S)
