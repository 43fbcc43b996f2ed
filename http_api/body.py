"""A request's body, within limits that hold before memory is spent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY_BYTES = 65_536
BODY_TIMEOUT_S = 10.0


async def read_json(request: Request) -> bytes:
    """The body, not yet parsed. A missing content type passes for JSON: small boards forget it.

    Raises:
        HTTPException: 408, 413 or 415.
    """
    media_type = request.headers.get("content-type", "application/json")
    if media_type.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, f"content type {media_type!r:.100}, must be application/json")
    declared = request.headers.get("content-length", "0")
    # The parser lets nothing but digits through; the length comes first because int() of very many is slow.
    if len(declared) > 10 or int(declared) > MAX_BODY_BYTES:
        raise HTTPException(413, f"body of {declared:.30} bytes, at most {MAX_BODY_BYTES}")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read(request)
    except TimeoutError:
        raise HTTPException(408, f"no complete body within {BODY_TIMEOUT_S:g} s") from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"body of more than {MAX_BODY_BYTES} bytes")
    return bytes(body)
