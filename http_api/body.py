"""A request's body, of the one type that there is. How large it may be and how long it may take: http_api/edge.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request


# Some boards' libraries send the latter two with any body, unasked. Here they can do no harm: a foreign page that posts
# a form brings no key.
_PASS_FOR_JSON = ("application/json", "application/x-www-form-urlencoded", "text/plain", "")


async def read_json(request: Request) -> bytes:
    """The body, not yet parsed. A missing content type passes for JSON: small boards forget it.

    Raises:
        HTTPException: 415.
    """
    media_type = request.headers.get("content-type", "application/json")
    if media_type.partition(";")[0].strip().lower() not in _PASS_FOR_JSON:
        raise HTTPException(415, f"content type {media_type!r:.100}, must be application/json")
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":  # nothing is unpacked here, so nothing can be larger than it came
        raise HTTPException(415, f"content encoding {coding!r:.100}, must be none", {"Accept-Encoding": "identity"})
    return await request.body()
