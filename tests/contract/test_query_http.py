"""Queries by plain HTTP, in each format."""

import io
import json
from typing import Any

import pytest
from pyarrow import parquet

from tests.contract.target import Target

TABLE = "asked_by_http"
ALL = f"SELECT time, s, v, n, b, t FROM {TABLE} ORDER BY time"
FIRST = {"time": "2023-11-14T22:13:20", "s": "a", "v": 1.5, "n": 1, "b": True, "t": 'x,"y"'}
SECOND = {"time": "2023-11-14T22:13:20.000001", "s": "b", "v": 2.0}


@pytest.fixture(scope="module", autouse=True)
def _filled(target: Target) -> None:
    target.write(f'{TABLE},s=a v=1.5,n=1i,b=true,t="x,\\"y\\"" 1700000000000000\n{TABLE},s=b v=2 1700000000000001')


@pytest.mark.parametrize(
    ("format_", "content_type"),
    [
        (None, "application/json"),
        ("json", "application/json"),
        ("jsonl", "application/jsonl"),
        ("json_lines", "application/jsonl"),
        ("csv", "text/csv"),
        ("pretty", "text/plain; charset=utf-8"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_each_format_has_its_content_type(target: Target, method: str, format_: str | None, content_type: str) -> None:
    request = {"db": target.database, "q": ALL} | ({"format": format_} if format_ else {})

    options: dict[str, Any] = {"params": request} if method == "GET" else {"json": request}
    answer = target.http(method, "/api/v3/query_sql", **options)

    assert answer.status_code == 200
    assert answer.headers["content-type"].removesuffix("; charset=utf-8") == content_type.removesuffix(
        "; charset=utf-8"
    )


def test_json_has_times_without_a_zone_and_no_nulls(target: Target) -> None:
    assert target.query(ALL, format="json").json() == [FIRST, SECOND]


def test_json_of_no_rows_is_an_empty_array(target: Target) -> None:
    assert target.query(f"{ALL} LIMIT 0", format="json").content == b"[]"


def test_jsonl_has_a_row_a_line(target: Target) -> None:
    lines = target.query(ALL, format="jsonl").text.splitlines()

    assert [json.loads(line) for line in lines] == [FIRST, SECOND]


def test_csv_has_names_and_empty_nulls(target: Target) -> None:
    assert target.query(ALL, format="csv").text == (
        'time,s,v,n,b,t\n2023-11-14T22:13:20,a,1.5,1,true,"x,""y"""\n2023-11-14T22:13:20.000001,b,2.0,,,\n'
    )


def test_pretty_draws_a_table(target: Target) -> None:
    text = target.query(f"SELECT s, v, t FROM {TABLE} ORDER BY s", format="pretty").text

    assert text.splitlines() == [
        "+---+-----+-------+",
        "| s | v   | t     |",
        "+---+-----+-------+",
        '| a | 1.5 | x,"y" |',
        "| b | 2.0 |       |",
        "+---+-----+-------+",
    ]


def test_parquet_has_the_rows(target: Target) -> None:
    table = parquet.read_table(io.BytesIO(target.query(ALL, format="parquet").content))

    assert table.column_names == ["time", "s", "v", "n", "b", "t"]
    assert [row["v"] for row in table.to_pylist()] == [1.5, 2.0]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("text/csv", "text/csv"), ("text/plain", "text/plain"), ("*/*", "application/json")],
)
def test_format_may_be_told_by_the_header_accept(target: Target, accept: str, content_type: str) -> None:
    params = {"db": target.database, "q": ALL}

    answer = target.http("GET", "/api/v3/query_sql", params=params, headers={"Accept": accept})

    assert answer.headers["content-type"].startswith(content_type)


def test_times_have_as_many_decimals_as_it_takes(target: Target, table: str) -> None:
    target.write("\n".join(f"{table} v=1 {stamp}" for stamp in (1, 1_000, 1_000_000)))

    assert [row["time"] for row in target.rows(f"SELECT time FROM {table} ORDER BY time")] == [
        "1970-01-01T00:00:00.000001", "1970-01-01T00:00:00.001", "1970-01-01T00:00:01",
    ]  # fmt: skip


def test_parameters_come_as_json_in_the_url_or_in_the_body(target: Target) -> None:
    request = {"db": target.database, "q": f"SELECT v FROM {TABLE} WHERE s = $s"}

    got = target.http("GET", "/api/v3/query_sql", params=request | {"params": '{"s": "b"}'})
    posted = target.http("POST", "/api/v3/query_sql", json=request | {"params": {"s": "b"}})

    assert got.json() == posted.json() == [{"v": 2.0}]


def test_posted_body_is_json_whatever_its_content_type_says(target: Target) -> None:
    body = json.dumps({"db": target.database, "q": "SELECT 1 AS n"}).encode()

    answer = target.http("POST", "/api/v3/query_sql", content=body, headers={"Content-Type": "text/plain"})

    assert answer.json() == [{"n": 1}]


def test_float_divided_by_zero_is_no_error_and_no_number(target: Target) -> None:
    (row,) = target.rows(f"SELECT v / (v - 2.0) AS x FROM {TABLE} WHERE s = 'b'")

    assert row.get("x") is None  # infinity is null in JSON


@pytest.mark.parametrize("sql", ["SELECT 1", "SELEC 1"])
def test_unknown_database_is_404_whatever_is_asked(target: Target, sql: str) -> None:
    answer = target.http("GET", "/api/v3/query_sql", params={"db": "nowhere", "q": sql})

    assert answer.status_code == 404
    assert "database not found: nowhere" in answer.json()["error"]


@pytest.mark.parametrize(("sql", "words"), [("SELEC 1", "SELEC"), (f"SELECT nothing FROM {TABLE}", "nothing")])
def test_statement_that_cannot_run_is_told_why(target: Target, sql: str, words: str) -> None:
    answer = target.query(sql)

    assert answer.status_code in {400, 500}  # InfluxDB takes some such errors for its own
    assert words in answer.text


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"q": "SELECT * FROM nowhere"}, "table 'public.iox.nowhere' not found"),
        ({}, "q"),
        ({"q": "SELECT 1", "format": "xml"}, "xml"),
        ({"q": "SELECT 1", "params": "nonsense"}, ""),
    ],
)
def test_query_that_cannot_be_meant_is_400(target: Target, params: dict[str, str], words: str) -> None:
    answer = target.http("GET", "/api/v3/query_sql", params={"db": target.database, **params})

    assert answer.status_code == 400
    assert words in answer.text
