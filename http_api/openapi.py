"""The OpenAPI document, made from the operations that serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from http_api.operation import Answer, Json, Operation, json_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.requests import Request


def operation(operations: Sequence[Operation], schemas: Mapping[str, Json], version: str) -> Operation:
    """``GET /openapi.json``, which speaks of itself too."""

    async def get_document(_: Request) -> Response:
        return Response(body, media_type="application/json")

    itself = Operation(
        method="GET",
        path="/openapi.json",
        serve=get_document,
        tag="system",
        summary="This document.",
        answers={200: Answer("OpenAPI 3.1.", json_content({"type": "object"}))},
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
        "info": {"title": "SensorFlow", "version": version},
        "security": [{"key": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": dict(schemas),
        },
    }
