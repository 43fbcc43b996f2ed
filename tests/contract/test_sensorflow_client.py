"""SensorFlow's own client: what the bridge and the HTTP API rely on, in their words."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from http_api.store_questions import NEVER_WRITTEN
from sensorflow.errors import PermanentError, TransientError
from sensorflow.influx import Influx, PartialWriteError
from tests.contract.target import Target


@pytest.fixture(scope="module")
def influx(target: Target) -> Iterator[Influx]:
    with closing(Influx(target.url, target.token, target.database)) as influx:
        yield influx


def test_bridge_learns_which_lines_were_refused(influx: Influx, table: str) -> None:
    with pytest.raises(PartialWriteError) as caught:
        influx.write(f"{table},sensor_id=a v=1 1\n{table},sensor_id=a v=t 2\n{table},sensor_id=a v=3 3".encode())

    assert [number for number, _ in caught.value.lines] == [2]
    assert influx.query(f"SELECT count(*) AS n FROM {table}").to_pylist() == [{"n": 2}]


def test_body_that_is_too_long_is_never_sent_again(influx: Influx, table: str) -> None:
    with pytest.raises(PermanentError, match="413"):
        influx.write(f'{table} s="{"x" * 10 * 2**20}" 1'.encode())


@pytest.mark.parametrize("database", [None, "nowhere"])
def test_api_knows_a_table_that_was_never_written(target: Target, database: str | None) -> None:
    with (
        closing(Influx(target.url, target.token, database or target.database)) as influx,
        pytest.raises(PermanentError, match=NEVER_WRITTEN),
    ):
        influx.query('SELECT * FROM "never_written" WHERE sensor_id = $sensor_id', {"sensor_id": "a"})


def test_wrong_token_is_no_reason_to_throw_readings_away(target: Target) -> None:
    with closing(Influx(target.url, "apiv3_unknown", target.database)) as influx:
        with pytest.raises(TransientError, match="401"):
            influx.write(b"t v=1 1")
        with pytest.raises(TransientError):
            influx.query("SELECT 1")


def test_ping_tells_which_process_answers(influx: Influx) -> None:
    assert influx.ping().version.startswith("3.")
    assert influx.ping().process_id == influx.ping().process_id is not None


def test_a_long_answer_comes_bit_by_bit_and_may_be_left(target: Target, influx: Influx, table: str) -> None:
    for first in range(0, 120_000, 30_000):
        lines = [f"{table},sensor_id=a v={n}.0 {1_755_345_600_000_000 + n}" for n in range(first, first + 30_000)]
        assert target.write("\n".join(lines)).status_code == 204
    sql = f"SELECT v FROM {table} WHERE v >= $least ORDER BY time"

    stream = influx.stream(sql, {"least": 10.0})
    first_batch = next(stream)
    stream.close()
    whole = [batch.num_rows for batch in influx.stream(sql, {"least": 10.0})]

    assert first_batch.column("v")[0].as_py() == 10.0
    assert sum(whole) == 119_990
    assert len(whole) > 1
    assert influx.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_a_stream_of_a_table_that_was_never_written_is_refused_as_a_query_is(influx: Influx) -> None:
    with pytest.raises(PermanentError, match=NEVER_WRITTEN):
        next(influx.stream('SELECT * FROM "never_written"'))


def test_a_stream_with_a_wrong_token_may_work_later(target: Target) -> None:
    with closing(Influx(target.url, "apiv3_unknown", target.database)) as influx, pytest.raises(TransientError):
        next(influx.stream("SELECT 1"))
