"""Who may in, and for what: one key for boards and programs, another for browsers."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from http_api import problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr
    from starlette.requests import HTTPConnection

    from http_api.operation import Scope


class Key:
    """A key that a request may show as ``X-API-Key`` or as ``Authorization: Bearer``.

    Args:
        query: Also accepted as this query parameter, for browsers, which cannot set headers on a WebSocket.
    """

    def __init__(self, key: SecretStr, *, query: str | None = None) -> None:
        self._key = key.get_secret_value().encode()
        self._query = query

    def opens(self, connection: HTTPConnection) -> bool:
        """Whether the request shows this key; takes as long for a nearly right one as for any other."""
        return hmac.compare_digest(self._shown(connection).encode(), self._key)

    def _shown(self, connection: HTTPConnection) -> str:
        headers = connection.headers
        if key := headers.get("x-api-key"):
            return key
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        return connection.query_params.get(self._query, "") if self._query else ""


class Guard:
    """Lets requests pass by their key."""

    def __init__(self, keys: Mapping[Scope, Key]) -> None:
        self._keys = keys

    def authorize(self, request: HTTPConnection, scope: Scope) -> None:
        """Let it pass.

        Raises:
            HTTPException: 401: it shows no key that is good for this.
        """
        key = self._keys.get(scope)
        if key is None or not key.opens(request):
            raise problems.unauthorized()
