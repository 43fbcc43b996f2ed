"""What several endpoints need of a request, and for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

# Of a short answer, its line end included: with the NUL of a C string it fits into the 64 bytes that a board has.
MAX_LINE_BYTES = 63
# What the validator says takes half of that; here it has to be told in less.
_SHORTER = {
    "Input should be less than or equal to ": "at most ",
    "Input should be greater than or equal to ": "at least ",
    "Input should be ": "must be ",
}

LINE_CONTENT = {
    "text/plain": {
        "schema": {"type": "string", "maxLength": MAX_LINE_BYTES},
        "example": "422 humidity: Field required\n",
    }
}


def client_ip(request: Request) -> str:
    """Who sent it."""
    # On a socket for both families an IPv4 peer comes as ::ffff:192.0.2.1.
    return request.client.host.removeprefix("::ffff:") if request.client else ""


def json_response(answer: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(answer), status, media_type="application/json")


def line_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """The short answer, for who :func:`wants_line`: ``201 1755354645123456`` and a line end."""
    return Response(line(status, text), status, headers, "text/plain")


def line(status: int, text: str) -> bytes:
    """One line of at most ``MAX_LINE_BYTES``; what is longer is cut, between two characters."""
    for long, short in _SHORTER.items():
        text = text.replace(long, short)
    printable = "".join(character if character.isprintable() else " " for character in text)
    cut = f"{status} {printable}".encode(errors="replace")[: MAX_LINE_BYTES - 1]
    return cut.decode(errors="ignore").encode() + b"\n"


def wants_line(accept: str) -> bool:
    """Whether an ``Accept`` header asks for plain text first; programs that take anything get JSON."""
    return accept.partition(",")[0].partition(";")[0].strip().lower() == "text/plain"
