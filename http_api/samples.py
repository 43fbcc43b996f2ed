"""One reading of each kind as the documentation shows it; it can be sent as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

if TYPE_CHECKING:
    from sensorflow.kinds import Kind

Json = dict[str, Any]

SENSOR_ID = "sensor_001"
TIME_US = 1_755_354_645_123_456
_SHIPPED: dict[str, Json] = {
    "temperature_reading": {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5},
    "telemetry": {"battery": 3.7, "is_charging": True, "firmware": "1.4.2"},
}


def values(kind: type[Kind]) -> Json:
    """What a sensor of the kind might measure; empty where the kind accepts nothing that we can think of."""
    if kind.kind in _SHIPPED:
        return _SHIPPED[kind.kind]
    properties = kind.model_json_schema()["properties"]
    made = {name: _value(properties[name]) for name in kind.value_names}
    try:
        kind.model_validate(made)
    except ValidationError:  # a validator of the user's own
        return {}
    return made


def payload(kind: type[Kind]) -> Json:
    """What a board posts."""
    return values(kind) | {"sensor_id": SENSOR_ID}


def record(kind: type[Kind]) -> Json:
    """What 201 answers to :func:`payload`."""
    return {
        "id": TIME_US,
        **values(kind),
        "date_recorded": "2025-08-16",
        "time_recorded": "11:30:45",
        "sensor_id": SENSOR_ID,
        "client_ip": "192.0.2.7",
        "kind": kind.kind,
        "timestamp": "2025-08-16T14:30:45.123Z",
    }


def frame(kind: type[Kind]) -> Json:
    """What browsers are told of it."""
    return values(kind) | {
        "sensor_id": SENSOR_ID,
        "timestamp": "2025-08-16T14:30:45.123Z",
        "kind": kind.kind,
        "id": TIME_US,
    }


def _value(schema: Json) -> Any:
    """One that the schema allows; the first of its alternatives where there are several."""
    for known in ("examples", "enum"):
        if schema.get(known):
            return schema[known][0]
    if "const" in schema:
        return schema["const"]
    if "anyOf" in schema:
        return _value(schema["anyOf"][0])
    if schema["type"] == "number":
        least = schema.get("low", schema.get("minimum"))
        most = schema.get("high", schema.get("maximum"))
        return _middle(least, most)
    return True if schema["type"] == "boolean" else "ok"


def _middle(least: float | None, most: float | None) -> float:
    if least is None or most is None:
        return next((float(bound) for bound in (least, most) if bound is not None), 20.0)
    return round((least + most) / 2, 1)
