"""One port for HTTP and gRPC: each connection's first bytes say whose it is.

gRPC begins with HTTP/2's preface ``PRI * HTTP/2.0``, and no HTTP/1 method begins with ``PRI``. The bytes are peeked at,
not read, so the socket is then handed to uvicorn's protocol as if nothing had happened; a gRPC connection is spliced to
the Flight server's unix socket, byte by byte, with backpressure both ways.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from store.errors import StartError

logger = logging.getLogger("store")

FIRST_BYTES_TIMEOUT_S = 10
"""For a connection to say what it is, and for an HTTP client to send its first request's head."""

STALL_TIMEOUT_S = 60
"""A gRPC client that lets us wait so long for room in its window is cut off: it holds a query slot."""

_PREFACE = b"PRI"
_BACKLOG = 512


def listen(host: str, port: int) -> socket.socket:
    """Bind the port. Raises ``StartError`` when it is taken."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


class Acceptor:
    """Accepts, up to ``max_connections`` at once; further clients wait in the listen queue."""

    def __init__(self, config: Config, flight_socket: Path, max_connections: int) -> None:
        self.http = ServerState()
        self._config, self._flight_socket = config, flight_socket
        self._free = asyncio.Semaphore(max_connections)
        self._greetings = set[asyncio.Task[None]]()
        self._spliced = set["_Half"]()

    async def run(self, listener: socket.socket) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._free.acquire()
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:  # out of file descriptors, most likely
                logger.warning("cannot accept, next try in 1 s: %s", error)
                self._free.release()
                await asyncio.sleep(1)
                continue
            except BaseException:
                self._free.release()
                raise
            task = loop.create_task(self._greet(client), name="greet")
            self._greetings.add(task)
            task.add_done_callback(self._greetings.discard)

    async def _greet(self, client: socket.socket) -> None:
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            async with asyncio.timeout(FIRST_BYTES_TIMEOUT_S):
                is_grpc = await _is_grpc(client)
            await (self._splice(client) if is_grpc else self._serve_http(client))
        except (OSError, TimeoutError, EOFError):  # it said nothing, or went away
            client.close()
            self._free.release()
        except BaseException:
            client.close()
            self._free.release()
            raise

    async def _serve_http(self, client: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: _HttpProtocol(self._config, self.http, self._free.release), client
        )

    async def _splice(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        near = _Half()
        near.other = far = _Half()
        far.other = near
        await loop.create_unix_connection(lambda: far, str(self._flight_socket))
        try:
            await loop.connect_accepted_socket(lambda: near, client)
        except BaseException:
            far.close()
            raise
        self._spliced.add(near)

        def forget() -> None:
            self._spliced.discard(near)
            self._free.release()

        near.on_lost = forget

    def close(self) -> None:
        """Cut what is still connected."""
        for task in self._greetings:
            task.cancel()
        for half in list(self._spliced):
            half.abort()
        for protocol in list(self.http.connections):
            protocol.transport.abort()


async def _is_grpc(client: socket.socket) -> bool:
    """Peek until the bytes tell. Raises ``EOFError`` if the client closes before."""
    first = b""
    while first == _PREFACE[: len(first)]:
        if len(first) == len(_PREFACE):
            return True
        seen = len(first)
        await _readable(client)
        first = client.recv(len(_PREFACE), socket.MSG_PEEK)
        if not first:
            raise EOFError
        if len(first) == seen:
            await asyncio.sleep(0.01)  # what was peeked at stays readable, so there is nothing to wait on
    return False


async def _readable(client: socket.socket) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(client, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(client)


class _HttpProtocol(HttpToolsProtocol):
    """uvicorn's, with a deadline for the first request's head and word of the end."""

    def __init__(self, config: Config, state: ServerState, on_lost: Callable[[], None]) -> None:
        super().__init__(config, state, {})
        self._on_lost = on_lost
        self._head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head_deadline = self.loop.call_later(FIRST_BYTES_TIMEOUT_S, self._close_without_request)

    def _close_without_request(self) -> None:
        if self.cycle is None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_deadline:
            self._head_deadline.cancel()
        super().connection_lost(exc)
        self._on_lost()


class _Half(asyncio.Protocol):
    """One side of a splice: what it receives, the other side sends."""

    other: "_Half"

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._early = b""
        self.on_lost: Callable[[], None] = lambda: None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a socket's; uvloop's share no base class with asyncio's
        self.write(self._early)

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def write(self, data: bytes) -> None:
        """Send on this side. What the Flight server says before the client's side is up is kept: a few settings."""
        if self.transport is None:
            self._early += data
        else:
            self.transport.write(data)

    def pause_writing(self) -> None:
        assert self.transport is not None, "it is what wants a pause"  # noqa: S101 - narrows the type
        self._stalled = asyncio.get_running_loop().call_later(STALL_TIMEOUT_S, self.transport.abort)
        if self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self._cancel_deadline()
        if self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self._cancel_deadline()
        self.other.close()
        self.on_lost()

    def close(self) -> None:
        """Send what is left, and close."""
        if self.transport:
            self.transport.close()

    def abort(self) -> None:
        """Close at once: a client that does not read would never let the rest be sent."""
        if self.transport:
            self.transport.abort()

    def _cancel_deadline(self) -> None:
        if self._stalled:
            self._stalled.cancel()
            self._stalled = None
