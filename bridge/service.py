"""The bridge: the path of a reading from the broker to the spool, one loop, in the order that keeps the promise.

events -> decide -> commit (fsync) -> acknowledge -> announce -> ship
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import orjson

from bridge.announcer import Announcer
from bridge.columns import Columns
from bridge.fingerprints import Fingerprints
from bridge.intake import Intake
from bridge.shipper import Shipper
from bridge.spool import SpoolFullError
from bridge.timeline import Timeline
from sensorflow import topics
from sensorflow.backoff import backoff_s
from sensorflow.mqtt import RefusedError, UnavailableError
from sensorflow.reading import timestamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridge.intake import Commit, DeadLetter
    from bridge.spool import Depth, Spool
    from sensorflow.influx import Influx
    from sensorflow.kinds import Kinds
    from sensorflow.mqtt import Session
    from sensorflow.reading import TimeWindow

HEARTBEAT_S = 5.0
STATUS_RETRY_S = 0.1
PRUNE_INTERVAL_S = 5.0
FLUSH_TIMEOUT_S = 2.0
VERSION = version("sensorflow")

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
    ) -> None:
        self._session, self._spool = session, spool
        self._replay_window_us = int(replay_window_s * 1e6)
        self._spool_thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._timeline = Timeline(spool.recent_lines())
        self._intake = Intake(
            kinds,
            window,
            columns=Columns(spool.columns()),
            fingerprints=Fingerprints(spool.fingerprints()),
            timeline=self._timeline,
        )
        self._announcer = Announcer(session)
        self._changed = asyncio.Event()
        self._shipper = Shipper(
            spool,
            self._in_spool,
            influx,
            kinds,
            replay_window_s=replay_window_s,
            on_change=self._changed.set,
            on_rejected=self._on_rejected,
        )
        self._is_full = False
        self._started = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until told to stop; then finish the commit under way, and say good-bye.

        What was delivered and not committed by then stays with the broker.
        """
        async with asyncio.TaskGroup() as tasks:
            session = tasks.create_task(self._session.run(), name="mqtt session")
            announcing = tasks.create_task(self._announcer.run(), name="announcer")
            shipping = tasks.create_task(self._shipper.run(), name="shipper")
            heartbeat = tasks.create_task(self._beat(), name="heartbeat")
            pruning = tasks.create_task(self._keep_pruning(), name="pruning")
            taking = tasks.create_task(self._take(stopping), name="take")
            await stopping.wait()
            shipping.cancel()  # a write begun later could outlast the 10 s in which we have to end
            heartbeat.cancel()  # so that "stopped" is the last word
            await taking
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_TIMEOUT_S):
                    await self._announcer.flush()
                    await self._publish_status("stopped")
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
            commit = self._intake.decide(arrival.result(), _now_us())
            if not commit.is_empty and not await self._commit(commit, stopping):
                return
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

    def _fullness_is(self, *, is_full: bool, why: str = "") -> None:
        if is_full != self._is_full:
            self._is_full = is_full
            self._changed.set()
            if is_full:
                _log.error("nothing is accepted until there is room: %s", why)
            else:
                _log.warning("there is room again")

    async def _beat(self) -> None:
        """Say how we are, at each change and at least every ``HEARTBEAT_S``."""
        while True:
            self._changed.clear()
            is_said = await self._publish_status("running")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S if is_said else STATUS_RETRY_S):
                    await self._changed.wait()

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

    async def _publish_status(self, state: str) -> bool:
        """Say how we are; False where the broker does not take it now."""
        if not self._session.is_connected:
            return False
        depth: Depth = await self._in_spool(self._spool.depth)
        try:
            await self._session.publish(topics.status("bridge"), self._status(state, depth), retain=True, timeout_s=2)
        except RefusedError:
            return True  # nobody listens; what is retained is there all the same
        except UnavailableError:
            return False
        return True

    def _status(self, state: str, depth: Depth) -> bytes:
        now_us = _now_us()
        return orjson.dumps(
            {
                "service": "bridge",
                "state": state,
                "version": VERSION,
                "time": timestamp(now_us),
                "uptime_s": round(time.monotonic() - self._started, 1),
                "store": "connected" if self._shipper.is_connected else "disconnected",
                "spool": {
                    "readings": depth.spooled,
                    "bytes": depth.size_bytes,
                    "oldest_s": round((now_us - depth.oldest_us) / 1e6, 3) if depth.oldest_us else 0,
                    "is_full": self._is_full,
                },
                "counters": {
                    "accepted": depth.accepted,
                    "stored": depth.stored,
                    "spooled": depth.spooled,
                    "dead_letters": depth.dead_letters,
                    "duplicates": depth.duplicates,
                    "live_dropped": self._announcer.dropped,
                },
            }
        )

    def _in_spool(self, call: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._spool_thread, call, *arguments)


def last_will() -> bytes:
    """What the broker publishes in our name when we are gone without a word."""
    return orjson.dumps({"service": "bridge", "state": "gone"})


def _now_us() -> int:
    return time.time_ns() // 1000
