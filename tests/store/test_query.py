"""Querying, as far as the contract of InfluxDB 3 (tests/contract) does not say it: our types, bounds and words."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_flightsql import dbapi as flightsql
from influxdb_client_3 import InfluxDBClient3
from influxdb_client_3.exceptions import InfluxDB3ClientQueryError
from pyarrow import flight

from store.flight import _field, _wrapped
from tests.store.store_process import TOKEN, StoreProcess


@pytest.fixture(scope="module")
def filled(store: StoreProcess) -> StoreProcess:
    store.write('q,s=a v=1.5,n=1i,b=true,t="x" 1700000000000000\nq,s=b v=2.5,n=2i 1700000060000000')
    return store


@pytest.fixture
def client(filled: StoreProcess) -> Iterator[InfluxDBClient3]:
    with filled.client() as client:
        yield client


@pytest.fixture
def adbc(filled: StoreProcess) -> Iterator[Any]:
    options = {
        DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {TOKEN}",
        DatabaseOptions.RPC_CALL_HEADER_PREFIX.value + "database": "sensorflow",
        DatabaseOptions.WITH_MAX_MSG_SIZE.value: "4194304",  # grpc-go's default, which Grafana leaves as it is
    }
    uri = f"grpc://127.0.0.1:{filled.port}"
    with closing(flightsql.connect(uri, db_kwargs=options, autocommit=True)) as connection:
        yield connection


def test_influxql_is_refused_clearly(client: InfluxDBClient3) -> None:
    with pytest.raises(InfluxDB3ClientQueryError, match="query_type 'influxql' is not supported here, only 'sql'"):
        client.query("SELECT * FROM q", language="influxql")


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1.5::DECIMAL(9, 2)", pa.float64()),
        ("SELECT sum(n) FROM q", pa.int64()),
        ("SELECT DATE '2024-01-01'", pa.timestamp("ns")),
        ("SELECT now()", pa.timestamp("ns")),
        ("SELECT TIMESTAMP '2024-01-01'", pa.timestamp("ns")),
        ("SELECT max(time) - min(time) FROM q", pa.duration("ns")),
        ("SELECT array_agg({'a': n}) FROM q", pa.string()),
        ("SELECT [[interval '1 day']]", pa.string()),
        ("SELECT array_agg(s) FROM q", pa.list_(pa.string())),
        ("SELECT NULL", pa.string()),
        ("EXPLAIN SELECT 1", pa.string()),
    ],
)
def test_adbc_reads_every_type_as_grafana_can(adbc: Any, sql: str, kind: pa.DataType) -> None:
    with adbc.cursor() as cursor:
        cursor.execute(sql)
        assert cursor.fetch_arrow_table().schema.types[-1] == kind


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        (
            "SELECT selector_last(v, time) AS x FROM (SELECT 1.5 AS v, TIMESTAMPTZ '2025-01-02 03:04:05.678Z' AS time)",
            '{"value":1.5,"time":"2025-01-02T03:04:05.678000+00:00"}',
        ),
        ("SELECT {'a': NULL, 'b': [1.25], 'c': 'é'} AS x", '{"a":null,"b":[1.25],"c":"é"}'),
        ("SELECT [{'a': 1}, {'a': 2}] AS x", '[{"a":1},{"a":2}]'),
    ],
)
def test_nested_value_is_json(client: InfluxDBClient3, sql: str, text: str) -> None:
    assert client.query(sql, mode="all").to_pylist() == [{"x": text}]


def test_adbc_is_told_of_a_row_that_fits_no_message(adbc: Any, filled: StoreProcess) -> None:
    for n in range(2):
        filled.write(f'q_long v{n}="{"x" * 3_000_000}" 1')

    with adbc.cursor() as cursor:
        cursor.execute("SELECT v0, v1 FROM q_long")
        with pytest.raises(Exception, match=r"a row of \d+ bytes does not fit a message"):
            cursor.fetchall()
    with adbc.cursor() as cursor:
        cursor.execute("SELECT v0 FROM q_long")
        assert len(cursor.fetchall()[0][0]) == 3_000_000


@pytest.mark.parametrize("sql", ["", " ", "-- nothing"])
def test_flight_sql_answers_an_empty_statement(filled: StoreProcess, sql: str) -> None:
    command = _wrapped("CommandStatementQuery", _field(1, sql.encode()))
    headers = [(b"authorization", f"Bearer {TOKEN}".encode()), (b"database", b"sensorflow")]
    options = flight.FlightCallOptions(headers=headers)

    with flight.connect(f"grpc://127.0.0.1:{filled.port}") as client:
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command), options)
        table = client.do_get(info.endpoints[0].ticket, options).read_all()

    assert (len(info.endpoints), info.schema) == (1, table.schema)
    assert table.to_pylist() == [{"1": 1}]


def flight_call(store: StoreProcess, ticket: bytes) -> pa.Table:
    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    with flight.connect(f"grpc://127.0.0.1:{store.port}") as client:
        return client.do_get(flight.Ticket(ticket), flight.FlightCallOptions(headers=headers)).read_all()


def ticket(sql: str, **fields: Any) -> bytes:
    return json.dumps({"database": "sensorflow", "sql_query": sql, "query_type": "sql", **fields}).encode()


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (ticket("SELECT 1", database="nope"), pa.ArrowKeyError, "database not found: nope"),
        (ticket("SELECT 1", database=None), pa.ArrowInvalid, "no database named"),
        (ticket("SELECT 1", params=[1]), pa.ArrowInvalid, "params are no object"),
        (ticket("SELECT * FROM nope"), pa.ArrowInvalid, "table 'public.iox.nope' not found"),
        (ticket("SELEC 1"), pa.ArrowInvalid, "syntax error"),
        (ticket("SELECT nope FROM q"), pa.ArrowInvalid, 'Referenced column "nope" not found'),
        (ticket("SELECT 'x'::INTEGER"), pa.ArrowInvalid, "Could not convert string 'x' to INT32"),
        (ticket("SELECT * FROM range(1000001)"), pa.ArrowInvalid, "more than 1000000 rows"),
        (b"{", pa.ArrowInvalid, "the ticket is no JSON"),
        (b"{}", pa.ArrowInvalid, "the ticket has no sql_query"),
        (b"\x0a\xff", pa.ArrowInvalid, "protobuf number is cut off"),
        (b"\x0a\x7f", pa.ArrowInvalid, "protobuf field of 127 bytes, 0 are left"),
        (b"", pa.ArrowInvalid, "the ticket is neither"),
    ],
)
def test_grpc_error_has_influxdbs_status_and_nothing_of_our_inside(
    filled: StoreProcess, content: bytes, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        flight_call(filled, content)

    assert "Traceback" not in str(caught.value)
    assert ".py" not in str(caught.value).replace("pyarrow", "")


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"db": "sensorflow"}, "parameter 'q' is missing"),
        ({"db": "sensorflow", "q": "SELECT 1", "format": "xml"}, "unknown format 'xml'"),
        ({"db": "sensorflow", "q": "SELECT 1", "params": "[1]"}, "parameter 'params' is no JSON object"),
        ({"db": "sensorflow", "q": "SELECT $x"}, "no value for parameter $x"),
    ],
)
def test_http_query_error_is_clear(filled: StoreProcess, params: dict[str, str], text: str) -> None:
    answer = filled.http("GET", "/api/v3/query_sql", params=params)

    assert answer.status_code == 400
    assert text in answer.text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("max(time) - min(time)", "PT60S"),
        ("min(time) - max(time) + interval '500 milliseconds'", "-PT59.5S"),
        ("interval '1 month 1 day'", f"PT{31 * 86400}S"),
        ("interval '0 second'", "PT0S"),
    ],
)
def test_duration_is_iso_8601(filled: StoreProcess, expression: str, text: str) -> None:
    assert filled.rows(f"SELECT {expression} AS d FROM q")[0] == {"d": text}


def test_list_is_json_in_csv_too(filled: StoreProcess) -> None:
    sql = "SELECT array_agg(time ORDER BY time) AS x FROM q"

    answer = filled.http("GET", "/api/v3/query_sql", params={"db": "sensorflow", "q": sql, "format": "csv"})

    assert answer.text == 'x\n"[""2023-11-14T22:13:20"",""2023-11-14T22:14:20""]"\n'


def test_duration_beyond_64_bits_is_told(client: InfluxDBClient3) -> None:
    with pytest.raises(InfluxDB3ClientQueryError, match="a value does not fit the result's type"):
        client.query("SELECT interval '400 years'")
