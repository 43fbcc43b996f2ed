"""The OpenAPI document, made from the kinds: endpoints, schemas with units and bounds, and the problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from http_api.edge import MAX_BODY_BYTES
from http_api.problems import MEDIA_TYPE
from sensorflow.kinds import SENSOR_ID_PATTERN

if TYPE_CHECKING:
    from sensorflow.kinds import Kind, Kinds

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_SENSOR_ID: Json = {"type": "string", "pattern": SENSOR_ID_PATTERN}
_PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, with the value and the bound."},
        "reason": {"type": "string", "description": "Why a reading was rejected, as in dead_letters/{reason}."},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"field": _TEXT, "detail": _TEXT}},
        },
    },
}
_PROBLEMS = {
    401: "No key, or a wrong one.",
    404: "Nothing there.",
    408: "The request took too long to come.",
    413: f"The body is larger than {MAX_BODY_BYTES} bytes.",
    415: "The content type is not application/json, or the body is packed.",
    422: "The reading, or the name of the sensor, is not acceptable; `errors` names the fields.",
    503: "Not now: send it again after Retry-After seconds.",
}


def document(kinds: Kinds, version: str) -> Json:
    """The whole document, as a JSON object."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "SensorFlow", "version": version},
        "security": [{"key": []}, {"bearer": []}],
        "paths": {f"/api/v1/{name}": {"post": _post(kind)} for name, kind in kinds.items()} | _reads(kinds),
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {"problem": _PROBLEM} | {name: _reading(kind) for name, kind in kinds.items()} | _records(kinds),
        },
    }


def _post(kind: type[Kind]) -> Json:
    return {
        "summary": f"Store one {kind.kind.replace('_', ' ')}.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(kind.kind)}}},
        "responses": {
            "201": _json("On disk; in the store exactly once.", _ref(f"{kind.kind}_record")),
            "202": _json(
                "Only the broker has it yet: `durable` is false and `id` may still change.",
                _ref(f"{kind.kind}_record"),
            ),
        }
        | _problems(401, 408, 413, 415, 422, 503),
    }


def _reads(kinds: Kinds) -> Json:
    sensor_id = {"name": "sensor_id", "in": "path", "required": True, "schema": _SENSOR_ID}
    kind = {
        "name": "kind",
        "in": "query",
        "schema": {"type": "string", "enum": list(kinds), "default": next(iter(kinds))},
    }
    records = {"anyOf": [_ref(f"{name}_record") for name in kinds]}
    answer: Json = {"type": "object"}
    return {
        "/api/v1/sensor/{sensor_id}/latest": {
            "get": {
                "summary": "The newest reading of one sensor.",
                "parameters": [sensor_id, kind],
                "responses": {"200": _json("By time.", records)} | _problems(401, 404, 422, 503),
            }
        },
        "/api/v1/health": {
            "get": {
                "summary": "Whether readings are accepted, and what is away.",
                "security": [],
                "responses": {
                    "200": _json("Accepted: `healthy` or `degraded`.", answer),
                    "503": _json("Not accepted: `unhealthy`.", answer),
                },
            }
        },
        "/api/v1/ping": {
            "get": {
                "summary": "Whether this process runs.",
                "security": [],
                "responses": {"200": _json("Yes.", answer)},
            }
        },
        "/openapi.json": {
            "get": {"summary": "This document.", "security": [], "responses": {"200": _json("It.", answer)}}
        },
    }


def _reading(kind: type[Kind]) -> Json:
    """What a board sends: over HTTP the sensor has to be named."""
    schema = kind.model_json_schema()
    properties = schema["properties"] | {"sensor_id": _SENSOR_ID}
    return schema | {"properties": properties, "required": [*schema.get("required", []), "sensor_id"]}


def _records(kinds: Kinds) -> Json:
    return {f"{name}_record": _record(kind) for name, kind in kinds.items()}


def _record(kind: type[Kind]) -> Json:
    schema = kind.model_json_schema()
    return {
        "type": "object",
        "required": ["id", *schema.get("required", []), "date_recorded", "time_recorded", "sensor_id", "client_ip"],
        "properties": {
            "id": {"type": "integer", "description": "The reading's time: microseconds since 1970."},
            **{name: schema["properties"][name] for name in kind.value_names},
            "date_recorded": {"type": "string", "format": "date"},
            "time_recorded": {"type": "string", "description": "hh:mm:ss, in the zone of the setting TIMEZONE."},
            "sensor_id": _SENSOR_ID,
            "client_ip": {"type": ["string", "null"]},
            "kind": {"const": kind.kind},
            "timestamp": {"type": "string", "format": "date-time"},
            "durable": {"type": "boolean", "description": "False with 202, else absent."},
        },
    }


def _problems(*statuses: int) -> Json:
    return {
        str(status): {"description": _PROBLEMS[status], "content": {MEDIA_TYPE: {"schema": _ref("problem")}}}
        for status in statuses
    }


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
