"""The newest reading of a sensor: from memory where that is sure, else from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from http_api.latest import Latest, Newest
from sensorflow.errors import TransientError

if TYPE_CHECKING:
    from http_api.bridge_status import BridgeStatus
    from http_api.store_questions import StoreQuestions
    from sensorflow.kinds import Kind
    from sensorflow.mqtt import Session


@dataclass
class NewestReadings:
    """Answers for one sensor and kind."""

    questions: StoreQuestions
    latest: Latest
    bridge: BridgeStatus
    session: Session

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
        found = await self.questions.ask(lambda: self._query(kind, sensor_id))
        series = (sensor_id, kind.kind)
        if found is not None:
            self.latest.offer(series, found)
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
