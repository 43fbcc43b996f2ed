"""``/docs``, ``/redoc`` and ``/asyncapi``: documentation in the browser; and ``/asyncapi.json``, which the last shows.

Nothing of it comes from another machine: the pages' libraries are served from here, and the browser is told to take
nothing from anywhere else.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount

from http_api import asyncapi
from http_api.operation import Answer, Operation, json_content
from http_api.static_files import LIBRARIES, SCRIPTS, StaticFiles

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from http_api.operation import Endpoint
    from sensorflow.kinds import Kinds

PAGES = Path(__file__).parents[1] / "pages"
# No inline scripts; inline styles, because both libraries write theirs into the page as they run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MISSING = "the browser libraries are not installed here: run `make web`, and start again"

_SUMMARIES = {
    "docs": "This document, to read and to try out (Swagger UI).",
    "redoc": "This document, to read (Redoc).",
    "asyncapi": "The MQTT topics and the WebSocket messages, to read.",
}


def operations(kinds: Kinds, version: str, files: StaticFiles) -> list[Operation]:
    """All of them; nobody needs a key to read."""
    return [_document(kinds, version), *(_page(name, summary, files) for name, summary in _SUMMARIES.items())]


def static_files(*directories: Path) -> StaticFiles:
    """What the pages load; of the installed package, where no directories are given."""
    return StaticFiles(*(directories or (SCRIPTS, LIBRARIES)))


def routes(files: StaticFiles) -> list[BaseRoute]:
    """The files' own, which are no part of the API."""
    return [Mount("/static", files)]


def _document(kinds: Kinds, version: str) -> Operation:
    body = orjson.dumps(asyncapi.document(kinds, version))

    async def get_document(_: Request) -> Response:
        return Response(body, media_type="application/json")

    return Operation(
        method="GET",
        path="/asyncapi.json",
        serve=get_document,
        tag="documentation",
        summary="The MQTT topics and the WebSocket messages.",
        answers={200: Answer("AsyncAPI 3.0.", json_content({"type": "object"}, example={"asyncapi": "3.0.0"}))},
    )


def _page(name: str, summary: str, files: StaticFiles) -> Operation:
    return Operation(
        method="GET",
        path=f"/{name}",
        serve=_serve((PAGES / f"{name}.html").read_text(), files),
        tag="documentation",
        summary=summary,
        answers={200: Answer("The page.", {"text/html": {"schema": {"type": "string"}, "example": "<!DOCTYPE html>"}})},
        problems=(404,),
    )


def _serve(html: str, files: StaticFiles) -> Endpoint:
    names = re.findall(r'"static/([^"]+)"', html)
    for name in names:
        html = html.replace(f'"static/{name}"', f'"static/{name}?v={files.digest(name)}"')
    is_missing = None in map(files.digest, names)

    async def serve(_: Request) -> Response:
        if is_missing:
            raise HTTPException(404, MISSING)
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"})

    return serve
