"""The two engines that every shipped query runs on: the embedded store, and DataFusion, which is InfluxDB 3's."""

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import datafusion
import pyarrow as pa
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_flightsql import dbapi as flightsql

from tests.store.store_process import TOKEN, StoreProcess

_TAGS = {"sensor_id", "service"}


@contextmanager
def connected(store: StoreProcess, database: str) -> Iterator[Any]:
    """A Flight SQL connection with grpc-go's default limit of a message, which Grafana leaves as it is."""
    options = {
        DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {TOKEN}",
        DatabaseOptions.RPC_CALL_HEADER_PREFIX.value + "database": database,
        DatabaseOptions.WITH_MAX_MSG_SIZE.value: str(4 * 2**20),
    }
    with closing(flightsql.connect(f"grpc://127.0.0.1:{store.port}", db_kwargs=options, autocommit=True)) as connection:
        yield connection


def answer(connection: Any, sql: str) -> pa.Table:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        table: pa.Table = cursor.fetch_arrow_table()
    return table


@dataclass(frozen=True, slots=True)
class Engines:
    """Both, with the same rows."""

    store: Any
    influxdb: datafusion.SessionContext

    def run(self, sql: str) -> pa.Table:
        """Ask both, and fail where they differ; the answer is the store's."""
        table = answer(self.store, sql)
        expected = pa.table(self.influxdb.sql(sql))
        assert table.schema.names == expected.schema.names
        ours, theirs = _rows(table), _rows(expected)
        assert len(ours) == len(theirs)
        differing = [(mine, other) for mine, other in zip(ours, theirs, strict=True) if not _alike(mine, other)]
        assert not differing, f"{len(differing)} rows differ, the first: {differing[0]}"
        return table


def both(connection: Any) -> Engines:
    """Copy all of the store's tables into a DataFusion that is set up as InfluxDB 3 sets up its own."""
    config = (
        datafusion.SessionConfig()
        .with_information_schema()
        .with_create_default_catalog_and_schema()
        .with_default_catalog_and_schema("public", "iox")
        .set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
    )
    context = datafusion.SessionContext(config)
    names = answer(connection, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox'")
    for name in names["table_name"].to_pylist():
        table = _as_influxdb_has_it(answer(connection, f"SELECT * FROM {name}"))
        context.register_record_batches(name, [table.to_batches()])
    return Engines(connection, context)


def _as_influxdb_has_it(table: pa.Table) -> pa.Table:
    """Tags are dictionaries, and only the time is never null."""
    tag = pa.dictionary(pa.int32(), pa.string())
    columns = [table[name].cast(tag) if name in _TAGS else table[name] for name in table.schema.names]
    fields = [
        pa.field(name, column.type, nullable=name != "time")
        for name, column in zip(table.schema.names, columns, strict=True)
    ]
    return pa.table(columns, schema=pa.schema(fields))


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = [
        (column.cast(pa.timestamp("ns")).cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in table.columns
    ]
    return list(zip(*columns, strict=True))


def _alike(mine: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(starmap(_same, zip(mine, other, strict=True)))


def _same(mine: object, other: object) -> bool:
    if isinstance(mine, float) and isinstance(other, float):
        return math.isclose(mine, other, rel_tol=1e-9, abs_tol=1e-9)
    return mine == other
