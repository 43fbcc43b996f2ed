"""``GET /api/v1/health`` and ``/api/v1/ping``: how the system is, for monitoring and for boards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from http_api.answers import json_response
from http_api.operation import Answer, Json, Operation, json_content, ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

_PING = {"status": "ok", "message": "SensorFlow API is running"}
_PING_SCHEMA: Json = {
    "type": "object",
    "required": list(_PING),
    "properties": {name: {"const": value} for name, value in _PING.items()},
}


def operations(report: Callable[[], dict[str, Any]]) -> list[Operation]:
    """Both; nobody needs a key for them."""

    async def get_health(_: Request) -> Response:
        answer = report()
        return json_response(answer, 503 if answer["status"] == "unhealthy" else 200)

    async def get_ping(_: Request) -> Response:
        return json_response(_PING)

    content = json_content(ref("health"))
    return [
        Operation(
            method="GET",
            path="/api/v1/health",
            serve=get_health,
            tag="system",
            summary="Whether readings are accepted, and what is away.",
            answers={
                200: Answer("Accepted: `healthy` or `degraded`.", content),
                503: Answer("Not accepted: `unhealthy`.", content),
            },
        ),
        Operation(
            method="GET",
            path="/api/v1/ping",
            serve=get_ping,
            tag="system",
            summary="Whether this process runs.",
            answers={200: Answer("Yes.", json_content(_PING_SCHEMA, example=_PING))},
        ),
    ]
