"""The newest reading of a sensor: from memory where that is sure, else from the store."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from http_api.latest import Latest, Newest
from http_api.store_questions import MAX_WAITING
from sensorflow.errors import TransientError

if TYPE_CHECKING:
    from http_api.bridge_status import BridgeStatus
    from http_api.latest import Series
    from http_api.store_questions import StoreQuestions
    from sensorflow.kinds import Kind
    from sensorflow.mqtt import Session

MAX_CHECKS = MAX_WAITING // 2
"""At once, of what was answered already: the other half of the places is for those who wait for an answer."""


@dataclass
class NewestReadings:
    """Answers for one sensor and kind."""

    questions: StoreQuestions
    latest: Latest
    bridge: BridgeStatus
    session: Session
    _checks: dict[Series, asyncio.Task[None]] = field(default_factory=dict, init=False)

    async def find(self, kind: type[Kind], sensor_id: str) -> Newest | None:
        """The newest reading, None if there never was one.

        One that we answered 201 just before is told at once, and the store is asked meanwhile: it may have one with a
        later time of its device, which is told from then on.

        Raises:
            TransientError: The store is away, and nothing is known here either.
        """
        series = (sensor_id, kind.kind)
        newest, is_sure = self.latest.find(series)
        if is_sure:
            return newest
        if self.latest.is_accepted(series):
            self._check_meanwhile(kind, series)
            return newest
        try:
            await self._check(kind, sensor_id)
        except TransientError:
            if newest is None:
                raise
            return newest
        return self.latest.find(series)[0]

    def _check_meanwhile(self, kind: type[Kind], series: Series) -> None:
        """Ask the store in the background, unless that goes on already, or too many do; who asks next tries again."""

        async def check() -> None:
            with suppress(TransientError):
                await self._check(kind, series[0])

        if series not in self._checks and len(self._checks) < MAX_CHECKS:
            # The end of the process cancels it, as all that is left then; its thread has a deadline.
            task = self._checks[series] = asyncio.create_task(check(), name="check of a newest reading")
            task.add_done_callback(lambda _: self._checks.pop(series))

    async def _check(self, kind: type[Kind], sensor_id: str) -> None:
        # Of now, not of after the query: what the feed misses meanwhile is not in the answer either.
        connection, is_complete = self.latest.connection, self.session.is_connected and not self.bridge.is_behind
        found = await self.questions.ask(lambda: self._query(kind, sensor_id))
        series = (sensor_id, kind.kind)
        if found is not None:
            self.latest.stored(series, found)
        if is_complete:
            self.latest.checked(series, connection)

    def _query(self, kind: type[Kind], sensor_id: str) -> Newest | None:
        # The table's name is a declared one; the sensor's is a parameter. All columns, because the store may not have
        # a column yet that no reading has filled.
        sql = f'SELECT * FROM "{kind.table}" WHERE sensor_id = $sensor_id ORDER BY time DESC LIMIT 1'  # noqa: S608 - see above
        table = self.questions.table(sql, {"sensor_id": sensor_id})
        return _newest(kind, table) if table else None


def _newest(kind: type[Kind], table: pa.Table) -> Newest:
    times = table.column("time")
    time_us = times.cast(pa.timestamp("us", times.type.tz), safe=False).cast(pa.int64())[0].as_py()
    row: dict[str, Any] = table.drop_columns(["time", "sensor_id"]).to_pylist()[0]
    filled = {name: value for name, value in row.items() if value is not None}
    client_ip = filled.pop("client_ip", None)
    declared = {name: filled.pop(name) for name in kind.value_names if name in filled}
    return Newest(time_us, declared | filled, client_ip)
