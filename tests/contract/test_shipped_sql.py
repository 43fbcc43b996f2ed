"""Every SQL text that the product ships outside of Grafana gives the same on a target and on DataFusion."""

import itertools
import re
import time
from collections.abc import Iterator, Mapping

import datafusion
import pyarrow as pa
import pytest

from http_api.directory import MAX_SENSORS
from sensorflow.kinds import load_kinds
from tests.contract.shipped_sql import Text, shipped
from tests.contract.target import Target
from tests.datafusion_engine import assert_equal, engine

TABLES = ("sensor_readings", "telemetry", "pipeline_stats")
TAGS = {"sensor_id", "service"}
FILLED_IN = {"kind.table": [kind.table for kind in load_kinds().values()], "MAX_SENSORS": [str(MAX_SENSORS)]}
"""What may stand where Python fills something in."""

PARAMETERS = {"sensor_id": "sensor_001", "table_name": "sensor_readings"}

_BRACES, _PARAMETER = re.compile(r"\{([^{}]+)\}"), re.compile(r"\$(\w+)")


def statements(text: Text) -> Iterator[str]:
    """Fill in all that there may be."""
    names = list(dict.fromkeys(_BRACES.findall(text.sql)))
    for values in itertools.product(*(FILLED_IN.get(name, []) for name in names)):
        yield filled(text.sql, dict(zip(names, values, strict=True)))


def filled(sql: str, values: Mapping[str, str]) -> str:
    return _BRACES.sub(lambda found: values[found[1]], sql)


TEXTS = shipped()
CASES = [pytest.param(sql, id=f"{text.where}: {sql}") for text in TEXTS for sql in statements(text)]


@pytest.fixture(scope="module")
def judge(target: Target) -> datafusion.SessionContext:
    """Rows of the last two hours, of the sensors that the README knows, in every table that is shipped."""
    now, lines = int(time.time()), list[str]()
    for n in range(120):
        sensor, stamp = ("sensor_001", "sensor_002", "greensboro")[n % 3], (now - 60 * n - 30) * 1_000_000
        climate = (
            f'temperature={15 + n % 17 / 2},humidity={40 + n % 7}.0,pressure=101{n % 9}.5,client_ip="192.0.2.{n % 3}"'
        )
        lines.append(f"sensor_readings,sensor_id={sensor} {climate} {stamp}")
        lines.append(f'telemetry,sensor_id={sensor} rpm={n % 11}.0,ok={"tf"[n % 2]},state="s{n % 4}" {stamp}')
        totals = f"accepted={1000 - n}.0,stored={990 - n}.0,spooled={n % 5}.0,dead_letters=1.0,spool_oldest_s={n % 3}.5"
        lines.append(f"pipeline_stats,service=bridge uptime_s={9000 - 60 * n}.0,{totals} {stamp}")
    assert target.write("\n".join(lines)).status_code == 204
    with target.client() as client:
        return engine({name: client.query(f"SELECT * FROM {name}") for name in TABLES}, TAGS)


def test_texts_are_found_where_there_are_some() -> None:
    assert {"http_api/newest.py", "sensorflow/cli/query.py", "README.md"} <= {text.where for text in TEXTS}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{text.where}: {text.sql}")
def test_text_can_be_filled_in(text: Text) -> None:
    assert set(_BRACES.findall(text.sql)) <= FILLED_IN.keys(), "say in FILLED_IN what may stand there"
    assert set(_PARAMETER.findall(text.sql)) <= PARAMETERS.keys(), "say in PARAMETERS what may stand there"


@pytest.mark.parametrize("sql", CASES)
def test_text_gives_what_datafusion_gives(target: Target, judge: datafusion.SessionContext, sql: str) -> None:
    used = {name: PARAMETERS[name] for name in _PARAMETER.findall(sql)}
    expected, in_order = pa.table(judge.sql(sql, param_values=used)), "ORDER BY" in sql.upper()

    with target.client() as client:
        assert_equal(client.query(sql, query_parameters=used), expected, in_order=in_order)
    with target.grafana() as connection, connection.cursor() as cursor:
        cursor.execute(_PARAMETER.sub(lambda name: f"'{used[name[1]]}'", sql))
        assert_equal(cursor.fetch_arrow_table(), expected, in_order=in_order)

    assert expected.num_rows > 0
