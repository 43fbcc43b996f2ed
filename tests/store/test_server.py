"""The process: who gets in, what two of them do, how it stops, and how one port serves everything at once."""

import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from store.errors import InvalidRequestError
from store.retention import duration_s
from tests.store.store_process import TOKEN, StoreProcess


def test_health_and_ping_are_open(store: StoreProcess) -> None:
    health, ping = store.http("GET", "/health", token=None), store.http("GET", "/ping", token=None)

    assert (health.status_code, health.text) == (200, "OK")
    assert (ping.headers["X-Influxdb-Version"], ping.headers["X-Influxdb-Build"]) == ("3.10.0", "SensorFlow")
    assert ping.json().keys() == {"version", "revision", "process_id"}


def test_process_id_is_new_with_each_start(own_store: StoreProcess) -> None:
    first = uuid.UUID(own_store.http("GET", "/ping").json()["process_id"])
    own_store.stop()
    own_store.start()

    assert uuid.UUID(own_store.http("GET", "/ping").json()["process_id"]) != first


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v3/write_lp?db=sensorflow"),
        ("POST", "/api/v2/write?bucket=sensorflow"),
        ("GET", "/api/v3/query_sql?db=sensorflow&q=SELECT+1"),
        ("GET", "/api/v3/configure/database?format=json"),
        ("POST", "/api/v3/configure/database/retention_period?db=sensorflow&duration=1d"),
        ("HEAD", "/api/v3/query_sql"),
        ("GET", "/nothing/here"),
    ],
)
def test_all_else_wants_the_token(store: StoreProcess, method: str, path: str) -> None:
    assert store.http(method, path, token=None, content=b"m v=1").status_code == 401
    assert store.http(method, path, token=TOKEN + "x", content=b"m v=1").status_code == 401


def test_second_process_on_the_same_data_ends_with_one_clear_line(own_store: StoreProcess) -> None:
    second = StoreProcess(own_store.data_dir).start()

    assert second.ended() == 1
    assert len(second.log) == 1
    assert second.log[0].endswith("sensorflow.duckdb is in use by another process\n")


def test_sigterm_finishes_what_is_under_way_and_exits_0(own_store: StoreProcess) -> None:
    statuses: list[int] = []

    def write_until_it_ends() -> None:
        try:
            while len(statuses) < 100_000:
                statuses.append(own_store.write(f"m v=1 {len(statuses)}").status_code)
        except httpx.TransportError:
            pass

    writer = threading.Thread(target=write_until_it_ends)
    writer.start()
    while len(statuses) < 5:
        pass
    code = own_store.stop()
    writer.join()
    own_store.start()

    assert code == 0
    assert set(statuses) == {204}
    assert own_store.rows("SELECT count(*) AS n FROM m")[0]["n"] >= len(statuses)
    assert own_store.log[0].endswith("\n")
    assert not [line for line in own_store.log if "ERROR" in line or "WARNING" in line]


def test_sigterm_does_not_wait_for_a_stalled_client_beyond_its_grace(own_store: StoreProcess) -> None:
    sql = f"SELECT range AS n, '{'x' * 500}' AS s FROM range(900000)"
    with own_store.client() as client:
        reader = client.query(sql, mode="reader")  # has the first of 450 MB, and asks for no more
        started = time.monotonic()
        code = own_store.stop()

    assert code == 0
    assert time.monotonic() - started < 9
    with pytest.raises(Exception, match=r"(?i)socket closed|cancel|unavailable|reset"):
        reader.read_all()


def test_one_port_serves_writes_and_both_kinds_of_queries_at_once(store: StoreProcess) -> None:
    def write(n: int) -> int:
        return store.write("\n".join(f"p,s=s{n % 5} v={i} {n * 1000 + i}" for i in range(100))).status_code

    def query_by_flight(_: int) -> int:
        with store.client() as client:
            return int(client.query("SELECT count(*) AS n FROM p").to_pylist()[0]["n"] % 100)

    def query_by_http(_: int) -> int:
        return int(store.rows("SELECT count(*) AS n FROM p")[0]["n"] % 100)

    write(0)
    with ThreadPoolExecutor(12) as pool:
        writes = pool.map(write, range(60))
        queries = [*pool.map(query_by_flight, range(20)), *pool.map(query_by_http, range(20))]

        assert set(writes) == {204}
    assert set(queries) == {0}, "a query saw half a write"
    assert store.rows("SELECT count(*) AS n FROM p") == [{"n": 6000}]


@pytest.mark.parametrize("first", [b"PRI", b"\x00\xff\x16\x03", b"GARBAGE\r\n\r\n"])
def test_garbage_does_no_harm(store: StoreProcess, first: bytes) -> None:
    with socket.create_connection(("127.0.0.1", store.port), timeout=5) as connection:
        connection.sendall(first)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    assert store.http("GET", "/health").text == "OK"


def test_retention_deletes_what_is_older_and_survives_a_restart(own_store: StoreProcess) -> None:
    now = time.time_ns() // 1000
    own_store.write(f"old v=1 1\nkept v=1 1\nkept v=2 {now}")
    path = "/api/v3/configure/database/retention_period?db=sensorflow"

    assert own_store.http("POST", path + "&duration=30d").status_code == 204

    assert own_store.rows("SELECT v FROM kept") == [{"v": 2.0}]
    assert own_store.rows("SELECT v FROM old") == []
    own_store.stop()
    own_store.start()
    listed = own_store.http("GET", "/api/v3/configure/database?format=json").json()
    assert listed == [{"iox::database": "sensorflow", "retention_period": "2592000s"}]
    assert own_store.http("DELETE", path).status_code == 204
    assert own_store.http("GET", "/api/v3/configure/database?format=json").json() == [{"iox::database": "sensorflow"}]


@pytest.mark.parametrize(
    ("query", "status"),
    [("db=sensorflow", 400), ("db=sensorflow&duration=1fortnight", 400), ("db=nope&duration=1d", 404)],
)
def test_retention_parameters_are_checked(store: StoreProcess, query: str, status: int) -> None:
    assert store.http("POST", f"/api/v3/configure/database/retention_period?{query}").status_code == status


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2_592_000), ("1h 30m", 5400), ("2w", 1_209_600), ("90s", 90)])
def test_duration_is_read_as_humantime(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1x", "0s", "1d;"])
def test_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        duration_s(text)
