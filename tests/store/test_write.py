"""Writing, with the official client and over plain HTTP."""

import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from influxdb_client_3 import InfluxDBError, Point, WritePrecision
from influxdb_client_3.exceptions import InfluxDBPartialWriteError

from tests.store.store_process import StoreProcess

PARTIAL = "partial write of line protocol occurred"


def test_official_client_writes_points_of_every_type(store: StoreProcess) -> None:
    point = Point("w_types").tag("sensor", "a b,c=d").field("f", 1.5).field("i", 7).field("b", True)
    point.field("s", 'said "x", \\').time(1_700_000_000_123_456, WritePrecision.US)

    with store.client() as client:
        client.write(point, write_precision="us")

    row = {"sensor": "a b,c=d", "f": 1.5, "i": 7, "b": True, "s": 'said "x", \\', "time": "2023-11-14T22:13:20.123456"}
    assert store.rows("SELECT * FROM w_types") == [row]


@pytest.mark.parametrize("use_v2_api", [True, False])
@pytest.mark.parametrize("enable_gzip", [True, False])
def test_official_client_writes_by_either_api_plain_or_zipped(
    store: StoreProcess,
    use_v2_api: bool,  # noqa: FBT001 - pytest passes it by name
    enable_gzip: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    table = f"w_{use_v2_api}_{enable_gzip}"

    with store.client(use_v2_api=use_v2_api, enable_gzip=enable_gzip) as client:
        client.write([f"{table} v={n} {n}" for n in range(100)], write_precision="s")

    assert store.rows(f"SELECT count(*) AS n, max(time) AS t FROM {table}") == [{"n": 100, "t": "1970-01-01T00:01:39"}]


def test_partial_write_stores_the_good_lines_and_numbers_the_bad(store: StoreProcess) -> None:
    store.write("w_partial,s=a v=1.5 1")

    with store.client() as client, pytest.raises(InfluxDBPartialWriteError) as caught:
        client.write("w_partial,s=a v=2 2\nw_partial,s=a v=3i 3\nnonsense\nw_partial,s=a v=4 4", write_precision="us")

    errors = [(error.line_number, error.error_message, error.original_line) for error in caught.value.line_errors]
    conflict = (
        "invalid column type for column 'v', expected iox::column_type::field::float,"
        " got iox::column_type::field::integer"
    )
    assert errors == [
        (2, conflict, "w_partial,s=a v=3i 3"),
        (3, "Expected at least one space character, got end of input", "nonsense"),
    ]
    assert [row["v"] for row in store.rows("SELECT v FROM w_partial ORDER BY time")] == [1.5, 2.0, 4.0]


def test_first_line_decides_a_new_columns_type(store: StoreProcess) -> None:
    answer = store.write("w_first v=1i 1\nw_first v=2 2")

    assert answer.status_code == 400
    assert [error["line_number"] for error in answer.json()["data"]] == [2]


@pytest.mark.parametrize("params", [{"accept_partial": "false"}])
def test_all_or_nothing_write_stores_nothing_of_a_bad_body(store: StoreProcess, params: dict[str, str]) -> None:
    answer = store.write("w_nothing v=1 1\nbad", **params)

    assert answer.status_code == 400
    assert answer.json()["error"] == "parsing failed for write_lp endpoint"
    assert answer.json()["data"]["line_number"] == 2
    assert store.rows("SELECT count(*) AS n FROM information_schema.tables WHERE table_name = 'w_nothing'") == [
        {"n": 0}
    ]


def test_v2_write_is_all_or_nothing_with_v2s_error(store: StoreProcess) -> None:
    with store.client(use_v2_api=True) as client, pytest.raises(InfluxDBError) as caught:
        client.write("w_v2 v=1 1\nbad")

    assert "write buffer error: line 2: Expected at least one space character" in str(caught.value)
    assert store.rows("SELECT count(*) AS n FROM information_schema.tables WHERE table_name = 'w_v2'") == [{"n": 0}]


@pytest.mark.parametrize("name", ['we"ird', "läuft; DROP TABLE x", "sel ect", "a.b", "Ünïcode", "'q'"])
def test_any_name_is_only_a_name(store: StoreProcess, name: str) -> None:
    escaped = name.replace(" ", "\\ ")

    assert store.write(f"w_{escaped},t{escaped}=x f{escaped}=1 5").status_code == 204

    doubled = name.replace('"', '""')
    rows = store.rows(f'SELECT "t{doubled}" AS t, "f{doubled}" AS f FROM "w_{doubled}"')
    assert rows == [{"t": "x", "f": 1.0}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("w_names V=1,v=2 1", "column name 'v' differs from 'V' only in case, which DuckDB does not tell apart"),
        ("w_names time=1 1", "invalid column type for column 'time', expected iox::column_type::timestamp"),
        (f"w_names {'x' * 257}=1 1", "column name of 257 bytes, at most 256"),
        (f"{'x' * 257} v=1 1", "table name of 257 bytes, at most 256"),
        ("w_names a\0b=1 1", "column name 'a\\x00b' contains NUL"),
    ],
)
def test_name_that_cannot_be_kept_is_refused(store: StoreProcess, line: str, message: str) -> None:
    answer = store.write(line)

    assert answer.status_code == 400
    assert answer.json()["data"][0]["error_message"].startswith(message)


def test_column_limit_is_422(store: StoreProcess) -> None:
    assert store.write("w_wide " + ",".join(f"f{n}=1" for n in range(499)) + " 1").status_code == 204

    answer = store.write("w_wide one_more=1 2")

    assert answer.status_code == 422
    assert answer.json()["error"] == PARTIAL
    assert "500 columns" in answer.json()["data"][0]["error_message"]


def test_body_of_more_than_10_mib_is_413(store: StoreProcess) -> None:
    answer = store.write(b"#" + b"x" * 10 * 2**20)

    assert (answer.status_code, answer.json()) == (413, {"error": "body of more than 10485760 bytes"})


def test_gzip_bomb_is_413(store: StoreProcess) -> None:
    bomb = gzip.compress(b"#" * 200 * 2**20, compresslevel=1)
    assert len(bomb) < 2**20

    params = {"db": "sensorflow"}
    answer = store.http("POST", "/api/v3/write_lp", params=params, content=bomb, headers={"Content-Encoding": "gzip"})

    assert (answer.status_code, answer.json()) == (413, {"error": "body of more than 10485760 bytes unzipped"})


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        (b"", {}, "incoming write was empty"),
        (b"# only a comment\n\n", {}, "incoming write was empty"),
        (b"m v=\xff", {}, "the body is not UTF-8, at byte 4"),
        (b"m v=1", {"Content-Encoding": "br"}, "content-encoding 'br' is not supported, only gzip and identity"),
        (b"m v=1", {"Content-Encoding": "gzip"}, "the body is not gzip"),
        (gzip.compress(b"m v=1")[:-9], {"Content-Encoding": "gzip"}, "the gzip body is cut off"),
    ],
)
def test_unreadable_body_is_400(store: StoreProcess, body: bytes, headers: dict[str, str], error: str) -> None:
    params = {"db": "sensorflow"}
    answer = store.http("POST", "/api/v3/write_lp", params=params, content=body, headers=headers)

    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_gzip_in_several_members_is_read_whole(store: StoreProcess) -> None:
    body = gzip.compress(b"w_members v=1 1\n") + gzip.compress(b"w_members v=2 2\n")

    params = {"db": "sensorflow"}
    store.http("POST", "/api/v3/write_lp", params=params, content=body, headers={"Content-Encoding": "gzip"})

    assert store.rows("SELECT count(*) AS n FROM w_members") == [{"n": 2}]


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"precision": "fortnight"}, 400),
        ({"accept_partial": "perhaps"}, 400),
        ({"db": ""}, 400),
        ({"db": "../etc"}, 400),
        ({"db": "-x"}, 400),
        ({"db": "x" * 65}, 400),
        ({"db": "SensorFlow"}, 400),
        ({"no_sync": "true"}, 204),
    ],
)
def test_parameters_are_checked(store: StoreProcess, params: dict[str, str], status: int) -> None:
    assert store.write("w_params v=1 1", **params).status_code == status


def test_database_is_created_by_its_first_write_up_to_five(own_store: StoreProcess) -> None:
    statuses = [own_store.write("m v=1 1", db=f"db-{n}").status_code for n in range(5)]

    assert statuses == [204, 204, 204, 204, 422]
    assert own_store.rows("SELECT count(*) AS n FROM m", db="db-3") == [{"n": 1}]
    names = [row["iox::database"] for row in own_store.http("GET", "/api/v3/configure/database?format=json").json()]
    assert names == ["db-0", "db-1", "db-2", "db-3", "sensorflow"]


def test_concurrent_writes_with_new_columns_all_arrive(store: StoreProcess) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: store.write(f"w_many,s=s{n % 4} c{n % 10}={n} {n}"), range(80)))

    assert {answer.status_code for answer in answers} == {204}
    assert store.rows("SELECT count(*) AS n, count(c3) AS c3 FROM w_many") == [{"n": 80, "c3": 8}]


def test_crc_error_in_gzip_is_400(store: StoreProcess) -> None:
    body = bytearray(gzip.compress(b"m v=1"))
    body[-8] ^= 1
    assert zlib.crc32(b"m v=1")

    params = {"db": "sensorflow"}
    answer = store.http(
        "POST", "/api/v3/write_lp", params=params, content=bytes(body), headers={"Content-Encoding": "gzip"}
    )

    assert answer.status_code == 400
