"""Write bodies: received, unzipped and decoded within bounds that hold before the memory is taken."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from store.errors import BusyError, InvalidRequestError, TooLargeError

MAX_BODY_BYTES = 10 * 2**20
"""InfluxDB 3 Core's limit, on the wire and unzipped."""

RECEIVE_TIMEOUT_S = 30
"""A body that takes longer is given up: a slow client may not keep its share of the budget."""

_GZIP = 16 + zlib.MAX_WBITS


@dataclass(slots=True)
class Budget:
    """Bytes of bodies that may be held at once, in all requests together."""

    limit: int
    used: int = 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Open a share for one request; what it took is given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self.used -= share.used


@dataclass(slots=True)
class Share:
    budget: Budget
    used: int = 0

    def take(self, size: int) -> None:
        """Take ``size`` bytes more.

        Raises:
            BusyError: The budget is used up.
        """
        if self.budget.used + size > self.budget.limit:
            raise BusyError(f"{self.budget.used} bytes of writes are under way, at most {self.budget.limit}")
        self.budget.used += size
        self.used += size


async def received(chunks: AsyncIterator[bytes], encoding: str, share: Share) -> str:
    """Receive a body and return its text. The bytes it holds are taken from ``share``.

    Raises:
        BusyError: The budget is used up.
        InvalidRequestError: Neither plain nor gzip, or not UTF-8, or too slow.
        TooLargeError: More than ``MAX_BODY_BYTES``, zipped or unzipped.
    """
    try:
        async with asyncio.timeout(RECEIVE_TIMEOUT_S):
            body = await _joined(chunks, share)
    except TimeoutError:
        raise InvalidRequestError(f"the body did not arrive within {RECEIVE_TIMEOUT_S} s") from None
    if encoding == "gzip":
        body = await asyncio.to_thread(_unzipped, body)
        share.take(len(body))
    elif encoding not in {"", "identity"}:
        raise InvalidRequestError(f"content-encoding {encoding[:40]!r} is not supported, only gzip and identity")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the body is not UTF-8, at byte {error.start}") from None


async def _joined(chunks: AsyncIterator[bytes], share: Share) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        if len(body) + len(chunk) > MAX_BODY_BYTES:
            raise TooLargeError(f"body of more than {MAX_BODY_BYTES} bytes")
        share.take(len(chunk))
        body += chunk
    return bytes(body)


def _unzipped(body: bytes) -> bytes:
    """Unzip one or several gzip members. Never makes more than a byte too much."""
    result = b""
    while body:
        member = zlib.decompressobj(_GZIP)
        try:
            result += member.decompress(body, MAX_BODY_BYTES + 1 - len(result))
        except zlib.error:
            raise InvalidRequestError("the body is not gzip") from None
        if len(result) > MAX_BODY_BYTES:
            raise TooLargeError(f"body of more than {MAX_BODY_BYTES} bytes unzipped")
        if not member.eof:
            raise InvalidRequestError("the gzip body is cut off")
        body = member.unused_data
    return result
