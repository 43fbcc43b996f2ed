"""Where a page ended, in a form that a client hands back and has no need to understand. Pure.

    base64url of JSON [version, digest of the question, start, end, time of the last row, its sensor]

The range stands in it because ``-24h`` would mean another one with each page; the digest because a cursor that is
given with another question would skip rows without a word.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from sensorflow.errors import FieldError, RejectedError
from sensorflow.kinds import SENSOR_ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LENGTH = 300
_VERSION = 1
_MAX_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """Times are nanoseconds since 1970."""

    start_ns: int
    end_ns: int
    time_ns: int
    sensor_id: str


def encode(cursor: Cursor, question: Sequence[object]) -> str:
    """As text for a URL; ``question`` is all that decides which rows there are, and in which order."""
    told = [_VERSION, _digest(question), cursor.start_ns, cursor.end_ns, cursor.time_ns, cursor.sensor_id]
    return urlsafe_b64encode(orjson.dumps(told)).rstrip(b"=").decode()


def decode(text: str, question: Sequence[object]) -> Cursor:
    """What :func:`encode` made for the same question.

    Raises:
        RejectedError: ``bad_query``: it is of another question, or not from here.
    """
    match _parsed(text):
        case [int(version), str(digest), int(start_ns), int(end_ns), int(time_ns), str(sensor_id)] if (
            version == _VERSION
            and all(abs(each) <= _MAX_NS for each in (start_ns, end_ns, time_ns))
            and re.fullmatch(SENSOR_ID_PATTERN, sensor_id)
        ):
            if digest != _digest(question):
                raise _bad("belongs to another question: only limit and format may change between two pages")
            return Cursor(start_ns, end_ns, time_ns, sensor_id)
    raise _bad(f"{text!r:.80} is not from here")


def _parsed(text: str) -> object:
    if len(text) > MAX_LENGTH or not text.isascii():
        return None
    try:
        return orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:  # binascii's and orjson's are both
        return None


def _digest(question: Sequence[object]) -> str:
    return hashlib.sha256(orjson.dumps(list(question))).hexdigest()[:16]


def _bad(detail: str) -> RejectedError:
    return RejectedError("bad_query", FieldError("cursor", detail))
