"""What is written is there, in its types and at its time."""

import gzip
import time
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from influxdb_client_3 import Point, WritePrecision

from tests.contract.target import Target
from tests.waiting import until

AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
SECONDS = int(AT.timestamp())


def test_write_is_answered_204_without_a_body(target: Target, table: str) -> None:
    answer = target.write(f"{table},s=a v=1 {SECONDS}000000")

    assert (answer.status_code, answer.content) == (204, b"")
    assert target.rows(f"SELECT * FROM {table}") == [{"time": "2023-11-14T22:13:20", "s": "a", "v": 1.0}]


@pytest.mark.parametrize(
    ("precision", "stamp"),
    [
        *((name, SECONDS) for name in ("second", "s", "auto")),
        *((name, SECONDS * 10**3) for name in ("millisecond", "ms", "auto")),
        *((name, SECONDS * 10**6) for name in ("microsecond", "us", "u", "auto")),
        *((name, SECONDS * 10**9) for name in ("nanosecond", "ns", "n", "auto")),
    ],
)
def test_time_is_in_the_named_precision_or_told_by_its_magnitude(
    target: Target, table: str, precision: str, stamp: int
) -> None:
    assert target.write(f"{table} v=1 {stamp}", precision=precision).status_code == 204

    assert target.rows(f"SELECT time FROM {table}") == [{"time": "2023-11-14T22:13:20"}]


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        (4_999_999_999, "2128-06-11T08:53:19"),
        (5_000_000_000, "1970-02-27T20:53:20"),
        (4_999_999_999_999, "2128-06-11T08:53:19.999"),
        (5_000_000_000_000, "1970-02-27T20:53:20"),
        (4_999_999_999_999_999, "2128-06-11T08:53:19.999999"),
        (5_000_000_000_000_000, "1970-02-27T20:53:20"),
        (-1_700_000_000, "1916-02-18T01:46:40"),
    ],
)
def test_precision_auto_changes_its_mind_at_five_thousand_million(
    target: Target, table: str, stamp: int, moment: str
) -> None:
    target.write(f"{table} v=1 {stamp}", precision="auto")

    assert target.rows(f"SELECT time FROM {table}") == [{"time": moment}]


def test_line_without_time_gets_the_servers_cut_to_the_precision(target: Target, table: str) -> None:
    before = int(time.time())
    target.write(f"{table} v=1", precision="second")
    after = time.time()

    (row,) = target.rows(f"SELECT time FROM {table}")
    assert before <= datetime.fromisoformat(row["time"] + "+00:00").timestamp() <= after
    assert len(row["time"]) == len("2023-11-14T22:13:20")


def test_lines_without_time_have_one_time_in_one_write(target: Target, table: str) -> None:
    target.write(f"{table},s=a v=1\n{table},s=a v=2,w=9\n{table},s=b v=3")

    rows = target.rows(f"SELECT s, v, w, time FROM {table} ORDER BY s")
    assert [(row["s"], row["v"], row.get("w")) for row in rows] == [("a", 2.0, 9.0), ("b", 3.0, None)]
    assert rows[0]["time"] == rows[1]["time"]


def test_write_with_no_sync_is_there_soon(target: Target, table: str) -> None:
    target.write(f"{table} v=0 1")  # else the table itself may be late

    assert target.write(f"{table} v=1 2", no_sync="true").status_code == 204

    until(lambda: target.rows(f"SELECT count(*) AS n FROM {table}") == [{"n": 2}])


def test_gzip_body_is_unzipped(target: Target, table: str) -> None:
    body = gzip.compress(f"{table} v=1 1\n{table} v=2 2".encode())

    assert target.write(body, headers={"Content-Encoding": "gzip"}).status_code == 204

    assert target.rows(f"SELECT count(*) AS n FROM {table}") == [{"n": 2}]


def test_blank_lines_and_comments_are_passed_over(target: Target, table: str) -> None:
    assert target.write(f"\n# a comment\n\n{table} v=1 1\n\n").status_code == 204

    assert target.rows(f"SELECT v FROM {table}") == [{"v": 1.0}]


@pytest.mark.parametrize(("params", "stamp"), [({}, SECONDS * 10**9), ({"precision": "s"}, SECONDS)])
def test_v2_write_is_in_nanoseconds_unless_told(target: Target, table: str, params: dict[str, str], stamp: int) -> None:
    params = {"org": "any", "bucket": target.database, **params}

    answer = target.http("POST", "/api/v2/write", params=params, content=f"{table} v=1 {stamp}".encode())

    assert (answer.status_code, answer.content) == (204, b"")
    assert target.rows(f"SELECT time FROM {table}") == [{"time": "2023-11-14T22:13:20"}]


@pytest.mark.parametrize("use_v2_api", [True, False])
@pytest.mark.parametrize("gzip", [True, False])
def test_official_client_writes_by_either_api_plain_or_zipped(
    target: Target,
    table: str,
    use_v2_api: bool,  # noqa: FBT001 - pytest passes it by name
    gzip: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    with target.client(use_v2_api=use_v2_api, gzip=gzip) as client:
        client.write([f"{table} v={n} {n}" for n in range(100)], write_precision="s")

    rows = target.rows(f"SELECT count(*) AS n, max(time) AS t FROM {table}")
    assert rows == [{"n": 100, "t": "1970-01-01T00:01:39"}]


def test_official_clients_point_comes_back_as_it_was(target: Target, table: str) -> None:
    point = Point(table).tag("sensor", "a b,c=d").field("f", 1.5).field("i", 7).field("b", value=True)
    point.field("s", 'said "x", \\').time(AT, WritePrecision.US)

    with target.client() as client:
        client.write(point, write_precision="us")

    row = {"sensor": "a b,c=d", "f": 1.5, "i": 7, "b": True, "s": 'said "x", \\', "time": "2023-11-14T22:13:20"}
    assert target.rows(f"SELECT * FROM {table}") == [row]


def test_each_type_of_line_protocol_has_its_arrow_type(target: Target, table: str) -> None:
    target.write(f'{table},tag=x f=1,i=-1i,u=18446744073709551615u,b=t,s="text" 1')

    with target.client() as client:
        result = client.query(f"SELECT time, tag, f, i, u, b, s FROM {table}")

    assert result.schema.types == [
        pa.timestamp("ns"), pa.string(), pa.float64(), pa.int64(), pa.uint64(), pa.bool_(), pa.string(),
    ]  # fmt: skip
    row = result.drop_columns(["time"]).to_pylist()
    assert row == [{"tag": "x", "f": 1.0, "i": -1, "u": 2**64 - 1, "b": True, "s": "text"}]


@pytest.mark.parametrize(
    "text", ["", 'a "quoted" word', "back\\slash", "two\nlines", "a=b, c", "°C ½ 漢字 🌡", "x" * 60_000]
)
def test_string_field_comes_back_as_it_was(target: Target, table: str, text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')

    assert target.write(f'{table} s="{escaped}" 1').status_code == 204

    assert target.rows(f"SELECT s FROM {table}") == [{"s": text}]


@pytest.mark.parametrize("text", ["a b", "a,b", "a=b", 'a "b"', "a\\b", "°C 漢字"])
def test_tag_and_names_come_back_as_they_were(target: Target, table: str, text: str) -> None:
    escaped = text.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")

    assert target.write(f"{table},t{escaped}={escaped} f{escaped}=1 1").status_code == 204

    (row,) = target.rows(f"SELECT * FROM {table}")
    assert row == {"time": "1970-01-01T00:00:00.000001", f"t{text}": text, f"f{text}": 1.0}


class TestRowsOfOneKey:
    """A row's key is its table, all its tags and its time."""

    def test_resent_lines_change_nothing(self, target: Target, table: str) -> None:
        lines = "\n".join(f"{table},s=s{n % 3} v={n} {n}" for n in range(50))

        assert [target.write(lines).status_code for _ in range(2)] == [204, 204]

        assert target.rows(f"SELECT count(*) AS n, sum(v) AS v FROM {table}") == [{"n": 50, "v": 1225.0}]

    @pytest.mark.parametrize("together", [True, False], ids=["in one body", "one after another"])
    def test_each_field_keeps_its_last_value_that_was_given(
        self,
        target: Target,
        table: str,
        together: bool,  # noqa: FBT001 - pytest passes it by name
    ) -> None:
        lines = [f"{table},s=a v=1,w=1 5", f"{table},s=a v=2 5", f'{table},s=a v=3,x="new" 5', f"{table},s=a w=4 5"]

        for body in ["\n".join(lines)] if together else lines:
            target.write(body)

        assert _without_time(target, table) == [{"s": "a", "v": 3.0, "w": 4.0, "x": "new"}]

    def test_another_tag_or_a_missing_one_is_another_row(self, target: Target, table: str) -> None:
        target.write(f"{table},s=a,t=x v=1 5\n{table},s=b,t=x v=2 5\n{table},s=a v=3 5\n{table} v=4 5")

        assert sorted(row["v"] for row in _without_time(target, table)) == [1, 2, 3, 4]


def _without_time(target: Target, table: str) -> list[dict[str, Any]]:
    rows = target.rows(f"SELECT * FROM {table}")
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]
