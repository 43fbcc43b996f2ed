"""As micropython-lib's ``requests`` writes a request: piece by piece, and a connection for each."""

import json
import socket
from collections.abc import Mapping
from typing import Any


class Response:
    def __init__(self, status_code: int, headers: dict[str, str], content: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        self.content = content

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


def request(
    method: str,
    url: str,
    data: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Response:
    _, _, host, path = url.split("/", 3)
    name, _, port = host.partition(":")
    body = (data or "").encode()
    more = {"Host": name} | dict(headers or {}) | ({"Content-Length": str(len(body))} if body else {})
    with socket.create_connection((name, int(port)), timeout) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pieces = [f"{method} /{path} HTTP/1.1\r\n"]
        for key, value in (more | {"Connection": "close"}).items():
            pieces += [key, ": ", value, "\r\n"]
        for piece in [*pieces, "\r\n"]:
            connection.sendall(piece.encode())
        connection.sendall(body)
        return _read(connection)


def _read(connection: socket.socket) -> Response:
    received = connection.makefile("rb")
    status = int(received.readline().split(b" ", 2)[1])
    headers: dict[str, str] = {}
    while line := received.readline().decode().strip():
        key, _, value = line.partition(":")
        headers[key] = value.strip()
    return Response(status, headers, received.read())
