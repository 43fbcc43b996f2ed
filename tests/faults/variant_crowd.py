"""Clients in great numbers, as a process of their own, so that the oracle's clock does not have to wait for them.

``python -m tests.faults.variant_crowd SORT PORT COUNT SECONDS [PASSWORD]`` connects them all within the first third of
the time, and prints as JSON, for each connection, how long it lasted (null: to the end) and the first line it was told.
"""

import asyncio
import itertools
import json
import resource
import socket
import sys
import time
from collections.abc import Iterator
from typing import cast

import mqtt5
import uvloop

DRIP_S = 0.5
POST = b"POST /api/v1/telemetry HTTP/1.1\r\nHost: a\r\nX-API-Key: %b\r\n"
GET = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
DEAF = GET * 9  # and again and again, without ever reading an answer
Fate = tuple[float | None, str]


def beginnings(sort: str, password: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What each client sends first, and then a drop of now and then; over and over."""
    post = POST % password
    slow = [
        (post, b"X: a\r\n"),
        (post + b"Content-Length: 1000\r\n\r\n", b" "),
        (post + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ]
    connect = mqtt5.ConnectPacket("", username="device", password=password, keep_alive=60).write()
    kinds = {"slow": slow * 8 + [(GET, DEAF)], "idle": [(b"", b"")], "http": [(GET, b"")], "mqtt": [(connect, b"")]}
    return itertools.cycle(kinds[sort])


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, begin: bytes, drop: bytes) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.told = b""
        self._begin, self._drop = begin, drop
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self._transport.write(self._begin)
        self._drip()

    def data_received(self, data: bytes) -> None:
        self.told = self.told or data
        if self._drop is DEAF and self._transport is not None:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(None)

    def _drip(self) -> None:
        if self._drop and self._transport is not None:
            self._transport.write(self._drop)
            asyncio.get_running_loop().call_later(DRIP_S / 10 if self._drop is DEAF else DRIP_S, self._drip)

    def leave(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def last(port: int, begin: bytes, drop: bytes, start_s: float, end_s: float) -> Fate:
    """One connection, from its start to its end, or until the end of all."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(start_s - time.monotonic())
    client = Client(begin, drop)
    began = time.monotonic()
    try:
        async with asyncio.timeout(end_s - began):
            with socket.socket() as connection:
                connection.setblocking(False)
                if drop is DEAF:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await loop.sock_connect(connection, ("127.0.0.1", port))
                await loop.create_connection(lambda: client, sock=connection)
                await client.closed
    except TimeoutError:
        client.leave()
        return None, first_line(client.told)
    except OSError as error:
        return time.monotonic() - began, f"{type(error).__name__}"
    return time.monotonic() - began, first_line(client.told)


def first_line(told: bytes) -> str:
    """Of an HTTP answer; of an MQTT one, the kind of the packet and a little more."""
    return told.split(b"\r\n")[0][:30].decode("latin-1")


async def crowd(sort: str, port: int, count: int, seconds: float, password: bytes) -> list[Fate]:
    """All of them."""
    began = time.monotonic()
    step_s = seconds / 3 / count
    clients = zip(range(count), beginnings(sort, password), strict=False)
    return await asyncio.gather(
        *(last(port, begin, drop, began + number * step_s, began + seconds) for number, (begin, drop) in clients)
    )


def main() -> None:
    sort, port, count, seconds, *more = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    password = more[0].encode() if more else b""
    fates = uvloop.run(crowd(sort, int(port), int(count), float(seconds), password))
    sys.stdout.write(json.dumps(fates))


if __name__ == "__main__":
    main()
