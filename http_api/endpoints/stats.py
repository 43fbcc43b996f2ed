"""``GET /api/v1/stats``: how many readings come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from http_api.activity import HOUR_S, Activity
from http_api.answers import json_response
from http_api.operation import Answer, Json, Operation, json_content, ref
from sensorflow.reading import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

MINUTE_S = 60


def operation(activity: Activity, totals: Callable[[], Mapping[str, Any]]) -> Operation:
    """The endpoint; ``totals`` are the bridge's counters as it last told them, empty where it did not."""
    started_s, since = time.monotonic(), timestamp(time.time_ns() // 1000)

    async def get_stats(_: Request) -> Response:
        now_s = time.monotonic()
        minute, hour = activity.within(MINUTE_S, now_s), activity.within(HOUR_S, now_s)
        answer = {
            "timestamp": timestamp(time.time_ns() // 1000),
            "since": since,
            "counted_s": int(now_s - started_s),
            **_told(sum(minute.values()), sum(hour.values()), activity.totals.total()),
            "kinds": {name: _told(minute[name], hour[name], activity.totals[name]) for name in minute},
            "bridge": dict(totals()),
        }
        return json_response(answer)

    return Operation(
        method="GET",
        path="/api/v1/stats",
        serve=get_stats,
        tag="read",
        summary="Readings of the last minute and of the last hour, by kind.",
        description="Counted by this process as the bridge tells of them, since `since`: of an hour before that, and "
        "of gaps in its connection to the broker, it knows nothing. `bridge` are the bridge's own counts of all time.",
        scope="read",
        answers={200: Answer("Counts of readings.", json_content(ref("stats")))},
        problems=(401,),
    )


def schemas() -> dict[str, Json]:
    """By the name under which the document has them."""
    number: Json = {"type": "integer", "minimum": 0}
    counts = {"last_minute": number, "last_hour": number, "total": number}
    of_kind = {"type": "object", "required": list(counts), "properties": counts}
    moment: Json = {"type": "string", "format": "date-time"}
    stats = {
        "type": "object",
        "required": ["timestamp", "since", "counted_s", *counts, "kinds", "bridge"],
        "properties": {
            "timestamp": moment,
            "since": moment,
            "counted_s": number,
            **counts,
            "kinds": {"type": "object", "additionalProperties": of_kind},
            "bridge": {"type": "object"},
        },
        "examples": [
            {
                "timestamp": "2025-08-16T14:31:00.000Z",
                "since": "2025-08-16T06:00:00.000Z",
                "counted_s": 30660,
                "last_minute": 60,
                "last_hour": 3600,
                "total": 30660,
                "kinds": {"temperature_reading": {"last_minute": 60, "last_hour": 3600, "total": 30660}},
                "bridge": {"accepted": 30660, "stored": 30650, "spooled": 10, "dead_letters": 0},
            }
        ],
    }
    return {"stats": stats}


def _told(minute: int, hour: int, total: int) -> dict[str, int]:
    return {"last_minute": minute, "last_hour": hour, "total": total}
