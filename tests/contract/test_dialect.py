"""The SQL that InfluxDB's users write gives what it gives on DataFusion."""

from pathlib import Path

import datafusion
import pyarrow as pa
import pytest

from tests.contract.target import Target
from tests.datafusion_engine import assert_equal, engine

STATEMENTS = Path(__file__).with_name("dialect.sql").read_text(encoding="utf-8").splitlines()[1:]


def line(n: int) -> str:
    note = "" if n % 6 == 0 else f',note="n{n % 5}"'
    fields = f"temperature={20 + n % 7 / 4},level={n * 7 % 11}i,ok={'true' if n % 4 else 'false'}{note}"
    return f"df,sensor=s{n % 3},room=r{n % 2} {fields} {1_700_000_000_000_000 + n * 17_000_000}"


@pytest.fixture(scope="module")
def judge(target: Target) -> datafusion.SessionContext:
    assert target.write("\n".join(map(line, range(200)))).status_code == 204
    with target.client() as client:
        return engine({"df": client.query("SELECT * FROM df")}, {"sensor", "room"})


@pytest.mark.parametrize("sql", STATEMENTS, ids=lambda sql: sql[:70])
def test_statement_gives_what_datafusion_gives(target: Target, judge: datafusion.SessionContext, sql: str) -> None:
    expected = pa.table(judge.sql(sql))
    with target.client() as client:
        result = client.query(sql)

    assert_equal(result, expected, in_order="ORDER BY" in sql)
    assert result.num_rows > 0
