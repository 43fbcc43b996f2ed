"""The SQL that InfluxDB's users write gives here what it gives on DataFusion, InfluxDB 3's own engine."""

from pathlib import Path
from typing import Any

import datafusion
import pyarrow as pa
import pytest

from tests.store.store_process import StoreProcess


def line(n: int) -> str:
    note = "" if n % 6 == 0 else f',note="n{n % 5}"'
    fields = f"temperature={20 + n % 7 / 4},level={n * 7 % 11}i,ok={'true' if n % 4 else 'false'}{note}"
    return f"df,sensor=s{n % 3},room=r{n % 2} {fields} {1_700_000_000_000_000 + n * 17_000_000}"


QUERIES = Path(__file__).with_name("influxdb.sql").read_text(encoding="utf-8").splitlines()[1:]


@pytest.fixture(scope="module")
def engine(store: StoreProcess) -> datafusion.SessionContext:
    """DataFusion over the rows as the store sends them, with InfluxDB's nullability and names."""
    assert store.write("\n".join(map(line, range(200)))).status_code == 204
    with store.client() as client:
        table = client.query("SELECT * FROM df")
    context = datafusion.SessionContext(datafusion.SessionConfig().with_information_schema())
    context.register_record_batches("df", [table.to_batches()])
    return context


def comparable(table: pa.Table) -> list[dict[str, Any]]:
    """Floats to 9 digits, and times as nanoseconds whatever their unit or zone."""
    columns = [
        column.cast(pa.timestamp("ns")).cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in table.columns
    ]
    rows = pa.table(columns, table.schema.names).to_pylist()
    return [{k: pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


@pytest.mark.parametrize("sql", QUERIES, ids=lambda sql: sql[:70])
def test_store_answers_as_datafusion_does(store: StoreProcess, engine: datafusion.SessionContext, sql: str) -> None:
    expected = pa.table(engine.sql(sql))
    with store.client() as client:
        table = client.query(sql)

    assert table.schema.names == expected.schema.names
    assert comparable(table) == comparable(expected)
    assert table.num_rows > 0
