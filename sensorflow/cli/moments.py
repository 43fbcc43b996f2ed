"""Durations and times as a person writes them on the command line; microseconds inside, like the time of a reading."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)?", re.ASCII)
_UNITS_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_duration(text: str) -> int:
    """``1h``, ``30m``, ``15s``, ``250ms``, ``7d`` in microseconds; a number alone is seconds.

    Raises:
        ValueError: It is none of these, or zero.
    """
    match = _DURATION.fullmatch(text)
    if not match or not int(match[1]):
        raise ValueError(f"{text!r} is not a duration such as 1h, 30m, 15s, 250ms or 7d")
    return int(match[1]) * _UNITS_US[match[2] or "s"]


def spaced_us(row: int, *, of: int, every_us: int, until_us: int) -> int:
    """When row ``row`` (from 0) of ``of`` equally spaced rows was taken, if the last one was taken at ``until_us``."""
    return until_us - (of - 1 - row) * every_us


def rfc3339(time_us: int) -> str:
    """``2025-08-16T15:30:45.123456Z``: unlike a number, never to be taken for another unit.

    Raises:
        OverflowError: A year outside of 1 to 9999.
    """
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
