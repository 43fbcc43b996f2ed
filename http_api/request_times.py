"""How long each request took, by its route, method and status: the outermost layer of the application."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from starlette.routing import Mount, Route, WebSocketRoute

if TYPE_CHECKING:
    from prometheus_client import Histogram
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_ROUTE = "none"
"""Of a request that was answered before there was one, or for which there is none."""

_BEGINNINGS = {"http.response.start", "websocket.http.response.start"}
_METHODS = {"GET", "HEAD", "POST", "OPTIONS"}


class RequestTimes:
    """ASGI: observes each request at the beginning of its answer; how long a client takes to read it is its own affair.

    Of WebSockets only the refused are requests.
    """

    def __init__(self, app: ASGIApp, histogram: Histogram) -> None:
        self._app = app
        self._histogram = histogram
        self._children: dict[tuple[str, str, int], Histogram] = {}  # to look one up takes the library 2 us

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as the application does."""
        began_s = time.perf_counter()

        async def observe_and_send(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                self._child(scope, message["status"]).observe(time.perf_counter() - began_s)
            await send(message)

        await self._app(scope, receive, observe_and_send)

    def _child(self, scope: Scope, status: int) -> Histogram:
        route = scope.get("route")
        path = route.path if isinstance(route, Route | WebSocketRoute | Mount) else NO_ROUTE
        method = scope.get("method", "GET")
        key = (method if method in _METHODS else "other", path, status // 100)
        child = self._children.get(key)
        if child is None:
            method, path, hundreds = key
            child = self._children[key] = self._histogram.labels(method, re.sub(r":\w+}", "}", path), f"{hundreds}xx")
        return child
