"""Queries by the official client, which asks by Flight with InfluxDB's own ticket."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from influxdb_client_3 import InfluxDBClient3
from influxdb_client_3.exceptions import InfluxDB3ClientQueryError
from pyarrow import flight

from tests.contract.target import Target

TABLE = "asked_by_client"


@pytest.fixture(scope="module")
def client(target: Target) -> Iterator[InfluxDBClient3]:
    many = "\n".join(f"{TABLE}_many n={n}i {n}" for n in range(64))
    target.write(f"{TABLE},s=a v=1.5 1700000000000000\n{TABLE},s=b v=2.5 1700000060000000\n{many}")
    with target.client() as client:
        yield client


def test_modes_give_the_same_rows(client: InfluxDBClient3) -> None:
    sql, rows = f"SELECT s, v FROM {TABLE} ORDER BY s", [{"s": "a", "v": 1.5}, {"s": "b", "v": 2.5}]

    assert client.query(sql, mode="all").to_pylist() == rows
    assert client.query(sql, mode="reader").read_all().to_pylist() == rows
    assert pa.Table.from_batches(chunk.data for chunk in client.query(sql, mode="chunk")).to_pylist() == rows
    assert client.query(sql, mode="schema") == pa.schema([("s", pa.string()), ("v", pa.float64())])


async def test_query_runs_asynchronously(client: InfluxDBClient3) -> None:
    table = await client.query_async(f"SELECT count(*) AS n FROM {TABLE}")

    assert table.to_pylist() == [{"n": 2}]


def test_no_rows_still_have_their_columns(client: InfluxDBClient3) -> None:
    table = client.query(f"SELECT v, time FROM {TABLE} WHERE s = 'nobody'")

    assert (table.num_rows, table.schema.types) == (0, [pa.float64(), pa.timestamp("ns")])


@pytest.mark.parametrize(
    ("condition", "parameters"),
    [
        ("s = $s", {"s": "b"}),
        ("v > $low AND v < $high", {"low": 2, "high": 2.75}),
        ("time > $since", {"since": "2023-11-14T22:13:20.5Z"}),
        ("$yes AND s <> $quoted AND s = 'b'", {"yes": True, "quoted": "' OR 1=1 --"}),
    ],
)
def test_parameters_are_values(client: InfluxDBClient3, condition: str, parameters: dict[str, object]) -> None:
    sql = f"SELECT s FROM {TABLE} WHERE {condition}"

    assert client.query(sql, query_parameters=parameters).to_pylist() == [{"s": "b"}]


def test_long_result_comes_whole(client: InfluxDBClient3) -> None:
    many = f"{TABLE}_many"
    sql = f"SELECT (a.n * 64 + b.n) * 64 + c.n AS n FROM {many} a CROSS JOIN {many} b CROSS JOIN {many} c"

    table = client.query(sql)

    assert (table.num_rows, len(table["n"].unique())) == (64**3, 64**3)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM nowhere", "table 'public.iox.nowhere' not found"),
        ("SELEC 1", "(?i)SELEC"),
        (f"SELECT nothing FROM {TABLE}", "nothing"),
        (f"SELECT v FROM {TABLE} WHERE s = $s", r"\$s|'s'"),
    ],
)
def test_statement_that_cannot_run_is_invalid(client: InfluxDBClient3, sql: str, words: str) -> None:
    with pytest.raises(InfluxDB3ClientQueryError, match=words) as caught:
        client.query(sql)

    assert isinstance(caught.value.__context__, pa.ArrowInvalid)


@pytest.mark.parametrize("sql", [f"DELETE FROM {TABLE}", f"DROP TABLE {TABLE}", f"UPDATE {TABLE} SET v = 0"])
def test_query_changes_nothing(client: InfluxDBClient3, sql: str) -> None:
    with pytest.raises(InfluxDB3ClientQueryError):
        client.query(sql)

    assert client.query(f"SELECT sum(v) AS v FROM {TABLE}").to_pylist() == [{"v": 4.0}]


def test_unknown_database_is_not_found(client: InfluxDBClient3) -> None:
    with pytest.raises(InfluxDB3ClientQueryError, match=r"'nowhere' not found|not found: nowhere") as caught:
        client.query("SELECT 1", database="nowhere")

    assert isinstance(caught.value.__context__, pa.ArrowKeyError)


def test_unknown_token_is_unauthenticated(target: Target) -> None:
    with target.client(token="apiv3_unknown") as client, pytest.raises(InfluxDB3ClientQueryError) as caught:
        client.query("SELECT 1")

    assert isinstance(caught.value.__context__, flight.FlightUnauthenticatedError)


def test_server_tells_its_version(client: InfluxDBClient3) -> None:
    assert client.get_server_version().startswith("3.")
