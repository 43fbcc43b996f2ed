"""A reading that was accepted, and the three ways it is written: a line, a WebSocket frame, an HTTP record.

Pure: no I/O, and no clock but the one passed in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from sensorflow.errors import FieldError, RejectedError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Value = float | bool | str

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLIENT_IP = re.compile(r'(.*),client_ip="([0-9A-Fa-f:.]+)"')
_MAX_EPOCH = 2**63  # ns, until the year 2262
_FIELD = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)=("(?:[^"\\]|\\.)*"|[^,]+)')


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """How far from now a device's time may be, in seconds."""

    past_s: float = 400 * 86400
    future_s: float = 600

    def check(self, time_us: int, now_us: int) -> None:
        """Let a time pass that is inside the window.

        Raises:
            RejectedError: ``bad_time``.
        """
        offset_s = (time_us - now_us) / 1e6
        if not -self.past_s <= offset_s <= self.future_s:
            distance = f"{_span(-offset_s)} ago" if offset_s < 0 else f"{_span(offset_s)} ahead"
            bounds = f"at most {_span(self.past_s)} back and {_span(self.future_s)} ahead"
            raise _bad_time(f"{_shown(time_us)} is {distance}, {bounds}")


def parse_time(value: float | str) -> int:
    """A device's time in microseconds since 1970: RFC 3339 with an offset, or an epoch in s, ms, us or ns.

    The unit is told by magnitude with InfluxDB's own thresholds (5e9 s, 5e12 ms, 5e15 us).

    Raises:
        RejectedError: ``bad_time``.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise _bad_time(f"{value!r:.80} is not RFC 3339") from None
        if moment.tzinfo is None:
            raise _bad_time(f"{value!r:.80} has no offset; end it with Z or +hh:mm")
        return (moment - _EPOCH) // timedelta(microseconds=1)
    size = abs(value)
    if not size < _MAX_EPOCH:  # nor is NaN
        raise _bad_time(f"{value!r:.80} is not below 2**63 ns since 1970")
    for threshold, to_us in ((5e9, 1_000_000), (5e12, 1_000), (5e15, 1)):
        if size < threshold:
            return round(value * to_us)
    return int(value) // 1_000


def _bad_time(detail: str) -> RejectedError:
    return RejectedError("bad_time", FieldError("time", detail))


def _span(seconds: float) -> str:
    return f"{seconds / 86400:.0f} days" if seconds >= 2 * 86400 else f"{seconds:.0f} s"


def _shown(time_us: int) -> str:
    try:
        return timestamp(time_us)
    except OverflowError:  # beyond the years 1 to 9999
        return f"{time_us / 1e6:.0f} s since 1970"


def timestamp(time_us: int) -> str:
    """``2025-08-16T15:30:45.123Z``."""
    return f"{_second(time_us // 1_000_000)}.{time_us // 1000 % 1000:03d}Z"


# Most readings of a moment share their second, and strftime costs more than all else of a frame.
@lru_cache(maxsize=1024)
def _second(since_epoch_s: int) -> str:
    return (_EPOCH + timedelta(seconds=since_epoch_s)).strftime("%Y-%m-%dT%H:%M:%S")


def fields_text(values: dict[str, Value]) -> str:
    """The values as line protocol fields: numbers as floats, so that a column never changes its type."""
    return ",".join([f"{name}={_field(value)}" for name, value in values.items()])


def _field(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(float(value))


def series(table: str, sensor_id: str) -> str:
    """The part of a line that names where it belongs. Neither part has a character that needs escaping."""
    return f"{table},sensor_id={sensor_id}"


def line(series_text: str, fields: str, time_us: int, client_ip: str | None) -> str:
    """One line of line protocol, in microseconds: ``table,sensor_id=S a=1.0,client_ip="…" time``."""
    origin = f',client_ip="{client_ip}"' if client_ip else ""
    return f"{series_text} {fields}{origin} {time_us}"


def split_line(text: str) -> tuple[str, str, int, str | None]:
    """What :func:`line` was made of: series, fields, time, client_ip. For lines that it made and no others."""
    series_text, _, rest = text.partition(" ")
    fields, _, time_us = rest.rpartition(" ")
    # Only line() adds this: in a quoted string, the quote before an address would be escaped or be the closing one.
    if ",client_ip=" in fields and (found := _CLIENT_IP.fullmatch(fields)):
        return series_text, found[1], int(time_us), found[2]
    return series_text, fields, int(time_us), None


def parse_fields(fields: str) -> dict[str, Value]:
    """What :func:`fields_text` was made of. For texts that it made and no others."""
    return {name: _value(text) for name, text in _FIELD.findall(fields)}


def _value(text: str) -> Value:
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text == "true" if text in ("true", "false") else float(text)


def frame(kind: str, sensor_id: str, time_us: int, values: dict[str, Value]) -> bytes:
    """The WebSocket message: the keys that existing clients know first. Never holds a newline."""
    message: dict[str, Any] = dict(values)
    message["sensor_id"] = sensor_id
    message["timestamp"] = timestamp(time_us)
    message["kind"] = kind
    message["id"] = time_us
    return orjson.dumps(message)


def record(
    kind: str, sensor_id: str, time_us: int, values: dict[str, Value], client_ip: str | None, zone: ZoneInfo
) -> dict[str, Any]:
    """The HTTP answer: the keys that existing firmware knows first; date and time in the site's zone."""
    local = (_EPOCH + timedelta(microseconds=time_us)).astimezone(zone)
    return {
        "id": time_us,
        **values,
        "date_recorded": f"{local:%Y-%m-%d}",
        "time_recorded": f"{local:%H:%M:%S}",
        "sensor_id": sensor_id,
        "client_ip": client_ip,
        "kind": kind,
        "timestamp": timestamp(time_us),
    }
