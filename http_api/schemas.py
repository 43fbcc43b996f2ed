"""Schemas that several endpoints share, and those that follow from the kinds. Each has an example that it accepts."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from http_api import samples
from sensorflow.kinds import FIELD_PATTERN, MAX_TELEMETRY_FIELDS, RESERVED_FIELDS, SENSOR_ID_PATTERN, Telemetry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sensorflow.kinds import Kind, Kinds

Json = dict[str, Any]

SENSOR_ID: Json = {"type": "string", "pattern": SENSOR_ID_PATTERN, "examples": [samples.SENSOR_ID]}
_TEXT: Json = {"type": "string"}
TIME: Json = {
    "description": "By default when it came. RFC 3339 with an offset, or seconds, ms, us or ns since 1970, told apart "
    "by magnitude; not far from now (the settings MAX_PAST_DAYS and MAX_FUTURE_S).",
    "anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}, {"type": "null"}],
    "examples": ["2025-08-16T14:30:45.123Z", samples.TIME_US],
}
PROBLEM: Json = {
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
    "examples": [
        {
            "type": "about:blank",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "humidity: Field required",
            "reason": "bad_reading",
            "errors": [{"field": "humidity", "detail": "Field required"}],
        }
    ],
}

HEALTH: Json = {
    "type": "object",
    "required": ["status", "timestamp", "version", "services", "uptime_seconds", "spool"],
    "properties": {
        "status": {"enum": ["healthy", "degraded", "unhealthy"]},
        "timestamp": {"type": "string", "format": "date-time"},
        "version": _TEXT,
        "services": {
            "type": "object",
            "required": ["influxdb", "websocket_manager", "mqtt", "bridge"],
            "additionalProperties": {"enum": ["connected", "disconnected", "active", "inactive"]},
        },
        "uptime_seconds": {"type": "integer", "minimum": 0},
        "spool": {"type": "object", "description": "The bridge's, as it last told; empty where it never did."},
    },
    "examples": [
        {
            "status": "healthy",
            "timestamp": "2025-08-16T14:30:45.123Z",
            "version": "0.1.0",
            "services": {
                "influxdb": "connected",
                "websocket_manager": "active",
                "mqtt": "connected",
                "bridge": "active",
            },
            "uptime_seconds": 86400,
            "spool": {"readings": 0, "bytes": 4096, "oldest_s": 0, "is_full": False},
        }
    ],
}


def shared(kinds: Kinds) -> dict[str, Json]:
    """By the name under which the document has them."""
    return {"problem": PROBLEM, "health": HEALTH} | {f"{name}_record": _record(kind) for name, kind in kinds.items()}


def over_http(kind: type[Kind], more: Mapping[str, Json] = MappingProxyType({})) -> Json:
    """What a board posts: there the sensor has to be named, and with it ``more`` members may be."""
    schema = on_topic(kind, more)
    properties = schema["properties"] | {"sensor_id": SENSOR_ID}
    required = [*schema.get("required", []), "sensor_id"]
    if "maxProperties" in schema:  # which counts all that a device may name; one that names no time has room for less
        schema["anyOf"] = [{"required": ["time"]}, {"maxProperties": schema["maxProperties"] - 1}]
    return schema | {"properties": properties, "required": required} | _examples(kind, samples.payload(kind))


def on_topic(kind: type[Kind], more: Mapping[str, Json] = MappingProxyType({})) -> Json:
    """What a device publishes: the topic names the sensor already."""
    schema = kind.model_json_schema()
    schema["properties"] |= {"time": TIME} | dict(more)
    if issubclass(kind, Telemetry):
        schema |= _any_fields(schema["properties"].keys())
    return schema | _examples(kind, samples.values(kind))


def frame(kind: type[Kind]) -> Json:
    """What browsers are told."""
    return {
        "type": "object",
        "required": [*_required_values(kind), "sensor_id", "timestamp", "kind", "id"],
        "properties": _values(kind) | {"sensor_id": SENSOR_ID} | _NAMING | {"kind": {"const": kind.kind}},
    } | _examples(kind, samples.frame(kind))


_NAMING: Json = {
    "timestamp": {"type": "string", "format": "date-time"},
    "id": {"type": "integer", "description": "The reading's time: microseconds since 1970."},
}


def _record(kind: type[Kind]) -> Json:
    """What 201 and ``latest`` answer."""
    return {
        "type": "object",
        "required": [
            "id",
            *_required_values(kind),
            "date_recorded",
            "time_recorded",
            "sensor_id",
            "client_ip",
            "kind",
            "timestamp",
        ],
        "properties": {
            "id": _NAMING["id"],
            **_values(kind),
            "date_recorded": {"type": "string", "format": "date"},
            "time_recorded": {"type": "string", "description": "hh:mm:ss, in the zone of the setting TIMEZONE."},
            "sensor_id": SENSOR_ID,
            "client_ip": {"type": ["string", "null"]},
            "kind": {"const": kind.kind},
            "timestamp": _NAMING["timestamp"],
            "durable": {"type": "boolean", "description": "False with 202, else absent."},
        },
    } | _examples(kind, samples.record(kind))


def _values(kind: type[Kind]) -> Json:
    properties = kind.model_json_schema()["properties"]
    return {name: properties[name] for name in kind.value_names}


def _required_values(kind: type[Kind]) -> list[str]:
    """A value with a default is there only where it is not None."""
    required = kind.model_json_schema().get("required", [])
    return [name for name in kind.value_names if name in required]


def _any_fields(declared: Collection[str]) -> Json:
    """What pydantic checks of telemetry and does not say."""
    taken = sorted(RESERVED_FIELDS - set(declared))
    return {
        "propertyNames": {"pattern": FIELD_PATTERN, "not": {"enum": taken}},
        "not": {"propertyNames": {"enum": list(declared)}},  # nothing but these
        "maxProperties": len(declared) + MAX_TELEMETRY_FIELDS,
    }


def _examples(kind: type[Kind], example: Json) -> Json:
    return {"examples": [example]} if samples.values(kind) else {}
