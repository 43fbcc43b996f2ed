"""The two engines that every shipped query runs on: the embedded store, and DataFusion, which is InfluxDB 3's."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import datafusion
import pyarrow as pa
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_flightsql import dbapi as flightsql

from tests.datafusion_engine import assert_equal, engine
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
        assert_equal(table, pa.table(self.influxdb.sql(sql)))
        return table


def both(connection: Any) -> Engines:
    """Copy all of the store's tables into a DataFusion."""
    names = answer(connection, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox'")
    tables = {name: answer(connection, f"SELECT * FROM {name}") for name in names["table_name"].to_pylist()}
    return Engines(connection, engine(tables, _TAGS))
