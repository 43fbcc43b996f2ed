"""Exports: what they cost, and what the client sees when they go wrong."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import psutil
import pytest

from tests.broker import Broker
from tests.http_api.processes import KEY, Api, StandIn
from tests.http_api.requests import assert_problem
from tests.http_api.stored.conftest import start
from tests.store.store_process import StoreProcess
from tests.waiting import until

ROWS = 150_000  # as CSV much more than may be kept of it
CHUNK = 15_000
MAX_GROWTH_BYTES = 50 * 2**20
FIRST_US = 1_755_345_600_000_000
HEADERS = {"X-API-Key": KEY}
ALL = {"start": "2025-08-16T00:00:00Z", "end": "2025-08-18T00:00:00Z"}


@pytest.fixture(scope="module", autouse=True)
def written(store: StoreProcess) -> None:
    """``ROWS`` readings of ten sensors, and text that makes them long."""
    note = "x" * 500
    for first in range(0, ROWS, CHUNK):
        lines = [
            f'vat_levels,sensor_id=vat-{n % 10} level={n % 1000}.25,is_open=true,note="{note}{n}"'
            f" {FIRST_US + n // 10 * 50_000}"
            for n in range(first, first + CHUNK)
        ]
        assert store.write("\n".join(lines)).status_code == 204


def stream(api: Api) -> Iterator[bytes]:
    query = ALL | {"kind": "vat", "format": "csv"}
    with httpx.stream("GET", f"{api.url}/api/v1/history", params=query, headers=HEADERS, timeout=30) as response:
        assert response.status_code == 200
        yield from response.iter_raw()


def test_an_export_streams_in_little_memory(api: Api) -> None:
    list(stream(api))  # what is loaded and allocated once
    process = psutil.Process(api.process.pid)
    before = peak = process.memory_info().rss
    size = lines = 0

    for piece in stream(api):
        size, lines = size + len(piece), lines + piece.count(b"\n")
        peak = max(peak, process.memory_info().rss)

    assert lines == ROWS + 1
    assert size > 1.5 * MAX_GROWTH_BYTES
    assert peak - before < MAX_GROWTH_BYTES


class Reader:
    """A client that asks for an export and reads only when it is told to."""

    def __init__(self, api: Api, *, wait: bool = True) -> None:
        query = urlencode(ALL | {"kind": "vat", "format": "csv"})
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(20)
        self._socket.connect(("127.0.0.1", api.port))
        request = f"GET /api/v1/history?{query} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n"
        self._socket.sendall(request.encode())
        self.head = self._socket.recv(2048) if wait else b""

    def all(self) -> bytes:
        rest = bytearray(self.head)
        while piece := self._socket.recv(2**20):
            rest += piece
        return bytes(rest)

    def close(self) -> None:
        self._socket.close()


def test_there_are_only_so_many_at_once_and_a_client_that_leaves_makes_room(api: Api) -> None:
    readers = [Reader(api) for _ in range(4)]
    fifth = api.client.get("/api/v1/history", params=ALL | {"kind": "vat", "format": "csv"})
    page = api.client.get("/api/v1/history", params=ALL | {"kind": "vat", "limit": "1"})

    for reader in readers:
        reader.close()

    assert all(b" 200 OK" in reader.head for reader in readers)
    assert_problem(fifth, 503, "at most 4")
    assert int(fifth.headers["Retry-After"]) > 0
    assert page.status_code == 200
    until(lambda: api.client.head("/api/v1/history", params=ALL | {"kind": "vat", "format": "csv"}).status_code == 200)


def test_a_client_that_is_slow_but_reads_is_waited_for(api: Api) -> None:
    got = lines = 0
    began = time.monotonic()
    for piece in stream(api):
        got, lines = got + len(piece), lines + piece.count(b"\n")
        while time.monotonic() - began < got / 10e6:  # at 10 MB/s it takes longer than an idle client is given
            threading.Event().wait(0.01)

    assert lines == ROWS + 1
    assert time.monotonic() - began > 6


def test_what_goes_wrong_in_the_middle_breaks_it_off(
    tmp_path: Path, shared_broker: Broker, shared_bridge: StandIn, store: StoreProcess
) -> None:
    assert store.process is not None
    api = start(tmp_path, shared_broker, store)
    try:
        reader = Reader(api)
        store.process.send_signal(signal.SIGSTOP)
        api.wait_until(influxdb="disconnected")
        document = reader.all()
        reader.close()
    finally:
        store.process.send_signal(signal.SIGCONT)
        api.stop()

    assert b" 200 OK" in document
    assert not document.endswith(b"0\r\n\r\n")
    assert "was broken off: the store does not answer" in api.log.read_text()
    assert "Traceback" not in api.log.read_text()


def test_what_goes_wrong_at_the_beginning_is_503(
    tmp_path: Path, shared_broker: Broker, shared_bridge: StandIn, store: StoreProcess
) -> None:
    assert store.process is not None
    api = start(tmp_path, shared_broker, store)
    try:
        store.process.send_signal(signal.SIGSTOP)
        api.wait_until(influxdb="disconnected")
        export = api.client.get("/api/v1/history", params=ALL | {"kind": "vat", "format": "csv"})
        page = api.client.get("/api/v1/history", params=ALL | {"kind": "vat"})
    finally:
        store.process.send_signal(signal.SIGCONT)
        api.stop()

    assert_problem(export, 503, "the store does not answer")
    assert_problem(page, 503, "the store does not answer")
    assert int(page.headers["Retry-After"]) > 0


def test_the_stop_does_not_wait_long_for_a_store_that_hangs(
    tmp_path: Path, shared_broker: Broker, shared_bridge: StandIn, store: StoreProcess
) -> None:
    assert store.process is not None
    api = start(tmp_path, shared_broker, store)
    store.process.send_signal(signal.SIGSTOP)
    reader = Reader(api, wait=False)
    try:
        code = api.stop()
    finally:
        reader.close()
        store.process.send_signal(signal.SIGCONT)

    assert code == 0


def test_http_1_0_is_told_that_it_cannot_have_one(api: Api) -> None:
    api.wait_until(influxdb="connected")
    with socket.create_connection(("127.0.0.1", api.port), 10) as connection:
        connection.sendall(f"GET /api/v1/history?format=csv HTTP/1.0\r\nX-API-Key: {KEY}\r\n\r\n".encode())
        answer = connection.recv(4096)

    assert b" 505 " in answer.partition(b"\r\n")[0]
    documented = api.client.get("/openapi.json").json()["paths"]["/api/v1/history"]["get"]["responses"]
    assert "505" in documented
