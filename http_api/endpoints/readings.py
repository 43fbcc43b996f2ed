"""``POST /api/v1/{kind}``: one reading, answered when it is safe."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from http_api.answers import LINE_CONTENT, client_ip, json_response, line_response, wants_line
from http_api.body import read_json
from http_api.idempotency import HEADERS, request_key
from http_api.operation import Answer, Json, Operation, json_content, ref
from http_api.schemas import over_http
from sensorflow.errors import TransientError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from http_api.ingest import Ingest
    from http_api.operation import Endpoint
    from sensorflow.kinds import Kind, Kinds

_FRAMING = ("content-length", "transfer-encoding")
_LINE = {"text/plain": LINE_CONTENT["text/plain"] | {"example": "201 1755354645123456\n"}}


def operations(kinds: Kinds, ingest: Ingest) -> list[Operation]:
    """One for each kind."""
    return [_operation(kind, _post(kind, ingest)) for kind in kinds.values()]


def schemas(kinds: Kinds) -> dict[str, Json]:
    """What a board sends, by kind: over HTTP the sensor has to be named."""
    return {name: over_http(kind) for name, kind in kinds.items()}


def _operation(kind: type[Kind], serve: Endpoint) -> Operation:
    content = json_content(ref(f"{kind.kind}_record")) | _LINE
    return Operation(
        method="POST",
        path=f"/api/v1/{kind.kind}",
        serve=serve,
        tag="write",
        summary=f"Store one {kind.kind.replace('_', ' ')}.",
        scope="write",
        headers=HEADERS,
        body=json_content(ref(kind.kind)),
        answers={
            201: Answer("On disk; in the store exactly once.", content),
            202: Answer("Only the broker has it yet: `durable` is false and `id` may still change.", content),
        },
        problems=(401, 408, 411, 413, 415, 422, 503),
    )


def _post(kind: type[Kind], ingest: Ingest) -> Endpoint:
    async def post(request: Request) -> Response:
        try:
            body = await read_json(request)
            if not body and not any(name in request.headers for name in _FRAMING):
                raise HTTPException(411, "there is no Content-Length, so no body")
            key = request_key(request)
            accepted = await ingest.accept(kind, body, client_ip(request), request.state.may_write, key)
        except asyncio.CancelledError:  # not passed on: only the stop cancels a request, and the client wants an answer
            raise TransientError("the server stops before the reading is safe") from None
        status = 201 if accepted.is_durable else 202
        if wants_line(request.headers.get("accept", "")):
            return line_response(status, str(accepted.record["id"]))
        return json_response(accepted.record, status)

    return post
