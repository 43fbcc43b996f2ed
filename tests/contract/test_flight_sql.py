"""Flight SQL as Grafana's data source speaks it: one statement, its one endpoint, messages below 4 MiB."""

import pyarrow as pa
import pytest
from pyarrow import flight

from store.flight import _field, _wrapped
from tests.contract.target import GRAFANA_MESSAGE_BYTES, Target

TABLE = "asked_by_grafana"
ALL = f"SELECT time, s, f, i, u, b, t FROM {TABLE} ORDER BY time"


@pytest.fixture(scope="module", autouse=True)
def _filled(target: Target) -> None:
    long = "x" * 500
    lines = (f'{TABLE},s=s{n % 7} f={n}.5,i={n}i,u={n}u,b=t,t="{long}{n}" {n * 1_000_000}' for n in range(100))
    assert target.write("\n".join(lines)).status_code == 204


def planned(target: Target, sql: str) -> flight.FlightInfo:
    command = _wrapped("CommandStatementQuery", _field(1, sql.encode()))
    with target.flight_client() as client:
        return client.get_flight_info(flight.FlightDescriptor.for_command(command), target.flight_options())


@pytest.mark.parametrize(
    "sql",
    [
        ALL,
        "SELECT 1",
        "SELECT now() AS time, 'text' AS label",
        f"SELECT date_bin(interval '10 second', time) AS time, s, avg(f) AS f, sum(i) AS i FROM {TABLE} GROUP BY 1, 2",
        f"SELECT * FROM {TABLE} WHERE s = 'nobody'",
    ],
)
def test_statement_has_one_endpoint_and_the_schema_of_its_stream(target: Target, sql: str) -> None:
    info = planned(target, sql)
    assert len(info.endpoints) == 1
    with target.flight_client() as client:
        table = client.do_get(info.endpoints[0].ticket, target.flight_options()).read_all()

    assert info.schema.equals(table.schema)  # types, names and what may be null


def test_types_are_those_that_grafana_reads(target: Target) -> None:
    assert planned(target, ALL).schema.types == [
        pa.timestamp("ns"), pa.string(), pa.float64(), pa.int64(), pa.uint64(), pa.bool_(), pa.string(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "expression",
    [
        "time",
        "max(time)",
        "last_value(time ORDER BY time)",
        "date_trunc('hour', time)",
        "date_bin(interval '1 minute', time)",
        "date_bin(interval '1 minute', time, timestamp '1970-01-01T00:00:00Z')",
        "cast('2024-01-01T00:00:00Z' as timestamp)",
        "time + interval '1 hour'",
        "now()",
    ],
)
def test_every_time_is_in_nanoseconds(target: Target, expression: str) -> None:
    is_aggregate = expression.startswith(("max", "last_value"))
    kind = planned(target, f"SELECT {expression} AS t FROM {TABLE}{'' if is_aggregate else ' LIMIT 1'}").schema.types[0]

    assert (pa.types.is_timestamp(kind), kind.unit) == (True, "ns")


def test_difference_of_times_is_a_duration(target: Target) -> None:
    info = planned(target, f"SELECT max(time) - min(time) AS d FROM {TABLE}")

    assert info.schema.types == [pa.duration("ns")]


def test_adbc_reads_a_large_result_in_messages_below_4_mib(target: Target) -> None:
    with target.grafana() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT a.time, a.t, b.t AS u FROM {TABLE} a CROSS JOIN {TABLE} b")
        batches = list(cursor.fetch_record_batch())

    assert sum(batch.num_rows for batch in batches) == 10_000
    assert sum(batch.nbytes for batch in batches) > 2 * GRAFANA_MESSAGE_BYTES  # else one message would have done
    assert max(batch.nbytes for batch in batches) < GRAFANA_MESSAGE_BYTES


def test_grafanas_health_check_gets_its_one(target: Target) -> None:
    with target.grafana() as connection, connection.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("sql", "words"), [("SELECT * FROM nowhere", "'public.iox.nowhere' not found"), ("SELEC 1", "(?i)SELEC")]
)
def test_statement_that_cannot_run_is_invalid(target: Target, sql: str, words: str) -> None:
    with pytest.raises(pa.ArrowInvalid, match=words):
        planned(target, sql)


@pytest.mark.parametrize("header", ["", "Bearer apiv3_unknown"])
def test_call_without_the_token_is_unauthenticated(target: Target, header: str) -> None:
    command = _wrapped("CommandStatementQuery", _field(1, b"SELECT 1"))
    descriptor = flight.FlightDescriptor.for_command(command)

    with target.flight_client() as client, pytest.raises(flight.FlightUnauthenticatedError):
        client.get_flight_info(descriptor, target.flight_options(header))


class TestEditor:
    """What Grafana's query editor asks to offer tables and columns."""

    def test_tables_are_listed_under_the_schema_iox(self, target: Target) -> None:
        sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY table_name"

        assert TABLE in [row["table_name"] for row in target.rows(sql)]

    def test_columns_have_types_that_it_knows(self, target: Target) -> None:
        rows = target.rows(
            "SELECT column_name, data_type FROM information_schema.columns"
            f" WHERE table_schema = 'iox' AND table_name = '{TABLE}' ORDER BY column_name"
        )

        types = {row["column_name"]: row["data_type"] for row in rows}
        assert types.pop("time").startswith("Timestamp(")
        assert types == {
            "b": "Boolean", "f": "Float64", "i": "Int64", "s": "Dictionary(Int32, Utf8)", "t": "Utf8", "u": "UInt64",
        }  # fmt: skip

    def test_table_has_its_full_name(self, target: Target) -> None:
        sql = f"SELECT count(*) AS n FROM public.iox.{TABLE}"
        catalogs = "SELECT DISTINCT table_catalog AS c FROM information_schema.tables WHERE table_schema = 'iox'"

        assert target.rows(sql) == [{"n": 100}]
        assert target.rows(catalogs) == [{"c": "public"}]
