import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sensorflow.errors import PermanentError, TransientError
from sensorflow.influx import Influx, PartialWriteError
from tests.broker import free_port

PARTIAL = {
    "error": "partial write of line protocol occurred",
    "data": [
        {"error_message": "invalid column type for column 'a'", "line_number": 2, "original_line": 't,s=a a="x" 1'},
        {"error_message": "No fields were provided", "line_number": 5, "original_line": "t"},
    ],
}


class Server:
    """Answers everything with ``status`` and ``body``; keeps what was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.content_type = 204, b"", "application/json"
        self.asked: list[tuple[str, str, bytes]] = []
        self.silence = threading.Event()
        self.silence.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                server.asked.append((self.path, self.headers.get("Authorization", ""), body))
                server.silence.wait(10)
                self.send_response(server.status)
                self.send_header("Content-Type", server.content_type)
                self.send_header("Content-Length", str(len(server.body)))
                self.end_headers()
                self.wfile.write(server.body)

            do_GET = do_POST  # noqa: N815 - the name that http.server looks for

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=[0.01], daemon=True).start()

    def answer(self, status: int, body: object) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()

    def close(self) -> None:
        self.silence.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()


@contextmanager
def client(url: str, timeout_s: float = 5) -> Iterator[Influx]:
    influx = Influx(url, "a token", "sensorflow", timeout_s=timeout_s)
    try:
        yield influx
    finally:
        influx.close()


@pytest.fixture
def influx(server: Server) -> Iterator[Influx]:
    with client(server.url) as ready:
        yield ready


def test_write_says_microseconds_and_waits_for_the_wal(server: Server, influx: Influx) -> None:
    influx.write(b"t,sensor_id=s a=1.0 1755354645123456")

    ((path, authorization, body),) = server.asked
    assert path.startswith("/api/v3/write_lp?")
    assert "db=sensorflow" in path
    assert "precision=microsecond" in path
    assert "no_sync=true" not in path
    assert "accept_partial=false" not in path
    assert authorization in ("Bearer a token", "Token a token")  # InfluxDB 3 takes both
    assert body == b"t,sensor_id=s a=1.0 1755354645123456"


def test_partial_write_names_lines_and_reasons(server: Server, influx: Influx) -> None:
    server.answer(400, PARTIAL)

    with pytest.raises(PartialWriteError) as caught:
        influx.write(b"t a=1 1")

    assert caught.value.lines == [(2, "invalid column type for column 'a'"), (5, "No fields were provided")]
    assert str(caught.value) == "2 lines rejected, the first: invalid column type for column 'a'"


@pytest.mark.parametrize(
    "body",
    [{"error": "partial write of line protocol occurred", "data": []}, {"error": "bad"}, b"", b"<html>", b"[]", b"5"],
    ids=str,
)
@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_store_finds_wrong_with_a_request_is_permanent(
    server: Server, influx: Influx, status: int, body: object
) -> None:
    server.answer(status, body)

    with pytest.raises(PermanentError, match=f"store answered {status}") as caught:
        influx.write(b"t a=1 1")

    assert not isinstance(caught.value, PartialWriteError)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 408, 429, 500, 502, 503, 504])
def test_what_another_store_address_or_token_would_cure_is_transient(
    server: Server, influx: Influx, status: int
) -> None:
    server.answer(status, b"<html>not what you wanted</html>")

    with pytest.raises(TransientError, match=rf"store answered ({status}|0: Server doesn't support)"):
        influx.write(b"t a=1 1")


def test_token_that_is_malformed_costs_no_reading(server: Server, influx: Influx) -> None:
    server.answer(400, {"error": "Authorization header was malformed, the request was not in the form of …"})

    with pytest.raises(TransientError, match="store answered 400: Authorization header was malformed"):
        influx.write(b"t a=1 1")


def test_declared_are_the_database_and_the_table(server: Server, influx: Influx) -> None:
    server.answer(200, b"")

    influx.declare("t", ["sensor_id"], {"a": "float64", "b": "utf8"})

    columns = [{"name": "a", "type": "float64"}, {"name": "b", "type": "utf8"}]
    assert [(path, authorization, json.loads(body)) for path, authorization, body in server.asked] == [
        ("/api/v3/configure/database", "Bearer a token", {"db": "sensorflow"}),
        (
            "/api/v3/configure/table",
            "Bearer a token",
            {"db": "sensorflow", "table": "t", "tags": ["sensor_id"], "fields": columns},
        ),
    ]


@pytest.mark.parametrize("status", [200, 201, 409])
def test_what_is_there_needs_no_declaration(server: Server, influx: Influx, status: int) -> None:
    server.answer(status, b"attempted to create a resource that already exists")

    influx.declare("t", ["sensor_id"], {"a": "float64"})

    assert len(server.asked) == 2


@pytest.mark.parametrize(("status", "error"), [(400, PermanentError), (422, PermanentError), (404, TransientError)])
def test_declaration_that_is_refused_says_by_what(
    server: Server, influx: Influx, status: int, error: type[Exception]
) -> None:
    server.answer(status, b"'time' is a reserved column")

    with pytest.raises(error, match=f"store answered {status} to a new database: 'time' is a reserved column"):
        influx.declare("t", ["time"], {})


CALLS: dict[str, Callable[[Influx], object]] = {
    "write": lambda each: each.write(b"t a=1 1"),
    "ping": lambda each: each.ping(),
    "declare": lambda each: each.declare("t", ["sensor_id"], {"a": "float64"}),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_store_that_is_away_is_transient(call: Callable[[Influx], object]) -> None:
    with client(f"http://127.0.0.1:{free_port()}") as influx, pytest.raises(TransientError, match="store unreachable"):
        call(influx)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_store_that_does_not_answer_is_transient_after_the_deadline(
    server: Server, call: Callable[[Influx], object]
) -> None:
    server.silence.clear()
    started = time.monotonic()

    with client(server.url, timeout_s=0.3) as influx, pytest.raises(TransientError, match="store unreachable"):
        call(influx)

    assert 0.1 < time.monotonic() - started < 2
    assert len(server.asked) == 1


def test_ping_says_version_and_process(server: Server, influx: Influx) -> None:
    server.answer(200, {"version": "3.10.0", "process_id": "a-b"})

    ping = influx.ping()

    assert (ping.version, ping.process_id) == ("3.10.0", "a-b")


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_ping_needs_no_body(server: Server, influx: Influx, body: bytes) -> None:
    server.answer(200, body)

    assert (influx.ping().version, influx.ping().process_id) == ("unknown", None)


@pytest.mark.parametrize(
    ("status", "body"), [(401, b"{}"), (404, b""), (503, b""), (200, b"<html>"), (200, b"[]"), (200, b"5")]
)
def test_ping_that_another_server_answers_is_transient(
    server: Server, influx: Influx, status: int, body: bytes
) -> None:
    server.answer(status, body)

    with pytest.raises(TransientError, match=r"store answered .* to /ping"):
        influx.ping()


def test_query_without_a_store_says_that_nobody_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with client(url, timeout_s=1) as influx, pytest.raises(TransientError) as caught:
        influx.query("SELECT 1")

    assert str(caught.value) == f"nobody answers at {url}"


def test_query_that_takes_too_long_says_for_how_long_it_waited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        with client(url, timeout_s=0.3) as influx, pytest.raises(TransientError) as caught:
            influx.query("SELECT 1")

    assert str(caught.value) == f"no answer of {url} within 0.3 s"


def test_query_that_no_store_answers_tells_nothing_of_grpc(server: Server, influx: Influx) -> None:
    with pytest.raises(TransientError) as caught:
        influx.query("SELECT 1")

    assert "gRPC" not in str(caught.value)
