"""Times and spans as a URL says them. Pure; now is an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sensorflow import reading
from sensorflow.errors import FieldError, RejectedError

MIN_EVERY_S, MAX_EVERY_S = 1, 366 * 86_400
SPAN_PATTERN = r"^[0-9]{1,9}[smhdw]$"

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"([0-9]{1,9})([smhdw])")
_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{1,9})?")
_EATEN_PLUS = re.compile(r"(T[0-9:.,]+) ([0-9:]+)")
# What InfluxDB can hold, to the second: 64 bits of nanoseconds.
_MIN_US, _MAX_US = -9_223_372_036_000_000, 9_223_372_036_000_000


def moment_ns(field: str, text: str, now_us: int) -> int:
    """Nanoseconds since 1970: ``now``, ``-24h``, RFC 3339, or an epoch in s, ms, us or ns told apart by magnitude.

    Raises:
        RejectedError: ``bad_query``: names ``field``.
    """
    if text == "now":
        return now_us * 1000
    if text.startswith(("-", "now-")):
        ago_us = _span_s(field, text.removeprefix("now")[1:]) * 1_000_000
        return _checked_us(field, text, now_us - ago_us) * 1000
    try:
        time_us = reading.parse_time(_number(text) if _NUMBER.fullmatch(text) else _EATEN_PLUS.sub(r"\1+\2", text))
    except RejectedError as error:
        raise _bad(field, f"{error.errors[0].detail}; as good are -24h, now, and an epoch") from None
    return _checked_us(field, text, time_us) * 1000


def span_s(field: str, text: str, *, least: int, most: int) -> int:
    """Seconds: ``90s``, ``5m``, ``1h``, ``7d`` or ``2w``.

    Raises:
        RejectedError: ``bad_query``: names ``field``.
    """
    seconds = _span_s(field, text)
    if not least <= seconds <= most:
        raise _bad(field, f"{text!r} is {seconds} s, at least {least} and at most {most}")
    return seconds


def rfc3339(time_ns: int) -> str:
    """With nine decimals, as a parameter of a query: no store takes it for another instant."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def _span_s(field: str, text: str) -> int:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise _bad(field, f"{text!r:.80} is no span such as 90s, 5m, 1h, 7d or 2w")
    return int(found[1]) * _UNITS_S[found[2]]


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def _checked_us(field: str, text: str, time_us: int) -> int:
    if not _MIN_US <= time_us <= _MAX_US:
        raise _bad(field, f"{text!r:.80} is outside of the years 1678 to 2262")
    return time_us


def _bad(field: str, detail: str) -> RejectedError:
    return RejectedError("bad_query", FieldError(field, detail))
