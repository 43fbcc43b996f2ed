"""The bridge: the path of a reading from the broker to the spool, one loop, in the order that keeps the promise.

events -> decide -> commit (fsync) -> acknowledge -> announce -> ship
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bridge.announcer import Announcer
from bridge.columns import Columns
from bridge.declarations import Declarer, declarations
from bridge.fingerprints import Fingerprints
from bridge.footprint import footprint
from bridge.heartbeat import Heartbeat
from bridge.idempotency import Answers
from bridge.intake import Intake
from bridge.reporter import Reporter
from bridge.shipper import Shipper
from bridge.spool import SpoolFullError
from bridge.stats import Stats
from bridge.status import Condition
from bridge.timeline import Timeline
from sensorflow.backoff import backoff_s
from sensorflow.mqtt import Delivery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from bridge.intake import Commit, DeadLetter
    from bridge.spool import Depth, Spool
    from sensorflow.influx import Influx
    from sensorflow.kinds import Kinds
    from sensorflow.mqtt import Event, Session
    from sensorflow.reading import TimeWindow

STATUS_FILE_NAME = "bridge-status.json"
PRUNE_INTERVAL_S = 5.0
FLUSH_TIMEOUT_S = 2.0
MAX_COMMIT_BYTES = 2**20  # of payloads; the spool leaves many times that of its disk (bridge.spool.RESERVE_BYTES)

_log = logging.getLogger("bridge")


class Bridge:
    """One bridge on one spool; build it, then ``run`` it once."""

    def __init__(
        self,
        session: Session,
        spool: Spool,
        influx: Influx,
        kinds: Kinds,
        window: TimeWindow,
        *,
        replay_window_s: float,
        status_file: Path,
    ) -> None:
        self._session, self._spool = session, spool
        self._replay_window_us = int(replay_window_s * 1e6)
        self._spool_thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        columns = spool.columns()
        self._timeline = Timeline(spool.recent_lines())
        self._intake = Intake(
            kinds,
            window,
            columns=Columns(columns),
            fingerprints=Fingerprints(spool.fingerprints()),
            timeline=self._timeline,
            answers=Answers(spool.answers()),
        )
        self._announcer = Announcer(session)
        self._heartbeat = Heartbeat(session, self._condition, status_file)
        self._declarer = Declarer(influx, declarations(kinds, columns))
        self._stats = Stats()
        self._reporter = Reporter(influx, self._stats, self._condition)
        self._shipper = Shipper(
            spool,
            self._in_spool,
            influx,
            kinds,
            replay_window_s=replay_window_s,
            on_change=self._heartbeat.wake,
            on_new_store=self._declarer.wake,
            on_stored=self._stats.stored,
            on_rejected=self._on_rejected,
        )
        self._is_full = False
        self._started_s = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until told to stop; then finish the commit under way, and say good-bye.

        What was delivered and not committed by then stays with the broker.
        """
        async with asyncio.TaskGroup() as tasks:
            session = tasks.create_task(self._session.run(), name="mqtt session")
            announcing = tasks.create_task(self._announcer.run(), name="announcer")
            to_store = [
                tasks.create_task(self._shipper.run(), name="shipper"),
                tasks.create_task(self._declarer.run(), name="declarer"),
                tasks.create_task(self._reporter.run(), name="reporter"),
            ]
            heartbeat = tasks.create_task(self._heartbeat.run(), name="heartbeat")
            pruning = tasks.create_task(self._keep_pruning(), name="pruning")
            taking = tasks.create_task(self._take(stopping), name="take")
            await stopping.wait()
            for task in to_store:
                task.cancel()  # a call begun later could outlast the 10 s in which we have to end
            heartbeat.cancel()  # so that "stopped" is the last word
            await taking
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_TIMEOUT_S):
                    # Side by side: the file gets its last word though a hanging broker takes nothing.
                    await asyncio.gather(self._announcer.flush(), self._heartbeat.say("stopped"))
            for task in (announcing, pruning, session):
                task.cancel()
        self._spool_thread.shutdown()

    async def _take(self, stopping: asyncio.Event) -> None:
        stop = asyncio.ensure_future(stopping.wait())
        while not stopping.is_set():
            arrival = asyncio.ensure_future(self._session.events())
            await asyncio.wait([arrival, stop], return_when=asyncio.FIRST_COMPLETED)
            if not arrival.done():
                arrival.cancel()
                return
            await self._accept(arrival.result(), stopping)

    async def _accept(self, events: list[Event], stopping: asyncio.Event) -> None:
        """All of them, but for what finds no room before we are told to stop: that stays with the broker."""
        for portion in portions(events):
            started_s = time.perf_counter()
            commit = self._intake.decide(portion, _now_us())
            if not commit.is_empty:
                if not await self._commit(commit, stopping):
                    return
                self._stats.committed(time.perf_counter() - started_s, len(commit.lines))
                self._stats.buried(commit.dead_letters)
            self._session.acknowledge(commit.deliveries)
            await self._announcer.announce(commit)
            self._shipper.wake()

    async def _commit(self, commit: Commit, stopping: asyncio.Event) -> bool:
        """Commit, and while there is no room for it wait: unacknowledged, the rest waits at the broker."""
        attempt = 0
        while True:
            try:
                await self._in_spool(self._spool.commit, commit)
            except SpoolFullError as error:
                if await self._in_spool(self._make_room):
                    continue
                self._fullness_is(is_full=True, why=str(error))
                if stopping.is_set():
                    return False
                await asyncio.sleep(backoff_s(attempt, most_s=1.0))
                attempt += 1
            else:
                self._fullness_is(is_full=False)
                return True

    def _on_rejected(self, line: str, letter: DeadLetter) -> None:
        self._timeline.forget(line)
        self._announcer.mirror([letter])
        self._stats.buried([letter])

    def _fullness_is(self, *, is_full: bool, why: str = "") -> None:
        if is_full != self._is_full:
            self._is_full = is_full
            self._heartbeat.wake()
            if is_full:
                _log.error("nothing is accepted until there is room: %s", why)
            else:
                _log.warning("there is room again")

    async def _keep_pruning(self) -> None:
        """Delete what is no longer needed, whether or not anybody hears us."""
        while True:
            await self._in_spool(self._prune)
            await asyncio.sleep(PRUNE_INTERVAL_S)

    def _prune(self) -> None:
        with contextlib.suppress(SpoolFullError):
            self._spool.prune(self._replay_window_us)

    def _make_room(self) -> bool:
        with contextlib.suppress(SpoolFullError):
            return self._spool.make_room()
        return False

    async def _condition(self) -> Condition:
        depth: Depth = await self._in_spool(self._spool.depth)
        return Condition(
            time_us=_now_us(),
            uptime_s=time.monotonic() - self._started_s,
            depth=depth,
            live_dropped=self._announcer.dropped,
            is_full=self._is_full,
            has_broker=self._session.is_connected,
            has_store=self._shipper.is_connected,
            process=footprint(),
            since_start=self._stats.since_start(),
        )

    def _in_spool(self, call: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._spool_thread, call, *arguments)


def portions(events: Iterable[Event]) -> Iterator[list[Event]]:
    """The events in order, in parts of about ``MAX_COMMIT_BYTES``, so that none needs more disk than is left for it.

    Lines are longer than the payloads that they come from, up to ten times where these are arrays.
    """
    portion: list[Event] = []
    size = 0
    for event in events:
        portion.append(event)
        size += len(event.payload) if isinstance(event, Delivery) else 0
        if size >= MAX_COMMIT_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _now_us() -> int:
    return time.time_ns() // 1000
