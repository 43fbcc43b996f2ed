"""``Idempotency-Key``: by what the bridge knows that a request has come before (bridge/idempotency.py).

The bridge is told a digest with a secret in it, so that nobody but http_api can make one: a device could else use up a
board's keys before the board does. The secret is http_api's password at the broker, which outlives restarts and is the
same for all http_api of one installation; once it is changed, what came before is not known any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from sensorflow.errors import FieldError, RejectedError

if TYPE_CHECKING:
    from starlette.requests import Request

HEADER = "Idempotency-Key"
PROPERTY = "idempotency"
PATTERN = r"^[!-~]([ -~]{0,253}[!-~])?$"  # 1 to 255 printable characters; HTTP takes away spaces at the ends
HEADERS = {
    HEADER: {
        "type": "string",
        "pattern": PATTERN,
        "description": "A name for this request. Sent again under it, also after hours and without times, it is stored "
        "once and gets the same answer; another request under it gets 422 `idempotency_mismatch`. Each API key has "
        "names of its own; for single readings each sensor, too.",
        "examples": ["sensor_001-boot17-42"],
    }
}
"""As the documentation says it."""

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What a client calls its request; ``owner`` is the name of its API key, so that clients have keys of their own."""

    owner: str
    key: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What the messages of one request carry."""

    request: str
    content: str

    def of(self, number: int) -> tuple[str, str]:
        """As the user property of its n-th message."""
        return PROPERTY, f"{self.request}.{self.content}.{number:x}"


def request_key(request: Request) -> RequestKey | None:
    """What the request says that it is called.

    Raises:
        RejectedError: ``bad_header``.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not re.fullmatch(PATTERN, key):
        raise RejectedError("bad_header", FieldError(HEADER, f"{key!r:.80}, must be 1 to 255 printable characters"))
    return RequestKey(getattr(request.state, "key", ""), key)


class Marks:
    """Makes the marks of requests.

    Args:
        secret: Known to every http_api of the installation, and to no device.
    """

    def __init__(self, secret: str) -> None:
        self._secret = blake2b(secret.encode(), person=b"idempotency").digest()

    def mark(self, key: RequestKey, place: str, content: bytes) -> Mark:
        """For a request that brings this content to this place: boards that share an API key may use equal keys."""
        parts = [part.encode() for part in (key.owner, key.key, place)]
        told = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
        return Mark(
            request=blake2b(told, digest_size=_DIGEST_BYTES, key=self._secret).hexdigest(),
            content=blake2b(content, digest_size=_DIGEST_BYTES).hexdigest(),
        )
