"""Which web pages may use the API from a browser: those of the setting CORS_ORIGINS, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp

_MAY_SEND = ["Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "X-API-Key", "X-Request-Id"]
_MAY_READ = ["Content-Disposition", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id", "X-Server-Time-Us"]
_MAX_AGE_S = 600


class Cors(CORSMiddleware):
    """ASGI: answers the browser's question beforehand. No cookies: the key is a header that the page has to have."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=_MAY_SEND,
            expose_headers=_MAY_READ,
            max_age=_MAX_AGE_S,
        )
