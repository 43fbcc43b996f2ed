"""The OpenAPI document, made from the operations that serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from http_api.operation import Json, Operation

PATH = "/openapi.json"


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
