"""``X-Server-Time-Us``: the server's time in every answer, so that a board without a clock can set its own by it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NAME = b"x-server-time-us"
_BEGINNINGS = frozenset({"http.response.start", "websocket.http.response.start"})  # the second refuses a WebSocket


def header() -> tuple[bytes, bytes]:
    """Microseconds since 1970 at this moment; ``Date``, which is there too, has whole seconds."""
    return _NAME, b"%d" % (time.time_ns() // 1000)


class ServerTime:
    """Adds the header when an answer begins; what never reaches the application gets it in http_api/edge.py."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as the application does."""

        async def send_with_time(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                message["headers"] = [*message.get("headers", ()), header()]
            await send(message)

        await self._app(scope, receive, send_with_time)
