"""uvicorn's WebSocket connection, plus two things that ASGI has no words for: ready-made frames, and an abort.

Frames from a server are the same for every client (RFC 6455, 5.1: no mask), so they are encoded once and many go out in
one write. Over ASGI it would be one message, one encoding and one write for each frame and each client: 100 clients at
1,000 readings a second would take more than one core.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from starlette.websockets import WebSocket
    from uvicorn._types import ASGISendEvent
    from websockets.http11 import Request

EXTENSION = "sensorflow.connection"
SEND_BUFFER_BYTES = 2**18  # Linux doubles it

_NO_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Connection(WebSocketsSansIOProtocol):
    """One browser; the application finds it in the scope's extensions."""

    _abort_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """As uvicorn does it. What comes first is a whole head; one that is no handshake would wait here for ever."""
        super().data_received(data)
        if not self.handshake_initiated:
            self.transport.write(_NO_HANDSHAKE)
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """As uvicorn does it; the application has not started yet when this returns."""
        super().handle_connect(event)
        self._bound_kernel_buffer()
        if not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

    async def send(self, message: ASGISendEvent) -> None:
        """As uvicorn does it. A refusal that has been sent ends the handshake; uvicorn would log it as an ERROR."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

    async def send_frames(self, frames: bytes, timeout_s: float) -> bool:
        """Send whole frames; False when the client has gone.

        Raises:
            TimeoutError: The client has not read what went before.
        """
        if not self.writable.is_set():
            async with asyncio.timeout(timeout_s):
                await self.writable.wait()
        if not self._is_open:
            return False
        self.transport.write(frames)
        return True

    async def close(self, code: int, reason: str, timeout_s: float) -> None:
        """Say goodbye, if the client reads within ``timeout_s``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.writable.wait()
        if self.writable.is_set() and self._is_open:
            await self.send({"type": "websocket.close", "code": code, "reason": reason})

    def abort_after(self, delay_s: float) -> None:
        """Give a closing connection this long: one whose client does not read would stay for ever."""
        if not self.disconnected:
            self._abort_timer = self.loop.call_later(delay_s, self.transport.abort)

    def _bound_kernel_buffer(self) -> None:
        """Left alone, Linux keeps up to 4 MB for a client that does not read, and nobody knows until that is full."""
        if (client := self.transport.get_extra_info("socket")) is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    @property
    def _is_open(self) -> bool:
        return not (self.disconnected or self.close_sent or self.transport.is_closing())

    def keepalive_timeout(self) -> None:
        """No pong: as uvicorn does it, but for good, because what is still to be written would hold it open."""
        super().keepalive_timeout()
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn does it."""
        super().connection_lost(exc)
        if self._abort_timer is not None:
            self._abort_timer.cancel()


def connection_of(socket: WebSocket) -> Connection:
    """The connection that a WebSocket came on; uvicorn must run with ``ws=Connection``."""
    connection = socket.scope["extensions"][EXTENSION]
    assert isinstance(connection, Connection)  # noqa: S101 - for mypy: we put it there
    return connection
