"""The WebSocket gateway: each live reading as one text frame, to whoever shows the key. Knows nothing of MQTT."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute

from ws.connection import connection_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

    from ws.connection import Connection
    from ws.hub import Hub, Subscription

PATH = "/ws/sensor_updates"
SEND_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 2.0
TRY_AGAIN_LATER = 1013  # IANA's registry of close codes
RETRY_AFTER_S = 30

_log = logging.getLogger("ws")


class Gateway:
    """Connects browsers to the hub.

    Args:
        is_allowed: Whether a request shows the key.
        refuse: Makes the answer to one that does not.
        max_connections: At once; there is one key, so this is the limit of connections per key.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        is_allowed: Callable[[HTTPConnection], bool],
        refuse: Callable[[], HTTPException],
        max_connections: int,
    ) -> None:
        self._hub = hub
        self._is_allowed = is_allowed
        self._refuse = refuse
        self._max_connections = max_connections
        self._connections = 0

    def routes(self) -> list[BaseRoute]:
        """To be mounted. A refusal is raised as HTTPException, for the application to answer with."""
        return [WebSocketRoute(PATH, self.serve), Route(PATH, _refuse_plain_get)]

    async def serve(self, socket: WebSocket) -> None:
        """One client, from its handshake to its end."""
        if not self._is_allowed(socket):
            raise self._refuse()
        if self._connections >= self._max_connections:
            raise HTTPException(
                429,
                f"{self._connections} connections with this key, at most {self._max_connections}",
                {"Retry-After": str(RETRY_AFTER_S)},
            )
        self._connections += 1
        try:
            await self._feed(socket, connection_of(socket))
        finally:
            self._connections -= 1

    async def _feed(self, socket: WebSocket, connection: Connection) -> None:
        subscription = self._hub.subscribe()
        try:
            await socket.accept()
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(_ignore_messages(socket, subscription), name="ws reader")
                await _send(subscription, connection)
                if subscription.is_dropped:
                    _log.warning("dropped a client that fell behind: %s", socket.client and socket.client.host)
                    await connection.close(TRY_AGAIN_LATER, "too slow", CLOSE_TIMEOUT_S)
                reader.cancel()
        finally:
            subscription.end()
            connection.abort_after(CLOSE_TIMEOUT_S)


async def _refuse_plain_get(_: Request) -> Response:
    raise HTTPException(
        426, "this is a WebSocket: open it with ws:// or wss://", {"Upgrade": "websocket", "Connection": "Upgrade"}
    )


async def _send(subscription: Subscription, connection: Connection) -> None:
    """Send until the client is gone, or was dropped and has got what was queued."""
    while frames := await subscription.take():
        try:
            if not await connection.send_frames(frames, SEND_TIMEOUT_S):
                return
        except TimeoutError:
            subscription.is_dropped = True
            return


async def _ignore_messages(socket: WebSocket, subscription: Subscription) -> None:
    """Read and forget what the client sends, which also notices its end."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    subscription.end()
