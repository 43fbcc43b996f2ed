"""``GET /api/v1/sensor/{sensor_id}/history`` and ``/api/v1/history``: the readings of a time range."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from starlette.exceptions import HTTPException

from http_api import export_formats, history_cursor, history_question, media
from http_api.answers import json_response
from http_api.export import ExportResponse
from http_api.export_formats import MEDIA_TYPES
from http_api.history import FIRST_SPAN_S, Walk
from http_api.history_cursor import Cursor
from http_api.history_pages import Key
from http_api.history_question import Question, bad
from http_api.history_range import SPAN_PATTERN
from http_api.history_sql import Aggregate  # noqa: TC001 - pydantic reads the annotations
from http_api.operation import Answer, Json, Operation, Query, json_content, read_query, ref
from http_api.schemas import SENSOR_ID
from sensorflow import reading
from sensorflow.errors import FieldError, RejectedError
from sensorflow.kinds import FIELD_PATTERN, SENSOR_ID_PATTERN

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from http_api.export import Exports
    from http_api.history import Page, TableColumns
    from http_api.operation import Endpoint
    from http_api.store_questions import StoreQuestions
    from sensorflow.kinds import Kind, Kinds

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000  # of one page of JSON

Format = Literal["json", "csv", "ndjson", "parquet", "arrow"]

_TIME = "RFC 3339, seconds, ms, us or ns since 1970, or relative: `now`, `-24h`, `-7d`."


class HistoryQuery(Query):
    """What both endpoints take."""

    kind: Annotated[str | None, Field(description="By default the first: `temperature_reading`.")] = None
    fields: Annotated[str | None, Field(description="Only these, separated by commas; by default all.")] = None
    start: Annotated[str, Field(description=f"First time that counts. {_TIME}", examples=["-24h"])] = "-24h"
    end: Annotated[str, Field(description=f"Before this time. {_TIME}", examples=["now"])] = "now"
    every: Annotated[
        str | None,
        Field(
            pattern=SPAN_PATTERN,
            description="Length of a bin, `1s` to `366d`: one row for each sensor and bin, and not the readings. Bins "
            "begin at multiples of it since 1970 (UTC); `id` and `timestamp` are those of their beginning.",
            examples=["5m"],
        ),
    ] = None
    agg: Annotated[Aggregate | None, Field(description="What of each bin; `avg` by default. Needs `every`.")] = None
    limit: Annotated[
        int | None,
        Field(ge=1, le=2**53, description=f"Rows. JSON: {DEFAULT_LIMIT} by default, {MAX_LIMIT} at most; else all."),
    ] = None
    order: Annotated[Literal["asc", "desc"], Field(description="By time, then by sensor.")] = "asc"
    cursor: Annotated[
        str | None, Field(max_length=history_cursor.MAX_LENGTH, description="`next` of the page before.")
    ] = None
    format: Annotated[Format | None, Field(description="Counts for more than the header Accept.")] = None


class ManyQuery(HistoryQuery):
    """For many sensors at once."""

    sensor_id: Annotated[str | None, Field(description="Only these, separated by commas.")] = None
    prefix: Annotated[str | None, Field(pattern=SENSOR_ID_PATTERN, description="Only those whose name begins so.")] = (
        None
    )


_EXAMPLES = {
    "csv": 'sensor_id,id,timestamp,level\n"sensor_001",1755354645123456,"2025-08-16T14:30:45.123Z",25.5\n',
    "ndjson": '{"sensor_id":"sensor_001","id":1755354645123456,"timestamp":"2025-08-16T14:30:45.123Z","level":25.5}\n',
}


@dataclass(frozen=True, slots=True)
class History:
    """What both endpoints need."""

    kinds: Kinds
    questions: StoreQuestions
    columns: TableColumns
    exports: Exports


def operations(history: History) -> list[Operation]:
    """Both."""
    others = {
        each: {"schema": {"type": "string"}} | ({"example": _EXAMPLES[name]} if name in _EXAMPLES else {})
        for name, each in MEDIA_TYPES.items()
        if name != "json"
    }
    pages = Answer(
        "A page of JSON, or all rows in another format. A field that a reading did not have is left out.",
        json_content(ref("history_page")) | others,
    )
    problems = (401, 406, 422, 503, 505)
    return [
        Operation(
            method="GET",
            path="/api/v1/sensor/{sensor_id:any_text}/history",
            serve=_one(history),
            tag="read",
            summary="Readings of one sensor in a time range.",
            scope="read",
            path_parameters={"sensor_id": SENSOR_ID},
            query=HistoryQuery,
            query_values={"kind": list(history.kinds)},
            answers={200: pages},
            problems=problems,
        ),
        Operation(
            method="GET",
            path="/api/v1/history",
            serve=_many(history),
            tag="read",
            summary="Readings of many sensors in a time range.",
            description="`sensor_id` and `prefix` both narrow it; without them it is all sensors.",
            scope="read",
            query=ManyQuery,
            query_values={"kind": list(history.kinds)},
            answers={200: pages},
            problems=problems,
        ),
    ]


def schemas() -> dict[str, Json]:
    """By the name under which the document has them."""
    time_: Json = {"type": "string", "format": "date-time"}
    row = {
        "type": "object",
        "required": ["sensor_id", "id", "timestamp"],
        "properties": {"sensor_id": SENSOR_ID, "id": {"type": "integer"}, "timestamp": time_},
        "additionalProperties": {"type": ["number", "boolean", "string"]},
    }
    page = {
        "type": "object",
        "required": ["kind", "start", "end", "rows", "next"],
        "properties": {
            "kind": {"type": "string"},
            "start": time_,
            "end": time_,
            "every_s": {"type": "integer"},
            "agg": {"type": "string"},
            "rows": {"type": "array", "items": row},
            "next": {
                "type": ["string", "null"],
                "description": "To be given as `cursor`, with the same other parameters; null at the end.",
            },
        },
        "examples": [
            {
                "kind": "temperature_reading",
                "start": "2025-08-15T14:31:00.000Z",
                "end": "2025-08-16T14:31:00.000Z",
                "rows": [
                    {
                        "sensor_id": "sensor_001",
                        "id": 1_755_354_645_123_456,
                        "timestamp": "2025-08-16T14:30:45.123Z",
                        "temperature": 25.5,
                        "humidity": 60.2,
                        "pressure": 1012.5,
                    }
                ],
                "next": None,
            }
        ],
    }
    return {"history_page": page}


def _one(history: History) -> Endpoint:
    async def one(request: Request) -> Response:
        sensor_id = request.path_params["sensor_id"]
        if not re.fullmatch(SENSOR_ID_PATTERN, sensor_id):
            detail = f"{sensor_id!r:.80} does not match {SENSOR_ID_PATTERN}"
            raise RejectedError("bad_query", FieldError("sensor_id", detail))
        return await _answer(history, request, read_query(HistoryQuery, request), (sensor_id,), "")

    return one


def _many(history: History) -> Endpoint:
    async def many(request: Request) -> Response:
        query = read_query(ManyQuery, request)
        sensor_ids = history_question.sensor_ids(query.sensor_id)
        return await _answer(history, request, query, sensor_ids, query.prefix or "")

    return many


async def _answer(
    history: History, request: Request, query: HistoryQuery, sensor_ids: tuple[str, ...], prefix: str
) -> Response:
    format_ = query.format or media.chosen(request.headers.get("accept"), MEDIA_TYPES)
    if format_ is None:
        raise HTTPException(406, f"Accept names none of {', '.join(MEDIA_TYPES.values())}")
    limit = _limit(query, format_)
    question, after = _question(_kind(history.kinds, query.kind), query, sensor_ids, prefix)
    columns = history_question.columns(question, await history.columns.of(question.kind))
    if format_ == "json":
        walk = Walk(history.questions, question, columns, after=after)
        # All of it in the thread: 10,000 rows take tens of milliseconds to write, for which other requests would wait.
        return await history.questions.ask(
            lambda: json_response(_told_page(question, query, walk.page(limit or DEFAULT_LIMIT)))
        )
    walk = Walk(history.exports.questions, question, columns, after=after, first_span_s=FIRST_SPAN_S)
    return ExportResponse(history.exports, walk, columns.schema, format_, name=question.kind.kind, limit=limit)


def _limit(query: HistoryQuery, format_: str) -> int | None:
    if format_ != "json":
        return query.limit
    if query.limit is not None and query.limit > MAX_LIMIT:
        raise bad("limit", f"{query.limit}, at most {MAX_LIMIT} in JSON; follow next, or ask for csv or ndjson")
    return query.limit or DEFAULT_LIMIT


def _kind(kinds: Kinds, name: str | None) -> type[Kind]:
    name = next(iter(kinds)) if name is None else name
    if name not in kinds:
        raise bad("kind", f"{name!r:.80} is none of {', '.join(kinds)}")
    return kinds[name]


def _question(
    kind: type[Kind], query: HistoryQuery, sensor_ids: tuple[str, ...], prefix: str
) -> tuple[Question, Key | None]:
    """Resolved; and behind which row to begin."""
    start_ns, end_ns = history_question.time_range(query.start, query.end, time.time_ns() // 1000)
    every_s, aggregate = history_question.bins(query.every, query.agg)
    question = Question(
        kind=kind,
        fields=history_question.names("fields", query.fields, FIELD_PATTERN, most=history_question.MAX_FIELDS),
        start_ns=start_ns,
        end_ns=end_ns,
        sensor_ids=sensor_ids,
        prefix=prefix,
        every_s=every_s,
        aggregate=aggregate,
        is_descending=query.order == "desc",
    )
    if query.cursor is None:
        return question, None
    cursor = history_cursor.decode(query.cursor, _identity(question, query))
    return replace(question, start_ns=cursor.start_ns, end_ns=cursor.end_ns), Key(cursor.time_ns, cursor.sensor_id)


def _identity(question: Question, query: HistoryQuery) -> list[object]:
    return [*question.identity(), query.start, query.end]


def _told_page(question: Question, query: HistoryQuery, page: Page) -> Json:
    told: Json = {
        "kind": question.kind.kind,
        "start": _told(question.start_ns),
        "end": _told(question.end_ns),
    }
    if question.every_s is not None:
        told |= {"every_s": question.every_s, "agg": question.aggregate}
    cursor = None
    if page.is_cut and page.last is not None:
        here = Cursor(question.start_ns, question.end_ns, page.last.time_ns, page.last.sensor_id)
        cursor = history_cursor.encode(here, _identity(question, query))
    return told | {"rows": [row for batch in page.batches for row in export_formats.rows(batch)], "next": cursor}


def _told(time_ns: int) -> str:
    return reading.timestamp(time_ns // 1000)
