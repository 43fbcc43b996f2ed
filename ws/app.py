"""The WebSocket gateway: each live reading as one text frame, to whoever may see them. Knows nothing of MQTT."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute

from ws.connection import connection_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

    from ws.connection import Connection
    from ws.hub import Hub, Subscription

PATH = "/ws/sensor_updates"
SEND_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 2.0
TRY_AGAIN_LATER = 1013  # IANA's registry of close codes
POLICY_VIOLATION = 1008
# Keys whose connections may all be open at once; with more of them the last ones are refused, so that boards find room.
FULL_KEYS = 4
RETRY_AFTER_S = 30

_log = logging.getLogger("ws")


class Pass(Protocol):
    """What a key opens."""

    @property
    def name(self) -> str:
        """Of the key."""


AnyPass = TypeVar("AnyPass", bound=Pass)


@dataclass(eq=False)
class _Client(Generic[AnyPass]):
    opened_by: AnyPass
    subscription: Subscription
    is_put_out: bool = False


class Gateway(Generic[AnyPass]):
    """Connects browsers to the hub.

    Args:
        admit: What the key of a request opens; an HTTPException where it does not open this.
        max_connections: At once, of one key; of all keys together ``FULL_KEYS`` times that.
    """

    def __init__(self, hub: Hub, *, admit: Callable[[WebSocket], AnyPass], max_connections: int) -> None:
        self._hub = hub
        self._admit = admit
        self._max_connections = max_connections
        self._connections: Counter[str] = Counter()
        self._clients: set[_Client[AnyPass]] = set()

    def routes(self) -> list[BaseRoute]:
        """To be mounted. A refusal is raised as HTTPException, for the application to answer with."""
        return [WebSocketRoute(PATH, self.serve), Route(PATH, _refuse_plain_get)]

    def put_out(self, is_still_good: Callable[[AnyPass], bool]) -> None:
        """End the connections whose key opens nothing any more."""
        for client in self._clients:
            if not client.is_put_out and not is_still_good(client.opened_by):
                client.is_put_out = True
                client.subscription.end()

    async def serve(self, socket: WebSocket) -> None:
        """One client, from its handshake to its end."""
        opened_by = self._admit(socket)
        self._check_room(opened_by.name)
        self._connections[opened_by.name] += 1
        try:
            await self._feed(socket, connection_of(socket), opened_by)
        finally:
            self._connections -= Counter({opened_by.name: 1})  # which forgets a name at 0

    def _check_room(self, name: str) -> None:
        own, total = self._connections[name], self._connections.total()
        if own >= self._max_connections:
            raise _full(f"{own} connections with this key, at most {self._max_connections}")
        if total >= self._max_connections * FULL_KEYS:
            raise _full(f"{total} connections with all keys, at most {self._max_connections * FULL_KEYS}")

    async def _feed(self, socket: WebSocket, connection: Connection, opened_by: AnyPass) -> None:
        client = _Client(opened_by, self._hub.subscribe())
        subscription = client.subscription
        self._clients.add(client)
        try:
            await socket.accept()
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(_ignore_messages(socket, subscription), name="ws reader")
                await _send(subscription, connection)
                if client.is_put_out:
                    await connection.close(POLICY_VIOLATION, "the key is not good any more", CLOSE_TIMEOUT_S)
                elif subscription.is_dropped:
                    _log.warning("dropped a client that fell behind: %s", socket.client and socket.client.host)
                    await connection.close(TRY_AGAIN_LATER, "too slow", CLOSE_TIMEOUT_S)
                reader.cancel()
        finally:
            self._clients.discard(client)
            subscription.end()
            connection.abort_after(CLOSE_TIMEOUT_S)


def _full(detail: str) -> HTTPException:
    return HTTPException(429, detail, {"Retry-After": str(RETRY_AFTER_S)})


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
