import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from bridge import heartbeat as heartbeat_module
from bridge.heartbeat import Heartbeat
from bridge.status import Condition
from sensorflow.mqtt import NO_MATCHING_SUBSCRIBERS, RefusedError, UnavailableError
from tests.bridge.conditions import condition
from tests.waiting import until_async


class StandIn:
    """A session that keeps what is published, or fails; and the condition of the bridge."""

    def __init__(self) -> None:
        self.is_connected = True
        self.published: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.accepted = 10

    async def publish(self, topic: str, payload: bytes, *, retain: bool, timeout_s: float) -> None:
        assert topic == "status/bridge"
        assert retain
        assert timeout_s == 2
        if self.errors:
            raise self.errors.pop()
        self.published.append(json.loads(payload))

    async def condition(self) -> Condition:
        return condition(accepted=self.accepted, has_broker=self.is_connected)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_module, "HEARTBEAT_S", 600)
    monkeypatch.setattr(heartbeat_module, "RETRY_S", 0.01)


@pytest.fixture
def session() -> StandIn:
    return StandIn()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridge-status.json"


@asynccontextmanager
async def beating(session: StandIn, file: Path) -> AsyncIterator[Heartbeat]:
    heartbeat = Heartbeat(cast("Any", session), session.condition, file)
    task = asyncio.create_task(heartbeat.run())
    try:
        yield heartbeat
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def read(file: Path) -> dict[str, Any]:
    """What the file says; empty where there is none."""
    said: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
    return said


async def test_file_says_what_the_broker_is_told(session: StandIn, file: Path) -> None:
    async with beating(session, file):
        await until_async(lambda: session.published)

    assert read(file) == session.published[0]
    assert {"service": "bridge", "state": "running", "broker": "connected", "store": "connected"}.items() <= read(
        file
    ).items()
    assert read(file)["time"] == "2025-08-16T14:30:45.123Z"
    assert read(file)["spool"] == {"readings": 3, "bytes": 4096, "oldest_s": 1.5, "is_full": False}
    assert read(file)["counters"]["accepted"] == 10


async def test_a_change_is_said_at_once(session: StandIn, file: Path) -> None:
    async with beating(session, file) as heartbeat:
        await until_async(lambda: session.published)
        session.accepted = 11
        heartbeat.wake()

        await until_async(lambda: len(session.published) == 2)

    assert session.published[1]["counters"]["accepted"] == read(file)["counters"]["accepted"] == 11


async def test_broker_that_comes_and_goes_is_seen_in_the_file(session: StandIn, file: Path) -> None:
    session.is_connected = False
    async with beating(session, file):
        await until_async(lambda: read(file).get("broker") == "disconnected")
        assert session.published == []

        session.is_connected = True
        await until_async(lambda: read(file)["broker"] == "connected" and session.published)

        session.is_connected = False
        await until_async(lambda: read(file)["broker"] == "disconnected")


async def test_file_is_renewed_while_nothing_changes_and_no_broker_is_there(
    session: StandIn, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_module, "HEARTBEAT_S", 0.02)
    session.is_connected = False
    async with beating(session, file):
        await until_async(file.exists)

        session.accepted = 11

        await until_async(lambda: read(file)["counters"]["accepted"] == 11)


async def test_what_the_broker_did_not_take_is_said_again_soon(session: StandIn, file: Path) -> None:
    session.errors = [UnavailableError("no PUBACK within 2 s")]

    async with beating(session, file):
        await until_async(lambda: session.published)


async def test_nobody_who_listens_is_no_reason_to_say_it_again(session: StandIn, file: Path) -> None:
    session.errors = [RefusedError("status/bridge", NO_MATCHING_SUBSCRIBERS)]

    assert await Heartbeat(cast("Any", session), session.condition, file).say("running")


async def test_file_is_replaced_as_a_whole(session: StandIn, file: Path) -> None:
    async with beating(session, file) as heartbeat:
        await until_async(lambda: session.published)
        with file.open("rb") as before:
            session.accepted = 11
            heartbeat.wake()
            await until_async(lambda: len(session.published) == 2)

            assert json.loads(before.read())["counters"]["accepted"] == 10

    assert [each.name for each in file.parent.iterdir()] == [file.name]


async def test_file_that_cannot_be_written_is_logged_once_and_stops_nothing(
    session: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "gone" / "bridge-status.json"
    with caplog.at_level(logging.WARNING, "bridge"):
        async with beating(session, file) as heartbeat:
            await until_async(lambda: len(session.published) == 1)
            heartbeat.wake()
            await until_async(lambda: len(session.published) == 2)

            file.parent.mkdir()
            heartbeat.wake()
            await until_async(lambda: read(file))

    (record,) = caplog.records
    assert record.getMessage().startswith("the status file cannot be written: [Errno 2] No such file or directory")


async def test_last_word_is_the_last_though_one_before_it_is_still_being_written(session: StandIn, file: Path) -> None:
    heartbeat = Heartbeat(cast("Any", session), session.condition, file)
    disk = threading.Event()

    def write_slowly() -> None:
        disk.wait(5)
        heartbeat._write(b'{"state": "running"}')

    heartbeat._thread.submit(write_slowly)

    saying = asyncio.create_task(heartbeat.say("stopped"))
    await asyncio.wait([saying], timeout=0.1)
    disk.set()
    await saying

    heartbeat._thread.shutdown()
    assert read(file)["state"] == "stopped"
