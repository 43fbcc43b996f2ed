"""The HTTP API: its routes, and what each does with a request."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from http_api import openapi, problems
from http_api.body import read_json
from sensorflow import reading
from sensorflow.errors import FieldError, RejectedError, TransientError
from sensorflow.kinds import SENSOR_ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from zoneinfo import ZoneInfo

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from http_api.auth import Key
    from http_api.ingest import Ingest
    from http_api.newest import NewestReadings
    from sensorflow.kinds import Kind, Kinds

    Endpoint = Callable[[Request], Awaitable[Response]]

_PING = {"status": "ok", "message": "SensorFlow API is running"}


class _AnyText(StringConvertor):
    """Every text, slashes and line ends too: a bad sensor id shall be told apart from a wrong path."""

    regex = "(?s:.*)"


register_url_convertor("any_text", _AnyText())


def build(
    *,
    kinds: Kinds,
    key: Key,
    ingest: Ingest,
    newest: NewestReadings,
    health_report: Callable[[], dict[str, Any]],
    version: str,
    zone: ZoneInfo,
    gateway: Sequence[BaseRoute],
) -> Starlette:
    """The application; ``gateway`` is the WebSocket's routes."""
    app = Starlette(
        routes=[
            *(Route(f"/api/v1/{kind.kind}", _post(kind, key, ingest), methods=["POST"]) for kind in kinds.values()),
            Route("/api/v1/sensor/{sensor_id:any_text}/latest", _latest(kinds, key, newest, zone)),
            Route("/api/v1/health", _health(health_report)),
            Route("/api/v1/ping", _always(_PING)),
            Route("/openapi.json", _always(openapi.document(kinds, version))),
            *gateway,
        ],
        exception_handlers=problems.HANDLERS | {404: _not_found(kinds)},
    )
    app.router.redirect_slashes = False  # boards do not follow redirects
    return app


def _post(kind: type[Kind], key: Key, ingest: Ingest) -> Endpoint:
    async def post(request: Request) -> Response:
        _authorize(request, key)
        try:
            accepted = await ingest.accept(kind, await read_json(request), _client_ip(request))
        except asyncio.CancelledError:  # not passed on: only the stop cancels a request, and the client wants an answer
            raise TransientError("the server stops before the reading is safe") from None
        return _json(accepted.record, 201 if accepted.is_durable else 202)

    return post


def _latest(kinds: Kinds, key: Key, newest: NewestReadings, zone: ZoneInfo) -> Endpoint:
    default = next(iter(kinds))

    async def latest(request: Request) -> Response:
        _authorize(request, key)
        sensor_id = request.path_params["sensor_id"]
        if not re.fullmatch(SENSOR_ID_PATTERN, sensor_id):
            raise RejectedError(
                "bad_reading", FieldError("sensor_id", f"{sensor_id!r:.80} does not match {SENSOR_ID_PATTERN}")
            )
        name = request.query_params.get("kind", default)
        if name not in kinds:
            raise RejectedError("bad_topic", FieldError("kind", f"{name!r:.80} is none of {', '.join(kinds)}"))
        found = await newest.find(kinds[name], sensor_id)
        if found is None:
            raise HTTPException(404, f"no {name} of {sensor_id} so far")
        return _json(reading.record(name, sensor_id, found.time_us, dict(found.values), found.client_ip, zone))

    return latest


def _health(report: Callable[[], dict[str, Any]]) -> Endpoint:
    async def get_health(_: Request) -> Response:
        answer = report()
        return _json(answer, 503 if answer["status"] == "unhealthy" else 200)

    return get_health


def _always(answer: dict[str, Any]) -> Endpoint:
    body = orjson.dumps(answer)

    async def get(_: Request) -> Response:
        return Response(body, media_type="application/json")

    return get


def _not_found(kinds: Kinds) -> Callable[[Request, HTTPException], Awaitable[Response]]:
    async def not_found(request: Request, error: HTTPException) -> Response:
        if error.detail != "Not Found":
            return problems.problem(404, error.detail)
        path = request.url.path
        return problems.problem(404, f"nothing at {path!r:.120}; readings go to /api/v1/ and one of {', '.join(kinds)}")

    return not_found


def _authorize(request: Request, key: Key) -> None:
    if not key.opens(request):
        raise problems.unauthorized()


def _client_ip(request: Request) -> str:
    # On a socket for both families an IPv4 peer comes as ::ffff:192.0.2.1.
    return request.client.host.removeprefix("::ffff:") if request.client else ""


def _json(answer: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(answer), status, media_type="application/json")
