"""What every answer carries: the request's id, what browsers shall not do with it, where the client stands.

It goes around the whole application, so that the server's own errors have it too. An answer that says something itself
keeps its word: the documentation pages have a Content-Security-Policy of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from http_api import limits, problems, request_id
from http_api.auth import too_many
from http_api.limits import Limit, Standing, network_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from http_api.audit import Audit

_BEGINNINGS = {"http.response.start", "websocket.http.response.start", "websocket.accept"}
_REFUSED = {401, 403, 429}
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_NO_STORE = (b"cache-control", b"no-store")
_HSTS = (b"strict-transport-security", b"max-age=31536000")

Headers = list[tuple[bytes, bytes]]


class Envelope:
    """ASGI: names the request, counts its address, and dresses the answer."""

    def __init__(self, app: ASGIApp, audit: Audit, per_address: Limit) -> None:
        self._app = app
        self._audit = audit
        self._per_address = per_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        name = request_id.begin(next((value for key, value in scope["headers"] if key == request_id.HEADER), None))

        async def dress_and_send(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                status = message.get("status", 101)
                message["headers"] = _dressed(message.get("headers", ()), _more(scope, status, name))
                if status in _REFUSED:
                    self._note(scope, status, name)
            await send(message)

        if self._per_address.is_on:
            standing = self._per_address.hit(network_of(_host(scope)))
            state["standings"] = [standing]
            if standing.is_over:
                await self._refuse(standing, scope, receive, dress_and_send)
                return
        await self._app(scope, receive, dress_and_send)

    async def _refuse(self, standing: Standing, scope: Scope, receive: Receive, send: Send) -> None:
        error = too_many(standing, f"more than {self._per_address} from this address")
        await problems.problem(error.status_code, error.detail, error.headers)(scope, receive, send)

    def _note(self, scope: Scope, status: int, name: str) -> None:
        state = scope["state"]
        self._audit.refused(
            status,
            network_of(_host(scope)),
            key=state.get("key"),
            secret_id=state.get("secret_id"),
            method=scope.get("method"),
            path=scope["path"][:200],  # without the query, which may hold a key
            request_id=name,
        )


def raw() -> Headers:
    """For an answer that is given in the application's place."""
    return [*SECURITY, _NO_STORE, (request_id.HEADER, request_id.make().encode())]


def _more(scope: Scope, status: int, name: str) -> Headers:
    state = scope["state"]
    more = [(request_id.HEADER, name.encode()), *SECURITY]
    if "key" in state or status >= 400:
        more.append(_NO_STORE)
    if scope["scheme"] in {"https", "wss"}:
        more.append(_HSTS)
    if standings := state.get("standings"):
        more += limits.headers(standings)
    return more


def _dressed(own: Headers, more: Headers) -> Headers:
    said = {name for name, _ in own}
    return [*own, *(each for each in more if each[0] not in said)]


def _host(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""
