"""Writing, as far as the contract of InfluxDB 3 (tests/contract) does not say it: bounds, names, broken bodies."""

import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.store.store_process import StoreProcess


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


def test_gzip_bomb_is_413(store: StoreProcess) -> None:
    bomb = gzip.compress(b"#" * 200 * 2**20, compresslevel=1)
    assert len(bomb) < 2**20

    params = {"db": "sensorflow"}
    answer = store.http("POST", "/api/v3/write_lp", params=params, content=bomb, headers={"Content-Encoding": "gzip"})

    assert (answer.status_code, answer.json()) == (413, {"error": "body of more than 10485760 bytes unzipped"})


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
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


def test_database_name_that_differs_only_in_case_is_refused(store: StoreProcess) -> None:
    answer = store.write("m v=1 1", db="SensorFlow")

    assert (answer.status_code, answer.json()) == (
        400, {"error": "database name 'SensorFlow' differs from an existing one only in case"},
    )  # fmt: skip


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
