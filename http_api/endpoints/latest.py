"""``GET /api/v1/sensor/{sensor_id}/latest``: the newest reading of one sensor."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import ConfigDict
from starlette.exceptions import HTTPException

from http_api.answers import json_response
from http_api.operation import Answer, Operation, Query, json_content, read_query, ref
from http_api.schemas import SENSOR_ID
from sensorflow import reading
from sensorflow.errors import FieldError, RejectedError
from sensorflow.kinds import SENSOR_ID_PATTERN

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from starlette.requests import Request
    from starlette.responses import Response

    from http_api.newest import NewestReadings
    from http_api.operation import Endpoint
    from sensorflow.kinds import Kinds


class LatestQuery(Query):
    """Older clients may say more."""

    model_config = ConfigDict(extra="ignore")

    kind: str | None = None


def operation(kinds: Kinds, newest: NewestReadings, zone: ZoneInfo) -> Operation:
    """The endpoint."""
    return Operation(
        method="GET",
        path="/api/v1/sensor/{sensor_id:any_text}/latest",
        serve=_latest(kinds, newest, zone),
        tag="read",
        summary="The newest reading of one sensor.",
        scope="read",
        path_parameters={"sensor_id": SENSOR_ID},
        query=LatestQuery,
        query_values={"kind": list(kinds)},
        answers={200: Answer("By time.", json_content({"anyOf": [ref(f"{name}_record") for name in kinds]}))},
        problems=(401, 404, 422, 503),
    )


def _latest(kinds: Kinds, newest: NewestReadings, zone: ZoneInfo) -> Endpoint:
    default = next(iter(kinds))

    async def latest(request: Request) -> Response:
        sensor_id = request.path_params["sensor_id"]
        if not re.fullmatch(SENSOR_ID_PATTERN, sensor_id):
            raise RejectedError(
                "bad_reading", FieldError("sensor_id", f"{sensor_id!r:.80} does not match {SENSOR_ID_PATTERN}")
            )
        name = read_query(LatestQuery, request).kind
        name = default if name is None else name
        if name not in kinds:
            raise RejectedError("bad_topic", FieldError("kind", f"{name!r:.80} is none of {', '.join(kinds)}"))
        found = await newest.find(kinds[name], sensor_id)
        if found is None:
            raise HTTPException(404, f"no {name} of {sensor_id} so far")
        return json_response(reading.record(name, sensor_id, found.time_us, dict(found.values), found.client_ip, zone))

    return latest
