r"""Readings in InfluxDB's line protocol, as the members that they would have in JSON. Pure: no I/O, no clock.

    measurement,sensor_id=S[,tag=value…] field=value[,field=value…][ timestamp]

The measurement is a kind or its table. A tag beside ``sensor_id`` is a text field of telemetry, where any field is
allowed; any other kind has no place for it. Not taken from the grammar: line ends within a quoted string.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, get_args

from sensorflow import reading
from sensorflow.errors import FieldError, RejectedError
from sensorflow.kinds import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sensorflow.kinds import Kind, Kinds

Precision = Literal["ns", "us", "ms", "s", "auto"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

_EXAMPLE = "measurement,sensor_id=S field=value timestamp"
_NAME = r"(?:[^\\,= \t]++|\\.)++"
_TAG = rf",{_NAME}=(?:[^\\, \t]++|\\.)++"
_FIELD = rf'{_NAME}=(?:"(?:[^"\\]++|\\.)*+"|[^, \t"]++)'
_LINE = re.compile(rf"((?:[^\\, \t]++|\\.)++)((?:{_TAG})*+) ++({_FIELD}(?:,{_FIELD})*+)(?: ++(-?[0-9]{{1,20}}))? *+")
_TAGS = re.compile(rf",({_NAME})=((?:[^\\, \t]++|\\.)++)")
_FIELDS = re.compile(rf'({_NAME})=("(?:[^"\\]++|\\.)*+"|[^, \t"]++)')
_ESCAPED = re.compile(r"\\([,= \\])")
_ESCAPED_IN_QUOTES = re.compile(r'\\(["\\])')
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[iu]?")
_BOOLEANS = dict.fromkeys(("t", "T", "true", "True", "TRUE"), True) | dict.fromkeys(
    ("f", "F", "false", "False", "FALSE"), False
)
_NOT_FIELDS = frozenset({"kind", "sensor_id", "time"})  # of a reading in JSON; here they have places of their own
# Below it microseconds would pass for milliseconds, see sensorflow.reading.parse_time.
_FIRST_US = 5_000_000_000_000
MAX_LINE_BYTES = 60_000  # a reading goes into one message to the bridge


def elements(body: bytes, kinds: Kinds, precision: Precision) -> Iterator[object]:
    """The reading of each line, or why it is none; blank lines and comments do not count."""
    by_measurement = {kind.table: kind for kind in kinds.values()} | dict(kinds)
    for raw in body.split(b"\n"):
        line = raw.strip()
        if line and not line.startswith(b"#"):
            try:
                yield _element(line, by_measurement, precision)
            except RejectedError as error:
                yield error


def _element(raw: bytes, by_measurement: Kinds, precision: Precision) -> dict[str, Any]:
    if len(raw) > MAX_LINE_BYTES:
        raise RejectedError("too_large", FieldError("", f"line of {len(raw)} bytes, at most {MAX_LINE_BYTES}"))
    try:
        found = _LINE.fullmatch(raw.decode())
    except UnicodeDecodeError as error:
        raise _bad_line("", f"not UTF-8: {error.reason} at byte {error.start} of the line") from None
    if found is None:
        raise _bad_line("", f"{raw.decode()!r:.80} is not of the form {_EXAMPLE}")
    measurement, tags, fields, time = found.groups()
    name = _unescaped(measurement)
    kind = by_measurement.get(name)
    if kind is None:
        known = ", ".join(sorted(by_measurement))
        raise RejectedError("unknown_kind", FieldError("kind", f"measurement {name!r:.80}, known are {known}"))
    element: dict[str, Any] = {"kind": kind.kind}
    for tag, value in _TAGS.findall(tags):
        _put_tag(element, kind, _unescaped(tag), _unescaped(value))
    for field, value in _FIELDS.findall(fields):
        _put_field(element, _unescaped(field), value)
    if time is not None:
        element["time"] = _time(int(time), precision)
    return element


def _put_tag(element: dict[str, Any], kind: type[Kind], name: str, value: str) -> None:
    if name != "sensor_id" and not issubclass(kind, Telemetry):
        raise _bad_line(name, f"{kind.kind} has no tag but sensor_id; only telemetry takes others, as text fields")
    if name in element or name in _NOT_FIELDS - {"sensor_id"}:
        raise _bad_line(name, "a tag of this name is not possible, or given more than once")
    element[name] = value


def _put_field(element: dict[str, Any], name: str, text: str) -> None:
    if name in element or name in _NOT_FIELDS:
        raise _bad_line(name, "a field of this name is not possible, or given more than once")
    element[name] = _value(name, text)


def _value(name: str, text: str) -> float | bool | str:
    """Numbers are floats, however they are written, as all numbers are stored."""
    if text.startswith('"'):
        return _ESCAPED_IN_QUOTES.sub(r"\1", text[1:-1])
    if _NUMBER.fullmatch(text):
        return float(text.rstrip("iu"))
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    raise _bad_line(name, f'{text!r:.80} is no number, boolean or "text"')


def _time(stamp: int, precision: Precision) -> int | str:
    if precision == "auto":
        return stamp
    time_us = stamp // 1000 if precision == "ns" else stamp * {"us": 1, "ms": 1000, "s": 1_000_000}[precision]
    if _FIRST_US <= time_us < 1000 * _FIRST_US:
        return time_us
    try:
        return reading.timestamp(time_us)
    except OverflowError:
        raise RejectedError(
            "bad_time", FieldError("time", f"{stamp} {precision} is beyond the years 1 to 9999")
        ) from None


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _bad_line(field: str, detail: str) -> RejectedError:
    return RejectedError("bad_line", FieldError(field[:64], detail))
