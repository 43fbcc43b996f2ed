from typing import cast

import pytest

from http_api.store_watch import StoreWatch
from sensorflow.errors import TransientError
from sensorflow.influx import Influx, Ping


class ScriptIsOverError(Exception):
    """Ends the watch, which runs for ever."""


class Scripted:
    """A store that answers each ping as the script says."""

    def __init__(self, *answers: bool) -> None:
        self._answers = iter(answers)

    def ping(self) -> Ping:
        answers = next(self._answers, None)
        if answers is None:
            raise ScriptIsOverError
        if not answers:
            raise TransientError("away")
        return Ping("1", None)


async def watch(*answers: bool, patience_s: float) -> StoreWatch:
    store = cast("Influx", Scripted(*answers))
    watching = StoreWatch(store, every_s=0.01, patience_s=patience_s)
    with pytest.raises(ScriptIsOverError):
        await watching.run()
    return watching


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "http_api")
    return caplog


def said(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in log.records]


async def test_a_store_that_starts_after_us_is_no_warning(log: pytest.LogCaptureFixture) -> None:
    await watch(False, False, True, True, patience_s=10)

    assert said(log) == [("INFO", "store answers")]


async def test_a_store_that_does_not_start_is_one_warning(log: pytest.LogCaptureFixture) -> None:
    await watch(False, False, False, patience_s=0)

    assert said(log) == [("WARNING", "store does not answer")]


async def test_a_loss_and_a_return_are_warnings_at_once(log: pytest.LogCaptureFixture) -> None:
    await watch(True, False, False, True, patience_s=10)

    assert said(log) == [
        ("INFO", "store answers"),
        ("WARNING", "store does not answer"),
        ("WARNING", "store answers again"),
    ]


async def test_before_the_first_ping_is_over_it_is_neither_there_nor_away() -> None:
    unknown = await watch(patience_s=10)
    away = await watch(False, patience_s=10)
    connected = await watch(True, patience_s=10)

    assert [(each.is_connected, each.is_away) for each in (unknown, away, connected)] == [
        (False, False),
        (False, True),
        (True, False),
    ]
