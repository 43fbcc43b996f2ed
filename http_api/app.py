"""The HTTP application: all endpoints, who may use them, and what is answered where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor

from http_api import openapi, problems

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from http_api.auth import Guard
    from http_api.operation import Json, Operation
    from sensorflow.kinds import Kinds


class _AnyText(StringConvertor):
    """Every text, slashes and line ends too: a bad sensor id shall be told apart from a wrong path."""

    regex = "(?s:.*)"


register_url_convertor("any_text", _AnyText())


def build(
    operations: Sequence[Operation],
    *,
    schemas: Mapping[str, Json],
    guard: Guard,
    kinds: Kinds,
    version: str,
    more: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application; the operations refer to ``schemas``, and ``more`` is what is no operation: the WebSocket."""
    operations = [*operations, openapi.operation(operations, schemas, version)]
    app = Starlette(
        routes=[*(each.route(guard) for each in operations), *more],
        exception_handlers=problems.HANDLERS | {404: _not_found(kinds)},
    )
    app.router.redirect_slashes = False  # boards do not follow redirects
    return app


def _not_found(kinds: Kinds) -> Callable[[Request, HTTPException], Awaitable[Response]]:
    async def not_found(request: Request, error: HTTPException) -> Response:
        if error.detail != "Not Found":
            return problems.problem(404, error.detail)
        path = request.url.path
        return problems.problem(404, f"nothing at {path!r:.120}; readings go to /api/v1/ and one of {', '.join(kinds)}")

    return not_found
