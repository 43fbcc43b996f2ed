"""Schemas that several endpoints share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sensorflow.kinds import SENSOR_ID_PATTERN

if TYPE_CHECKING:
    from sensorflow.kinds import Kind, Kinds

Json = dict[str, Any]

SENSOR_ID: Json = {"type": "string", "pattern": SENSOR_ID_PATTERN}
_TEXT: Json = {"type": "string"}
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
}


def shared(kinds: Kinds) -> dict[str, Json]:
    """By the name under which the document has them."""
    return {"problem": PROBLEM} | {f"{name}_record": _record(kind) for name, kind in kinds.items()}


def _record(kind: type[Kind]) -> Json:
    """What 201 and ``latest`` answer."""
    schema = kind.model_json_schema()
    return {
        "type": "object",
        "required": ["id", *schema.get("required", []), "date_recorded", "time_recorded", "sensor_id", "client_ip"],
        "properties": {
            "id": {"type": "integer", "description": "The reading's time: microseconds since 1970."},
            **{name: schema["properties"][name] for name in kind.value_names},
            "date_recorded": {"type": "string", "format": "date"},
            "time_recorded": {"type": "string", "description": "hh:mm:ss, in the zone of the setting TIMEZONE."},
            "sensor_id": SENSOR_ID,
            "client_ip": {"type": ["string", "null"]},
            "kind": {"const": kind.kind},
            "timestamp": {"type": "string", "format": "date-time"},
            "durable": {"type": "boolean", "description": "False with 202, else absent."},
        },
    }
