"""The HTTP API: InfluxDB 3's paths, parameters, statuses and words, as far as they are served here."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from store import retention
from store.auth import is_authorized
from store.bodies import Budget, received
from store.config import StoreConfig
from store.configure import Configuration
from store.database import Databases, check_database_name
from store.errors import (
    BusyError,
    ExistsError,
    InvalidConfigurationError,
    InvalidQueryError,
    InvalidRequestError,
    LimitReachedError,
    MediaTypeError,
    QueryTimeoutError,
    StoreError,
    TooLargeError,
    UnknownDatabaseError,
)
from store.formats import MEDIA_TYPES, encoded
from store.line_protocol import PRECISIONS, LineError, parse
from store.query import ResultStream
from store.writer import Outcome, Writer

VERSION = "3.10.0"
"""Of the wire protocol: that of the InfluxDB 3 Core whose facts are implemented here."""

_STATUSES: tuple[tuple[type[StoreError], int], ...] = (
    (UnknownDatabaseError, 404),
    (ExistsError, 409),
    (MediaTypeError, 415),
    (TooLargeError, 413),
    (LimitReachedError, 422),
    (QueryTimeoutError, 408),
    (BusyError, 503),
    (InvalidRequestError, 400),
    (StoreError, 500),
)
_V2_CODES = {400: "invalid", 413: "request too large", 422: "unprocessable entity", 503: "unavailable"}
_V2_PRECISIONS = ("ns", "us", "ms", "s")
_ECHO_BYTES = 20
_FORMATS_BY_MEDIA_TYPE = {media_type.partition(";")[0]: name for name, media_type in MEDIA_TYPES.items()}


@dataclass(slots=True)
class Api:
    """The handlers, and what they need."""

    config: StoreConfig
    databases: Databases
    writer: Writer
    budget: Budget
    process_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    async def write_v3(self, request: Request) -> Response:
        query = request.query_params
        precision = _one_of(query, "precision", tuple(PRECISIONS), "auto")
        is_partial_ok = _one_of(query, "accept_partial", ("true", "false"), "true") == "true"
        _one_of(query, "no_sync", ("true", "false"), "false")  # every write is synced
        outcome = await self._write(request, _required(query, "db"), precision, is_partial_ok=is_partial_ok)
        if not outcome.errors:
            return Response(status_code=204)
        lines = [_echoed(error) for error in outcome.errors]
        status = 422 if outcome.is_limit else 400
        if is_partial_ok:
            return JSONResponse({"error": "partial write of line protocol occurred", "data": lines}, status)
        # The words of Core up to 3.9: the official client 0.21 finds the line in this answer, but not in 3.10's.
        return JSONResponse({"error": "parsing failed for write_lp endpoint", "data": lines[0]}, status)

    async def write_v2(self, request: Request) -> Response:
        query = request.query_params
        precision = _one_of(query, "precision", _V2_PRECISIONS, "ns")
        outcome = await self._write(request, _required(query, "bucket"), precision, is_partial_ok=False)
        if not outcome.errors:
            return Response(status_code=204)
        first = outcome.errors[0]
        raise (LimitReachedError if outcome.is_limit else InvalidRequestError)(
            f"write buffer error: line {first.number}: {first.message}"
        )

    async def _write(self, request: Request, database: str, precision: str, *, is_partial_ok: bool) -> Outcome:
        check_database_name(database)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        with self.budget.share() as share:
            text = await received(request.stream(), encoding, share)
            now_us = time.time_ns() // 1000
            parsed = await asyncio.to_thread(parse, text, precision=precision, now_us=now_us)
            if not parsed.starts:
                raise InvalidRequestError("incoming write was empty")
            return await self.writer.write(database, parsed, is_partial_ok=is_partial_ok)

    async def query_sql(self, request: Request) -> Response:
        query = await _query_of(request)
        format_ = query.get("format") or _FORMATS_BY_MEDIA_TYPE.get(request.headers.get("accept", ""), "json")
        format_ = {"json_lines": "jsonl"}.get(format_, format_)
        if format_ not in MEDIA_TYPES:
            raise InvalidRequestError(f"unknown format {format_[:40]!r}: {', '.join(MEDIA_TYPES)}")
        database, sql, parameters = self.databases.get(_required(query, "db")), _required(query, "q"), _params_of(query)
        stream = await run_in_threadpool(ResultStream, self.config, database, sql, parameters)
        return StreamingResponse(encoded(stream, format_), media_type=MEDIA_TYPES[format_])

    async def list_databases(self, request: Request) -> Response:
        _one_of(request.query_params, "format", ("json",), "json")
        rows = [
            {"iox::database": database.name, **_retention_of(database.retention_s)} for database in self.databases.all()
        ]
        return JSONResponse(rows)

    async def set_retention(self, request: Request) -> Response:
        duration = request.query_params.get("duration")
        retention_s = retention.duration_s(duration or "") if request.method == "POST" else None
        database = self.databases.get(_required(request.query_params, "db"))
        await self.writer.call(lambda: database.set_retention(retention_s))
        await self.writer.call(lambda: retention.apply(database))
        return Response(status_code=204)

    async def health(self, _: Request) -> Response:
        return PlainTextResponse("OK")

    async def ping(self, _: Request) -> Response:
        body = {"version": VERSION, "revision": "sensorflow", "process_id": self.process_id}
        return JSONResponse(body, headers={"X-Influxdb-Version": VERSION, "X-Influxdb-Build": "SensorFlow"})


def http_app(api: Api) -> ASGIApp:
    """Build the application, with its token check and its deadline around it."""
    configuration = Configuration(api.databases, api.writer, api.budget)
    routes = [
        Route("/api/v3/write_lp", api.write_v3, methods=["POST"]),
        Route("/api/v2/write", api.write_v2, methods=["POST"]),
        Route("/api/v3/query_sql", api.query_sql, methods=["GET", "POST"]),
        Route("/api/v3/configure/database", api.list_databases, methods=["GET"]),
        Route("/api/v3/configure/database", configuration.create_database, methods=["POST"]),
        Route("/api/v3/configure/table", configuration.create_table, methods=["POST"]),
        Route("/api/v3/configure/database/retention_period", api.set_retention, methods=["POST", "DELETE"]),
        Route("/health", api.health),
        Route("/ping", api.ping, methods=["GET", "POST"]),
    ]
    # InfluxDB knows no 405: what it does not serve by this method it does not find.
    app = Starlette(routes=routes, exception_handlers={StoreError: _problem, 404: _not_found, 405: _not_found})
    config = api.config
    return _Guard(app, config.token, deadline_s=60 + config.query_wait_s + config.query_timeout_s)


class _Guard:
    """Lets requests with the token in (all, to what is open), and ends those whose client reads or sends too slowly."""

    def __init__(self, app: ASGIApp, token: str, *, deadline_s: float) -> None:
        self._app, self._token, self._deadline_s = app, token, deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if scope["method"] != "HEAD" else _NOT_FOUND  # InfluxDB serves HEAD nowhere
        if scope["path"] not in {"/health", "/ping"}:
            app = self._refusal(dict(scope["headers"]).get(b"authorization")) or app
        async with asyncio.timeout(self._deadline_s):
            await app(scope, receive, send)

    def _refusal(self, header: bytes | None) -> Response | None:
        try:
            if is_authorized(None if header is None else header.decode("latin-1"), self._token):
                return None
        except InvalidRequestError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"error": "the request was not authenticated"}, 401)


_NOT_FOUND = PlainTextResponse("Not found", 404)


async def _not_found(_: Request, __: Exception) -> Response:
    return _NOT_FOUND


async def _problem(request: Request, error: Exception) -> Response:
    """Answer with the status and the shape that InfluxDB gives such an error."""
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    headers = {"Retry-After": "1"} if status == 503 else None
    if request.url.path == "/api/v2/write":
        body = {"code": _V2_CODES.get(status, "internal error"), "message": str(error)}
        return JSONResponse(body, status, headers)
    if isinstance(error, InvalidQueryError | InvalidConfigurationError | ExistsError | MediaTypeError):
        return PlainTextResponse(str(error), status, headers)
    return JSONResponse({"error": str(error)}, status, headers)


def _echoed(error: LineError) -> dict[str, Any]:
    """Describe a refused line as InfluxDB does, which cuts it to 20 bytes."""
    line = error.line.encode()[:_ECHO_BYTES].decode(errors="ignore")
    return {"original_line": line, "line_number": error.number, "error_message": error.message}


def _retention_of(retention_s: float | None) -> dict[str, str]:
    return {} if retention_s is None else {"retention_period": f"{retention_s:.12g}s"}


def _required(query: Mapping[str, Any], name: str) -> str:
    value = query.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(f"parameter {name!r} is missing")
    return value


def _one_of(query: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = query.get(name, default)
    if value not in choices:
        raise InvalidRequestError(f"parameter {name}={value[:40]!r}, expected one of {', '.join(choices)}")
    return value


async def _query_of(request: Request) -> Mapping[str, Any]:
    """Return db, q, format and params, from the URL or from a body that is JSON whatever its type says."""
    if request.method == "GET":
        return request.query_params
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > 2**20:
            raise TooLargeError("query of more than 1048576 bytes")
    return _object(body.decode(errors="replace"), "the body")


def _params_of(query: Mapping[str, Any]) -> dict[str, Any]:
    params = query.get("params") or {}
    return params if isinstance(params, dict) else _object(params, "parameter 'params'")


def _object(text: Any, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{what} is no JSON object")
    return value
