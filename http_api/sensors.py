"""The directory of sensors, asked from the store where it is not known."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from http_api.directory import MAX_SENSORS, Directory, Seen
from sensorflow.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from http_api.bridge_status import BridgeStatus
    from http_api.store_questions import StoreQuestions
    from sensorflow.kinds import Kind
    from sensorflow.mqtt import Session

_NOT_VALUES = frozenset({"time", "sensor_id", "client_ip", "id"})


class Sensors:
    """One question to the store for each kind, however many ask at once: its answer and its failure are everybody's.

    Args:
        timeout_s: Deadline of each call of :meth:`known`; a question that has begun goes on, for who asks next.
    """

    def __init__(
        self,
        questions: StoreQuestions,
        directory: Directory,
        bridge: BridgeStatus,
        session: Session,
        *,
        timeout_s: float,
    ) -> None:
        self._questions, self._directory = questions, directory
        self._bridge, self._session = bridge, session
        self._timeout_s = timeout_s
        self._asking: dict[str, asyncio.Task[None]] = {}  # one for each kind

    async def known(self, kinds: Iterable[type[Kind]]) -> Directory:
        """The directory, with all sensors of these kinds.

        Raises:
            TransientError: Something of it is known to the store alone, which is away, too slow or refuses.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                for kind in kinds:
                    if not self._directory.is_good(kind.kind, time.monotonic()):
                        await asyncio.shield(self._question(kind))
        except TimeoutError:
            raise TransientError(f"no answer of the store within {self._timeout_s:g} s") from None
        return self._directory

    def _question(self, kind: type[Kind]) -> asyncio.Task[None]:
        """The one that runs, or a new one."""
        name = kind.kind
        if name not in self._asking:
            task = self._asking[name] = asyncio.create_task(self._load(kind), name=f"sensors of {name}")
            task.add_done_callback(lambda _: self._asking.pop(name))
        return self._asking[name]

    async def _load(self, kind: type[Kind]) -> None:
        # Of now, not of after the query: what the feed misses meanwhile is not in the answer either.
        is_complete, connection = self._session.is_connected and not self._bridge.is_behind, self._directory.connection
        stored = await self._questions.ask(lambda: self._query(kind))
        is_sure = is_complete and connection == self._directory.connection
        self._directory.load(kind.kind, stored, time.monotonic(), is_sure=is_sure)

    def _query(self, kind: type[Kind]) -> dict[str, Seen]:
        # Each sensor's newest row, and beside it the time of its oldest under a name that no field can have. The
        # table's name is a declared one.
        sql = (
            f'SELECT r.*, s.id FROM "{kind.table}" AS r INNER JOIN'  # noqa: S608 - see above
            f' (SELECT sensor_id, min(time) AS id, max(time) AS last FROM "{kind.table}"'
            f" GROUP BY sensor_id ORDER BY last DESC, sensor_id LIMIT {MAX_SENSORS}) AS s"
            " ON r.sensor_id = s.sensor_id AND r.time = s.last ORDER BY r.sensor_id"
        )
        found: dict[str, Seen] = {}
        for batch in self._questions.batches(sql, {}):
            _collect(found, batch)
        return found


def _collect(found: dict[str, Seen], batch: pa.RecordBatch) -> None:
    first, last = _microseconds(batch, "id"), _microseconds(batch, "time")
    names = [name for name in batch.schema.names if name not in _NOT_VALUES]
    values: list[dict[str, Any]] = batch.select(names).to_pylist()
    for sensor_id, first_us, last_us, row in zip(
        batch.column("sensor_id").to_pylist(), first, last, values, strict=True
    ):
        filled = {name: value for name, value in row.items() if value is not None}
        found[sensor_id] = Seen(first_us, last_us, filled, float("-inf"))


def _microseconds(batch: pa.RecordBatch, name: str) -> list[int]:
    times: list[int] = batch.column(name).cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_pylist()
    return times
