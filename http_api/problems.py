"""What went wrong, as HTTP says it: RFC 9457 problem details. The only place that turns an error into a status."""

from __future__ import annotations

import random
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from http_api.answers import line_response, wants_line
from sensorflow.errors import ForbiddenError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="SensorFlow"'

STATUSES = {  # as the documentation says it
    401: "No key, or a wrong one.",
    403: "The key is good, but not for this: the detail says what it lacks.",
    404: "Nothing there.",
    406: "`Accept` names no media type that there is here.",
    408: "The request took too long to come.",
    411: "No Content-Length, so that nobody knows where the body ends.",
    413: "The body is too large; the detail says the bound.",
    415: "The content type is none of those that are read here, or the body is packed.",
    422: "The request is not acceptable; `errors` names the fields.",
    429: "Too many requests: send it again after Retry-After seconds.",
    503: "Not now: send it again after Retry-After seconds.",
    505: "An export is sent in chunks, which HTTP/1.0 does not have.",
}
_DETAILS = {
    401: "no key, or a wrong one; send it as the header X-API-Key",
    404: "nothing here",
}


class Problem(Response):
    """Problem details, or one short line for who asks for plain text."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None, **more: Any) -> None:
        body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
        super().__init__(orjson.dumps(body), status, headers, MEDIA_TYPE)
        self._detail = detail

    def as_asked_for(self, accept: bytes) -> Response:
        """In the form that an ``Accept`` header wants."""
        if not wants_line(accept.decode("latin-1")):
            return self
        headers = {name: value for name, value in self.headers.items() if not name.startswith("content-")}
        return line_response(self.status_code, self._detail, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        answer = self.as_asked_for(dict(scope["headers"]).get(b"accept", b""))
        await (super().__call__ if answer is self else answer)(scope, receive, send)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Problem:
    """One problem; ``more`` are further members, such as ``errors``."""
    return Problem(status, detail, headers, **more)


def retry_after_s() -> str:
    """When to try again: boards that were refused together must not come back together."""
    return str(random.randint(1, 5))  # noqa: S311 - jitter, not a secret


def unauthorized() -> HTTPException:
    """No key, or not the right one."""
    return HTTPException(401, headers={"WWW-Authenticate": CHALLENGE})


async def _stated(_: Request, error: HTTPException) -> Response:
    is_stated = error.detail != HTTPStatus(error.status_code).phrase
    detail = error.detail if is_stated else _DETAILS.get(error.status_code, error.detail)
    return problem(error.status_code, detail, error.headers)


async def _not_allowed(request: Request, error: HTTPException) -> Response:
    allowed = (error.headers or {})["Allow"].split(", ")
    named = " or ".join(sorted(set(allowed) - {"HEAD"}))  # which comes with each GET
    return problem(405, f"{request.method} is not possible here, use {named}", error.headers)


async def _rejected(_: Request, error: RejectedError) -> Response:
    errors = [{"field": each.field, "detail": each.detail} for each in error.errors]
    return problem(422, str(error), reason=error.reason, errors=errors)


async def _forbidden(_: Request, error: ForbiddenError) -> Response:
    return problem(403, str(error))


async def _not_now(_: Request, error: TransientError) -> Response:
    return problem(503, str(error), {"Retry-After": retry_after_s()})


async def _hung_up(_: Request, __: ClientDisconnect) -> Response:
    return problem(400, "the client hung up before the end of its request")  # which it does not read either


async def _bug(_: Request, __: Exception) -> Response:
    return problem(500, "a fault of this server; its log says more")


HANDLERS: dict[Any, Any] = {  # Starlette's own type for it has no room for handlers of one exception
    HTTPException: _stated,
    405: _not_allowed,
    ForbiddenError: _forbidden,
    RejectedError: _rejected,
    TransientError: _not_now,
    ClientDisconnect: _hung_up,
    Exception: _bug,
}
