"""``POST /api/v1/readings``: many readings, of any sensors and kinds, in JSON, NDJSON or line protocol."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from http_api import batch_body, line_protocol
from http_api.answers import LINE_CONTENT, client_ip, json_response, line_response, wants_line
from http_api.batches import Report, Sender
from http_api.idempotency import HEADERS, request_key
from http_api.operation import Answer, Json, Operation, Query, json_content, read_query, ref
from http_api.problems import problem
from http_api.schemas import over_http
from sensorflow.errors import TransientError
from sensorflow.kinds import MAX_READINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from http_api.batches import Batches
    from http_api.operation import Endpoint
    from sensorflow.kinds import Kinds

    Parse = Callable[[Request], Callable[[bytes], Iterable[object]]]

_JSON = ("application/json", "application/x-ndjson")
_LINES = ("text/plain; charset=utf-8", "text/plain")
# What libraries send unasked with any body, as curl does; see http_api/body.py.
_UNASKED = ("application/x-www-form-urlencoded",)

_DESCRIPTION = f"""Up to {MAX_READINGS:,} readings or 4 MiB (unpacked) in one request; `Content-Encoding: gzip` is read.
A bad reading costs nothing but itself: `errors` names its place in the batch, counted from 0, its field and why.
Nothing is kept of it, as of a single one that gets a 422; what only the bridge finds wrong (a field that was of another
type before) becomes a dead letter too. Readings of one sensor and kind keep their order.

After a 503, or when no answer comes, send the same batch again: readings that have a `time` are not stored twice, and
under an `Idempotency-Key` (for a day, and the last 10,000 messages) no readings are."""

_READINGS = [
    {"sensor_id": "sensor_001", "temperature": 25.5, "humidity": 60.2, "pressure": 1012.5},
    {"sensor_id": "pump_7", "kind": "telemetry", "rpm": 1480, "is_on": True},
]
_NDJSON = (
    '{"sensor_id": "sensor_001", "temperature": 25.5, "humidity": 60.2, "pressure": 1012.5}\n'
    '{"sensor_id": "pump_7", "kind": "telemetry", "rpm": 1480, "is_on": true}\n'
)
_LINE_PROTOCOL = (
    "sensor_readings,sensor_id=sensor_001 temperature=25.5,humidity=60.2,pressure=1012.5\n"
    "telemetry,sensor_id=pump_7,hall=north rpm=1480,is_on=true\n"
)
_REPORT: Json = {
    "type": "object",
    "required": ["accepted", "rejected", "durable", "pending", "errors"],
    "properties": {
        "accepted": {"type": "integer", "minimum": 0, "description": "Readings that are safe."},
        "rejected": {"type": "integer", "minimum": 0},
        "durable": {"type": "boolean", "description": "Whether all accepted ones are on the bridge's disk."},
        "pending": {"type": "integer", "minimum": 0, "description": "Accepted, but only the broker has them yet."},
        "errors": {
            "type": "array",
            "description": "One for each rejected reading.",
            "items": {
                "type": "object",
                "required": ["index", "field", "detail", "reason"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0, "description": "In the batch, from 0."},
                    "field": {"type": "string"},
                    "detail": {"type": "string"},
                    "reason": {"type": "string"},
                },
            },
        },
        "ids": {
            "type": "array",
            "description": "With `ids=true`: of each reading; null where it was rejected or is pending.",
            "items": {"type": ["integer", "null"]},
        },
    },
    "examples": [{"accepted": 2, "rejected": 0, "durable": True, "pending": 0, "errors": []}],
}
_SOME_REJECTED: Json = {
    "accepted": 1,
    "rejected": 1,
    "durable": True,
    "pending": 0,
    "errors": [
        {
            "index": 1,
            "field": "humidity",
            "detail": "Input should be less than or equal to 100, got 101",
            "reason": "bad_reading",
        }
    ],
}


class BatchQuery(Query):
    """How to answer."""

    ids: bool = False


class LineProtocolQuery(BatchQuery):
    """How to read the timestamps, too."""

    precision: line_protocol.Precision = "ns"


def operations(kinds: Kinds, batches: Batches) -> list[Operation]:
    """Both."""

    def parse_json(request: Request) -> Callable[[bytes], Iterable[object]]:
        is_ndjson = batch_body.media_type(request) == "application/x-ndjson"
        return batch_body.of_ndjson if is_ndjson else batch_body.of_json

    def parse_lines(request: Request) -> Callable[[bytes], Iterable[object]]:
        precision = read_query(LineProtocolQuery, request).precision
        return partial(line_protocol.elements, kinds=kinds, precision=precision)

    room = batch_body.Room()
    as_json = json_content(_body_schema(kinds), example=_READINGS) | json_content(
        {"type": "string"}, example=_NDJSON, media_type="application/x-ndjson"
    )
    as_lines = json_content({"type": "string"}, example=_LINE_PROTOCOL, media_type="text/plain")
    return [
        _operation(
            "/api/v1/readings",
            _post(batches, room, parse_json, (*_JSON, *_UNASKED), BatchQuery),
            summary="Store many readings.",
            description=f"{_DESCRIPTION}\n\n`kind` may be left out: {next(iter(kinds))}.",
            query=BatchQuery,
            body=as_json,
        ),
        _operation(
            "/api/v1/readings/line-protocol",
            _post(batches, room, parse_lines, (_LINES[1], *_UNASKED), LineProtocolQuery),
            summary="Store many readings, in InfluxDB's line protocol.",
            description=f"{_DESCRIPTION}\n\nThe measurement is a kind or its table, the tag `sensor_id` the sensor. "
            "Further tags are text fields of telemetry; other kinds refuse them.",
            query=LineProtocolQuery,
            body=as_lines,
        ),
    ]


def schemas() -> dict[str, Json]:
    """What the answers refer to."""
    return {"batch_report": _REPORT}


def _operation(
    path: str, serve: Endpoint, *, summary: str, description: str, query: type[Query], body: dict[str, Json]
) -> Operation:
    report = json_content(ref("batch_report")) | _line("201 2\n")
    some_rejected = json_content(ref("batch_report"), example=_SOME_REJECTED) | _line("207 1 accepted, 1 rejected\n")
    return Operation(
        method="POST",
        path=path,
        serve=serve,
        tag="write",
        summary=summary,
        description=description,
        scope="write",
        query=query,
        headers=HEADERS,
        body=body,
        answers={
            201: Answer("All on disk; in the store exactly once.", report),
            202: Answer("Some only the broker has yet: `durable` is false.", report),
            207: Answer("Some were rejected; the others are on disk.", some_rejected),
        },
        problems=(401, 408, 413, 415, 422, 503),
    )


def _post(
    batches: Batches, room: batch_body.Room, parse: Parse, media_types: tuple[str, ...], query: type[BatchQuery]
) -> Endpoint:
    async def post(request: Request) -> Response:
        wants_ids = read_query(query, request).ids
        sender = Sender(client_ip(request), request.state.may_write, request_key(request))
        try:
            with room.reserved(request) as shrink:
                body = await batch_body.read(request, media_types)
                shrink(len(body))
                report = await batches.accept(parse(request), body, sender)
        except asyncio.CancelledError:  # not passed on: only the stop cancels a request, and the client wants an answer
            raise TransientError("the server stops before the batch is safe") from None
        return _answer(request, report, wants_ids=wants_ids)

    return post


def _answer(request: Request, report: Report, *, wants_ids: bool) -> Response:
    rejected = len(report.rejections)
    told: Json = {
        "accepted": report.accepted,
        "rejected": rejected,
        "durable": report.pending == 0,
        "pending": report.pending,
        "errors": [asdict(each) for each in report.rejections],
    }
    if wants_ids:
        told["ids"] = report.ids
    if not report.accepted:
        first = report.rejections[0]
        detail = f"no reading was accepted; the first: {first.field}{': ' * bool(first.field)}{first.detail}"
        return problem(422, detail, reason=first.reason, **told)
    status = 202 if report.pending else 207 if rejected else 201
    if wants_line(request.headers.get("accept", "")):
        text = f"{report.accepted} accepted, {rejected} rejected" if rejected else f"{report.accepted}"
        return line_response(status, text)
    return json_response(told, status)


def _body_schema(kinds: Kinds) -> Json:
    """A reading, or an array of them: as over the kinds' own paths, and with the kind where it is not the first."""
    default = next(iter(kinds))
    each: list[Json] = []
    for name, kind in kinds.items():
        schema = over_http(kind, {"kind": {"const": name}})
        required = {"required": [*schema["required"], *(["kind"] if name != default else [])]}
        each.append({name: part for name, part in schema.items() if name != "examples"} | required)
    return {
        "anyOf": [
            {"type": "array", "minItems": 1, "maxItems": MAX_READINGS, "items": {"anyOf": each}},
            {"anyOf": each},
        ]
    }


def _line(example: str) -> dict[str, Json]:
    return {"text/plain": LINE_CONTENT["text/plain"] | {"example": example}}
