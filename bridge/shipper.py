"""From the spool to the store: several chunks on their way, each tried until the store has it or has refused it."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson

from bridge.intake import DeadLetter
from bridge.spool import SpoolFullError
from sensorflow import topics
from sensorflow.backoff import backoff_s
from sensorflow.errors import PermanentError, TransientError
from sensorflow.influx import PartialWriteError
from sensorflow.reading import parse_fields, split_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, Protocol

    from bridge.spool import Chunk, Spool
    from sensorflow.influx import Ping
    from sensorflow.kinds import Kinds

    InSpool = Callable[..., Awaitable[Any]]
    """Runs a blocking call in the spool's one thread."""

    class Writer(Protocol):
        """What is used of :class:`sensorflow.influx.Influx`."""

        def write(self, lines: bytes) -> None: ...

    class Store(Writer, Protocol):
        """The same, and whether it is there."""

        def ping(self) -> Ping: ...


IN_FLIGHT = 4
LINGER_S = 0.1  # so that a burst of small commits is one write: what is shown at once comes by another way
PING_INTERVAL_S = 2.0

_log = logging.getLogger("bridge")


class Shipper:
    """Ships all that is in the spool, in order, at most ``IN_FLIGHT`` chunks at once.

    The order in which chunks arrive does not matter: no two rows have the same key unless they are equal.

    Args:
        replay_window_s: When the store comes back as another process, what it was sent within this time before is
            sent again: InfluxDB 3 Core answers before its file system has written (it does not fsync).
        on_change: Called when the store comes or goes.
        on_new_store: Called when a store answers that we have not seen before: it may be an empty one.
        on_stored: Called for each chunk, with how long its oldest reading took from the commit to the store, in
            seconds; not for those that are sent again, whose first arrival was counted.
        on_rejected: Called with each line that the store rejected, and the dead letter that it has become.
    """

    def __init__(
        self,
        spool: Spool,
        in_spool: InSpool,
        influx: Store,
        kinds: Kinds,
        *,
        replay_window_s: float,
        on_change: Callable[[], None],
        on_new_store: Callable[[], None],
        on_stored: Callable[[float], None],
        on_rejected: Callable[[str, DeadLetter], None],
    ) -> None:
        self._spool, self._in_spool, self._influx = spool, in_spool, influx
        self._kind_by_table = {kind.table: kind.kind for kind in kinds.values()}
        self._window_us = int(replay_window_s * 1e6)
        self._on_change, self._on_new_store = on_change, on_new_store
        self._on_stored, self._on_rejected = on_stored, on_rejected
        self._threads = ThreadPoolExecutor(IN_FLIGHT + 1, thread_name_prefix="store")
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._more = asyncio.Event()
        self._last_taken = 0
        self._last_unshipped = 0  # up to this id a chunk may have been in a store before
        self._rounds = 0  # how often shipping started anew
        self._store: Ping | None = None
        self._has_met_store = asyncio.Event()
        self._takes_writes = True  # for all we know: /ping wants no token, so that it answers says less
        self._may_be_another = True
        self.is_connected = False

    def wake(self) -> None:
        """There is something new in the spool."""
        self._more.set()

    async def run(self) -> None:
        """Ship, for ever. Cancel it to stop: what was on its way stays in the spool and is sent again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_store(), name="watch store")
            await self._has_met_store.wait()  # what it has and what it may lack is known from then on
            while True:
                await self._slots.acquire()
                chunk = await self._next_chunk()
                tasks.create_task(self._ship(chunk), name=f"ship {chunk.last}")

    async def _next_chunk(self) -> Chunk:
        while True:
            self._more.clear()
            this_round = self._rounds
            chunk: Chunk | None = await self._in_spool(self._spool.unshipped, self._last_taken)
            if this_round != self._rounds:
                continue  # it was looked for behind what is to be sent again
            if chunk is not None:
                self._last_taken = chunk.last
                return chunk
            await self._more.wait()
            await asyncio.sleep(LINGER_S)

    async def _ship(self, chunk: Chunk) -> None:
        """Try until it is shipped, or the store that it was meant for is gone: it is then taken anew."""
        this_round, attempt = self._rounds, 0
        while this_round == self._rounds:
            try:
                refused = await self._in_store(write_all, self._influx, chunk.lines)
                if this_round == self._rounds:
                    await self._shipped(chunk, refused)
                self._takes_writes = True
                self._store_is(connected=True)
                break
            except TransientError as error:
                self._may_be_another |= self._takes_writes
                self._takes_writes = False
                self._store_is(connected=False, why=str(error))
                await asyncio.sleep(backoff_s(attempt))
                attempt += 1
        self._slots.release()

    async def _shipped(self, chunk: Chunk, refused: list[tuple[bytes, str]]) -> None:
        now_us = time.time_ns() // 1000
        rejected = {line: self._dead_letter(line, reason) for line, reason in refused}
        await self._in_spool(self._spool.mark_shipped, chunk, now_us, rejected)
        if chunk.first > self._last_unshipped:
            self._on_stored(max(0, now_us - chunk.created_us) / 1e6)
        for line, letter in rejected.items():
            self._on_rejected(line.decode(), letter)

    async def _watch_store(self) -> None:
        attempt = 0
        while True:
            try:
                ping: Ping = await self._in_store(self._influx.ping)
            except TransientError as error:
                self._may_be_another = True
                self._store_is(connected=False, why=str(error))
                attempt += 1
            else:
                attempt = 0
                known, self._store = self._store, ping
                is_same = known is not None and (
                    ping.process_id == known.process_id if ping.process_id else not self._may_be_another
                )
                self._may_be_another = False
                if not is_same:
                    self._on_new_store()
                    await self._ship_again(_number(ping))
                    self._has_met_store.set()
                self._store_is(connected=self._takes_writes, why="it answers, and takes nothing")
            await asyncio.sleep(backoff_s(attempt, most_s=PING_INTERVAL_S) if attempt else PING_INTERVAL_S)

    async def _ship_again(self, store: int) -> None:
        """Send this store what it may lack; nothing, if it is known to be the one that has it."""
        if store != 0 and store == await self._in_spool(self._spool.store):
            return
        readings = await self._unship(store)
        if readings:
            _log.warning("the store was restarted: sending it the last %d readings again", readings)
        self._last_taken = 0
        self._rounds += 1
        self.wake()

    async def _unship(self, store: int) -> int:
        attempt = 0
        while True:
            try:
                readings, last = await self._in_spool(self._spool.unship, self._window_us, store)
                self._last_unshipped = max(self._last_unshipped, last)
                return int(readings)
            except SpoolFullError as error:  # the disk is full, or another program has the lock
                if attempt == 0:
                    _log.error("nothing can be sent again until there is room: %s", error)
                await asyncio.sleep(backoff_s(attempt))
                attempt += 1

    def _store_is(self, *, connected: bool, why: str = "") -> None:
        if connected != self.is_connected:
            self.is_connected = connected
            self._on_change()
            if connected:
                _log.info("store connected")
            else:
                _log.warning("store away, readings stay in the spool: %s", why)

    def _in_store(self, call: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _dead_letter(self, line: bytes, reason: str) -> DeadLetter:
        series, fields, time_us, client_ip = split_line(line.decode())
        table, _, sensor_id = series.partition(",sensor_id=")
        topic = topics.reading(sensor_id, self._kind_by_table.get(table, table))
        payload = orjson.dumps(parse_fields(fields) | {"time": time_us})
        return DeadLetter(time_us, "store_rejected", reason, topic, payload, client_ip)


def _number(store: Ping) -> int:
    """The same for the same process of a store; 0 where it does not say which it is."""
    if not store.process_id:
        return 0
    return int.from_bytes(blake2b(store.process_id.encode(), digest_size=7).digest(), "big")  # fits SQLite's integers


def write_all(influx: Writer, lines: list[bytes]) -> list[tuple[bytes, str]]:
    """Write the lines; those that the store will never take, with its reason.

    Where it refuses a request without saying which lines, halves are tried until it is known.

    Raises:
        TransientError: Not now; writing all of them again changes nothing.
    """
    try:
        influx.write(b"\n".join(lines))
    except PartialWriteError as error:
        return [(lines[number - 1], reason) for number, reason in error.lines]
    except PermanentError as error:
        if len(lines) == 1:
            return [(lines[0], str(error))]
        middle = len(lines) // 2
        return write_all(influx, lines[:middle]) + write_all(influx, lines[middle:])
    return []
