"""The newest reading of a sensor: from memory where that is sure, else from the store."""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from http_api.latest import Latest, Newest
from sensorflow.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from http_api.bridge_status import BridgeStatus
    from http_api.store_watch import StoreWatch
    from sensorflow.influx import Influx
    from sensorflow.kinds import Kind
    from sensorflow.mqtt import Session

STORE_TIMEOUT_S = 5.0
MAX_WAITING = 100

_log = logging.getLogger("http_api")

# What the stores say about a table, or a whole database, into which nothing was ever written.
_NEVER_WRITTEN = re.compile("not found|does not exist", re.IGNORECASE)


@dataclass
class NewestReadings:
    """Answers for one sensor and kind; at most ``MAX_WAITING`` wait for the store, four of them in it."""

    influx: Influx
    store: StoreWatch
    latest: Latest
    bridge: BridgeStatus
    session: Session

    def __post_init__(self) -> None:
        """Nobody waits yet."""
        self._threads = ThreadPoolExecutor(4, "store")
        self._waiting = 0

    async def find(self, kind: type[Kind], sensor_id: str) -> Newest | None:
        """The newest reading, None if there never was one.

        Raises:
            TransientError: The store is away, and nothing is known here either.
        """
        series = (sensor_id, kind.kind)
        newest, is_sure = self.latest.find(series)
        if is_sure:
            return newest
        try:
            await self._check(kind, sensor_id)
        except TransientError:
            if newest is None:
                raise
            return newest
        return self.latest.find(series)[0]

    async def _check(self, kind: type[Kind], sensor_id: str) -> None:
        # Of now, not of after the query: what the feed misses meanwhile is not in the answer either.
        connection, is_complete = self.latest.connection, self.session.is_connected and not self.bridge.is_behind
        found = await self._ask(kind, sensor_id)
        series = (sensor_id, kind.kind)
        if found is not None:
            self.latest.offer(series, found)
        if is_complete:
            self.latest.checked(series, connection)

    async def _ask(self, kind: type[Kind], sensor_id: str) -> Newest | None:
        if self.store.is_away:  # a store that hangs would take STORE_TIMEOUT_S to say so
            raise TransientError("the store does not answer")
        if self._waiting >= MAX_WAITING:
            raise TransientError(f"{self._waiting} requests are waiting for the store, at most {MAX_WAITING}")
        self._waiting += 1
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, self._query, kind, sensor_id)
        except TimeoutError:
            raise TransientError(f"no answer of the store within {STORE_TIMEOUT_S:g} s") from None
        finally:
            self._waiting -= 1

    def _query(self, kind: type[Kind], sensor_id: str) -> Newest | None:
        # The table's name is a declared one; the sensor's is a parameter. All columns, because the store may not have
        # a column yet that no reading has filled.
        sql = f'SELECT * FROM "{kind.table}" WHERE sensor_id = $sensor_id ORDER BY time DESC LIMIT 1'  # noqa: S608 - see above
        try:
            table = self.influx.query(sql, {"sensor_id": sensor_id})
        except PermanentError as error:
            if _NEVER_WRITTEN.search(str(error)):
                return None
            _log.error("the store refused %r: %s", sql, error)
            raise TransientError("the store refuses the query; the log says why") from error
        except TransientError as error:
            _log.debug("%s", error)
            raise TransientError("the store does not answer") from error
        return _newest(kind, table) if table.num_rows else None


def _newest(kind: type[Kind], table: pa.Table) -> Newest:
    times = table.column("time")
    time_us = times.cast(pa.timestamp("us", times.type.tz), safe=False).cast(pa.int64())[0].as_py()
    row: dict[str, Any] = table.drop_columns(["time", "sensor_id"]).to_pylist()[0]
    filled = {name: value for name, value in row.items() if value is not None}
    client_ip = filled.pop("client_ip", None)
    declared = {name: filled.pop(name) for name in kind.value_names if name in filled}
    return Newest(time_us, declared | filled, client_ip)
