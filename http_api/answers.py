"""What several endpoints need of a request, and for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request


def client_ip(request: Request) -> str:
    """Who sent it."""
    # On a socket for both families an IPv4 peer comes as ::ffff:192.0.2.1.
    return request.client.host.removeprefix("::ffff:") if request.client else ""


def json_response(answer: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(answer), status, media_type="application/json")
