"""The commands in an app of their own, with settings of their own, and an API that answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from sensorflow.cli import dead_letters, keys, query, replay, simulate, watch

KEY = "k7f3q9z1m5x8w2v4"

Answer = tuple[int, dict[str, str], dict[str, Any]]
Run = Callable[..., Result]


class Api:
    """Answers POSTs as ``answer`` says, and remembers them; it can be closed and opened again on its port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: set[str | None] = set()
        self.answer: Callable[[dict[str, Any]], Answer] = lambda _body: (201, {}, {})
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one write an answer; two would wait 40 ms for each other

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.bodies.append(body)
                api.paths.append(self.path)
                api.keys.add(self.headers["X-API-Key"])
                status, headers, answer = api.answer(body)
                text = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(text))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        ThreadingHTTPServer.daemon_threads = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the environment of the commands; MQTT and HTTP lead nowhere unless given."""

    def set_all(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name.upper(), str(value))

    monkeypatch.chdir(tmp_path)
    set_all(
        data_dir=tmp_path / "data",
        api_key=KEY,
        influx_token=KEY,
        mqtt_password=KEY,
        mqtt_device_password=KEY,
        http_port=9,
        mqtt_port=9,
        columns="100",
    )
    return set_all


@pytest.fixture
def run(settings: Callable[..., None]) -> Run:
    """Call a command in this process."""
    app = typer.Typer(rich_markup_mode="rich")
    for command in (dead_letters, keys, query, replay, simulate, watch):
        command.register(app)
    return lambda *arguments, stdin=None: CliRunner().invoke(app, [str(argument) for argument in arguments], stdin)


@pytest.fixture
def api(settings: Callable[..., None], free_port: Callable[[], int]) -> Iterator[Api]:
    server = Api(free_port())
    settings(http_port=server.port)
    server.open()
    yield server
    server.close()
