"""``GET /api/v1/sensors``: which sensors there are, and since when some are silent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from http_api.answers import json_response
from http_api.directory import MAX_SENSORS
from http_api.history_question import bad
from http_api.history_range import SPAN_PATTERN, span_s
from http_api.operation import Answer, Json, Operation, Query, json_content, read_query, ref
from http_api.schemas import SENSOR_ID
from sensorflow.kinds import SENSOR_ID_PATTERN
from sensorflow.reading import timestamp

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from http_api.directory import Listed
    from http_api.operation import Endpoint
    from http_api.sensors import Sensors
    from sensorflow.kinds import Kind, Kinds

DEFAULT_LIMIT = 100
MAX_SPAN_S = 3660 * 86_400


class SensorsQuery(Query):
    """Each narrows it."""

    kind: Annotated[str | None, Field(description="Only sensors with readings of this kind.")] = None
    prefix: Annotated[str | None, Field(pattern=SENSOR_ID_PATTERN, description="Of their names.")] = None
    inactive_for: Annotated[
        str | None,
        Field(pattern=SPAN_PATTERN, description="Only those without a reading for so long.", examples=["1h"]),
    ] = None
    active_within: Annotated[
        str, Field(pattern=SPAN_PATTERN, description="A sensor whose last reading is not older counts as active.")
    ] = "5m"
    limit: Annotated[int, Field(ge=1, le=1000, description="Sensors of one page.")] = DEFAULT_LIMIT
    cursor: Annotated[str | None, Field(pattern=SENSOR_ID_PATTERN, description="`next` of the page before.")] = None


def operation(kinds: Kinds, sensors: Sensors) -> Operation:
    """The endpoint."""
    return Operation(
        method="GET",
        path="/api/v1/sensors",
        serve=_sensors(kinds, sensors),
        tag="read",
        summary="All sensors, by name, with their last readings.",
        description="A sensor was seen when its readings were taken, by their own times.",
        scope="read",
        query=SensorsQuery,
        query_values={"kind": list(kinds)},
        answers={200: Answer("A page.", json_content(ref("sensors_page")))},
        problems=(401, 422, 503),
    )


_EXAMPLE: Json = {
    "timestamp": "2025-08-16T14:31:00.000Z",
    "active_within_s": 300,
    "is_complete": True,
    "sensors": [
        {
            "sensor_id": "sensor_001",
            "active": True,
            "inactive_since": None,
            "first_seen": "2025-08-01T06:00:00.000Z",
            "last_seen": "2025-08-16T14:30:45.123Z",
            "kinds": {
                "temperature_reading": {
                    "first_seen": "2025-08-01T06:00:00.000Z",
                    "last_seen": "2025-08-16T14:30:45.123Z",
                    "id": 1_755_354_645_123_456,
                    "values": {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5},
                }
            },
        }
    ],
    "next": None,
}


def schemas() -> dict[str, Json]:
    """By the name under which the document has them."""
    moment: Json = {"type": "string", "format": "date-time"}
    seen = {
        "type": "object",
        "required": ["first_seen", "last_seen", "id", "values"],
        "properties": {
            "first_seen": moment,
            "last_seen": moment,
            "id": {"type": "integer", "description": "Of the last reading."},
            "values": {"type": "object", "description": "Of the last reading."},
        },
    }
    sensor = {
        "type": "object",
        "required": ["sensor_id", "active", "inactive_since", "first_seen", "last_seen", "kinds"],
        "properties": {
            "sensor_id": SENSOR_ID,
            "active": {"type": "boolean"},
            "inactive_since": {"type": ["string", "null"], "description": "Its last reading, if that is too old."},
            "first_seen": moment,
            "last_seen": moment,
            "kinds": {"type": "object", "additionalProperties": seen},
        },
    }
    page = {
        "type": "object",
        "required": ["timestamp", "active_within_s", "is_complete", "sensors", "next"],
        "properties": {
            "timestamp": moment,
            "active_within_s": {"type": "integer"},
            "is_complete": {
                "type": "boolean",
                "description": f"False where a kind has more than {MAX_SENSORS} sensors: the others are not listed.",
            },
            "sensors": {"type": "array", "items": sensor},
            "next": {"type": ["string", "null"], "description": "To be given as `cursor`; null at the end."},
        },
        "examples": [_EXAMPLE],
    }
    return {"sensors_page": page}


def _sensors(kinds: Kinds, sensors: Sensors) -> Endpoint:
    async def get_sensors(request: Request) -> Response:
        query = read_query(SensorsQuery, request)
        wanted = _wanted(kinds, query.kind)
        now_us = time.time_ns() // 1000
        active_s = span_s("active_within", query.active_within, least=1, most=MAX_SPAN_S)
        silent_s = query.inactive_for and span_s("inactive_for", query.inactive_for, least=1, most=MAX_SPAN_S)
        directory = await sensors.known(wanted)
        listed = directory.page(
            [kind.kind for kind in wanted],
            prefix=query.prefix or "",
            after=query.cursor or "",
            last_before_us=now_us - int(silent_s) * 1_000_000 if silent_s else None,
            limit=query.limit + 1,
        )
        page = listed[: query.limit]
        return json_response(
            {
                "timestamp": timestamp(now_us),
                "active_within_s": active_s,
                "is_complete": not any(directory.is_full(kind.kind) for kind in wanted),
                "sensors": [_told(each, now_us - active_s * 1_000_000) for each in page],
                "next": page[-1].sensor_id if len(listed) > len(page) else None,
            }
        )

    return get_sensors


def _wanted(kinds: Kinds, name: str | None) -> list[type[Kind]]:
    if name is None:
        return list(kinds.values())
    if name not in kinds:
        raise bad("kind", f"{name!r:.80} is none of {', '.join(kinds)}")
    return [kinds[name]]


def _told(sensor: Listed, active_since_us: int) -> dict[str, Any]:
    last_seen, is_active = timestamp(sensor.last_us), sensor.last_us >= active_since_us
    return {
        "sensor_id": sensor.sensor_id,
        "active": is_active,
        "inactive_since": None if is_active else last_seen,
        "first_seen": timestamp(sensor.first_us),
        "last_seen": last_seen,
        "kinds": {
            kind: {
                "first_seen": timestamp(seen.first_us),
                "last_seen": timestamp(seen.last_us),
                "id": seen.last_us,
                "values": dict(seen.values),
            }
            for kind, seen in sensor.kinds.items()
        },
    }
