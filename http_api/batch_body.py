"""A batch's body: read within bounds, unpacked, and taken apart into readings."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from http_api.edge import MAX_BATCH_BYTES
from sensorflow import kinds
from sensorflow.errors import FieldError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.requests import Request

# For the bodies of all batches that are in work: eight of the largest. What is made of a body takes some ten times as
# much, so only one is taken apart at a time (http_api/batches.py).
MAX_IN_WORK_BYTES = 8 * MAX_BATCH_BYTES
_LEAST_BYTES = 65_536  # that a connection may hold anyway
_GZIP = 16 + zlib.MAX_WBITS


class Room:
    """Memory for bodies; a batch for which there is none is refused before a byte of it is read."""

    def __init__(self, most_bytes: int = MAX_IN_WORK_BYTES) -> None:
        self._most_bytes = most_bytes
        self._used_bytes = 0

    @contextmanager
    def reserved(self, request: Request) -> Iterator[Callable[[int], None]]:
        """Keep as much as the body will take at most, until the batch is answered; to be called with what it took.

        Raises:
            TransientError: Too much is in work.
        """
        size = _most_bytes(request)
        if self._used_bytes + size > self._most_bytes:
            raise TransientError(
                f"batches of {self._used_bytes} bytes are in work, with this one of up to {size} it would be more than "
                f"{self._most_bytes}"
            )
        kept = [size]
        self._used_bytes += size

        def shrink(size: int) -> None:
            self._used_bytes -= kept[0] - size
            kept[0] = size

        try:
            yield shrink
        finally:
            shrink(0)


async def read(request: Request, media_types: Sequence[str]) -> bytes:
    """The body, unpacked.

    Raises:
        HTTPException: 415: of another type; 413: larger than ``MAX_BATCH_BYTES``.
        RejectedError: ``bad_body``: it is not the gzip that it is said to be.
    """
    if media_type(request) not in (*media_types, ""):
        stated = request.headers["content-type"]
        raise HTTPException(415, f"content type {stated!r:.100}, must be {' or '.join(media_types[:2])}")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        detail = f"content encoding {coding!r:.100}, must be gzip or none"
        raise HTTPException(415, detail, {"Accept-Encoding": "gzip, identity"})
    unpacker = _Unpacker() if coding == "gzip" else None
    body = bytearray()
    async for piece in request.stream():
        body += unpacker.unpack(piece, MAX_BATCH_BYTES + 1 - len(body)) if unpacker else piece
        if len(body) > MAX_BATCH_BYTES:
            raise HTTPException(413, f"batch of more than {MAX_BATCH_BYTES} bytes{' unpacked' if unpacker else ''}")
    if unpacker:
        unpacker.check_end()
    return bytes(body)


def media_type(request: Request) -> str:
    """What the request says that its body is, without parameters; empty where it does not."""
    stated: str = request.headers.get("content-type", "")
    return stated.partition(";")[0].strip().lower()


def of_json(body: bytes) -> list[object]:
    """The readings of a JSON array, or of one object.

    Raises:
        RejectedError: There are none to tell apart.
    """
    if body.lstrip().startswith(b"["):
        return kinds.parse_array(body)
    if not body.strip():
        raise RejectedError("bad_json", FieldError("", "the body is empty"))
    return [kinds.parse_value(body)]


def of_ndjson(body: bytes) -> Iterator[object]:
    """The reading of each line that is not blank, or why it is none."""
    for line in body.split(b"\n"):
        if line.strip():
            try:
                yield kinds.parse_value(line)
            except RejectedError as error:
                yield error


def _most_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    if not declared or request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        return MAX_BATCH_BYTES
    return max(int(declared), _LEAST_BYTES)  # the edge has looked at it


class _Unpacker:
    """One gzip member, as it comes in; never more of it in memory than was asked for."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(_GZIP)

    def unpack(self, piece: bytes, most_bytes: int) -> bytes:
        """At most so many bytes; where there would be more, exactly so many.

        Raises:
            RejectedError: ``bad_body``.
        """
        try:
            unpacked = self._inflater.decompress(piece, most_bytes)
        except zlib.error as error:
            raise _bad_gzip(str(error)) from None
        if self._inflater.unused_data:
            raise _bad_gzip("something follows its end; one gzip member is read")
        return unpacked

    def check_end(self) -> None:
        """Whether all of it has come.

        Raises:
            RejectedError: ``bad_body``.
        """
        if not self._inflater.eof:
            raise _bad_gzip("it ends too early")


def _bad_gzip(why: str) -> RejectedError:
    return RejectedError("bad_body", FieldError("", f"the body is said to be gzip and is not: {why}"))
