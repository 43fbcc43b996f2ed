"""The OpenAPI document, made from the operations that serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from http_api.operation import Answer, Json, Operation, json_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.requests import Request

_DESCRIPTION = """\
Readings of sensors, in and out. What was answered **201** is on disk and will be in the store exactly once; what was
answered 503 may be sent again after `Retry-After` seconds.

Each request shows a key, but where none is asked for: `X-API-Key: …` or `Authorization: Bearer …`. Errors are RFC 9457
problem details; with `Accept: text/plain` boards get one short line instead.

What goes over MQTT and over the WebSocket `/ws/sensor_updates` is told by [/asyncapi](asyncapi).
"""
TAGS = {
    "write": "Readings in.",
    "read": "Readings out.",
    "system": "How the system is.",
    "documentation": "This, in several forms.",
}

HEADERS = {  # of every answer
    "X-Request-Id": {
        "description": "Names the request in the log; one that the client sends is taken over.",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[A-Za-z0-9._-]{1,64}$"},
        "example": "9f86d081-42",
    },
    "X-Server-Time-Us": {
        "description": "The server's time in microseconds since 1970.",
        "required": True,
        "schema": {"type": "integer"},
        "example": 1_755_354_645_123_456,
    },
}


def operation(operations: Sequence[Operation], schemas: Mapping[str, Json], version: str) -> Operation:
    """``GET /openapi.json``, which speaks of itself too."""

    async def get_document(_: Request) -> Response:
        return Response(body, media_type="application/json")

    itself = Operation(
        method="GET",
        path="/openapi.json",
        serve=get_document,
        tag="documentation",
        summary="This document.",
        answers={200: Answer("OpenAPI 3.1.", json_content({"type": "object"}, example={"openapi": "3.1.0"}))},
    )
    body = orjson.dumps(document([*operations, itself], schemas, version))
    return itself


def document(operations: Iterable[Operation], schemas: Mapping[str, Json], version: str) -> Json:
    """The whole document, as a JSON object."""
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.plain_path, {})[operation.method.lower()] = operation.document()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SensorFlow",
            "summary": "MQTT-bridged sensor backend.",
            "description": _DESCRIPTION,
            "version": version,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "Where this document came from."}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "security": [{"key": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "As boards show it."},
                "bearer": {"type": "http", "scheme": "bearer", "description": "The same key, for who prefers it."},
            },
            "headers": HEADERS,
            "schemas": dict(schemas),
        },
    }
