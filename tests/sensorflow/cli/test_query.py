"""query against a real Flight server that answers as InfluxDB 3 does."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import flight

from tests.sensorflow.cli.conftest import KEY, Run


class Server(flight.FlightServerBase):  # type: ignore[misc] # pyarrow ships no types
    """One row with the question in it."""

    def do_get(self, _context: object, ticket: Any) -> Any:
        question = json.loads(ticket.ticket)
        if "wrong" in question["sql_query"]:
            raise pa.ArrowInvalid("no table 'wrong'")
        if "slow" in question["sql_query"]:
            raise flight.FlightTimedOutError("the query took longer than 30 s")
        if "busy" in question["sql_query"]:
            raise flight.FlightUnavailableError("8 queries are running already")
        row = {"time": pa.array([0], pa.timestamp("ns")), "sql": [question["sql_query"]], "db": [question["database"]]}
        return flight.RecordBatchStream(pa.table(row))


@pytest.fixture
def store(settings: Callable[..., None]) -> Iterator[None]:
    with Server("grpc://127.0.0.1:0") as server:
        settings(influx_host=f"http://127.0.0.1:{server.port}", influx_token=KEY, influx_database="plant")
        yield  # it answers from its start; serve() would only wait, and crash now and then while the server ends


def test_answer_is_csv_in_a_pipe(run: Run, store: None) -> None:
    result = run("query", "SELECT 1")

    assert result.exit_code == 0, result.output
    assert result.stdout == "time,sql,db\n1970-01-01T00:00:00.000,SELECT 1,plant\n"


def test_answer_is_a_table_where_asked_for(run: Run, store: None) -> None:
    result = run("query", "SELECT 1", "--format", "table")

    assert [line.split() for line in result.stdout.splitlines()] == [
        ["time", "sql", "db"],
        ["1970-01-01T00:00:00.000", "SELECT", "1", "plant"],
    ]


def test_question_comes_from_standard_input_where_it_is_a_dash(run: Run, store: None) -> None:
    result = run("query", "-", "--format", "jsonl", stdin="SELECT\n2")

    assert json.loads(result.stdout)["sql"] == "SELECT\n2"


def test_error_of_the_store_is_one_line(run: Run, store: None) -> None:
    result = run("query", "SELECT wrong")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "no table 'wrong'" in result.stderr


@pytest.mark.parametrize(
    ("sql", "words"),
    [("SELECT slow", "the query took longer than 30 s"), ("SELECT busy", "8 queries are running already")],
)
def test_store_that_is_busy_or_too_slow_says_so_itself(run: Run, store: None, sql: str, words: str) -> None:
    result = run("query", sql)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"sensorflow: {words}")


def test_store_that_is_away_is_one_line(run: Run, settings: Callable[..., None], free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    settings(influx_host=url)

    result = run("query", "SELECT 1", "--timeout", 2)

    assert result.exit_code == 1
    assert result.stderr == f"sensorflow: nobody answers at {url}; is `sensorflow up` running?\n"


def test_query_needs_no_other_secret_than_the_token_of_the_store(
    run: Run, store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "MQTT_PASSWORD", "MQTT_DEVICE_PASSWORD"):
        monkeypatch.delenv(name)

    result = run("query", "SELECT 1")

    assert result.exit_code == 0, result.output


def test_no_question_is_a_wrong_call(run: Run) -> None:
    result = run("query", "-", stdin=" \n")

    assert (result.exit_code, result.stderr) == (2, "sensorflow: no SQL\n")
