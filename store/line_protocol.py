r"""Line protocol: text in, columns out. Pure: no I/O, no clock, no schema.

The grammar and the words of its errors are InfluxDB 3 Core's (read off 3.10):

    measurement[,tag=value…] field=value[,field=value…][ timestamp]

* ``\,`` ``\ `` and ``\\`` are undone in every name and tag value, ``\=`` in all but the measurement; in a quoted
  string ``\"`` and ``\\`` are. Any other backslash stands for itself. A newline inside a quoted string belongs to it.
* Lines are numbered from 1 among those that count: blank lines and comments do not.

Two ways lead through a body. A general parser takes a line of any kind to pieces, and tells its *shape*: names and
kinds, in their order. Further lines of a shape are read by one regular expression made for it, which matches less than
the grammar allows (no backslashes, no numbers that could overflow) but nothing else: what it refuses, the general
parser reads. On two cores, 2026: about 600,000 four-field lines a second by shape, 60,000 by the general parser.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

TYPE_CONFLICT = "invalid column type for column '{}', expected iox::column_type::{}, got iox::column_type::{}"

MAX_TIME_US = (2**63 - 1) // 1000
"""InfluxDB's times are 64-bit nanoseconds (1677 to 2262), and so are they on our wire."""

_REMEMBERED_SHAPES = 8
"""Shapes tried on a line before the general parser is; a body seldom mixes more."""


class Kind(Enum):
    """What a column holds. The value is InfluxDB's name for it in type conflicts."""

    TAG = "tag"
    FLOAT = "field::float"
    INTEGER = "field::integer"
    UNSIGNED = "field::uinteger"
    BOOLEAN = "field::boolean"
    STRING = "field::string"
    TIME = "timestamp"


@dataclass(frozen=True, slots=True)
class LineError:
    number: int
    message: str
    line: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What lines that differ only in values have in common."""

    table: str
    tags: tuple[str, ...]
    fields: tuple[tuple[str, Kind], ...]


@dataclass(slots=True)
class Rows:
    """The lines of one shape, in columns, in the shape's order. ``times`` are µs since 1970."""

    shape: Shape
    numbers: list[int] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    fields: list[list[float | int | bool | str]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Parsed:
    """One body. ``rows`` are ordered by the first line of each shape; a shape may come in several."""

    text: str
    starts: list[int]
    rows: list[Rows]
    errors: list[LineError]

    def error(self, number: int, message: str) -> LineError:
        """Lay ``message`` at the door of line ``number``."""
        return LineError(number, message, self.text[self.starts[number - 1] :].partition("\n")[0].removesuffix("\r"))


def parse(text: str, *, precision: str, now_us: int) -> Parsed:
    """Parse a body whose timestamps are in ``precision`` (a key of ``PRECISIONS``).

    A line without a timestamp gets ``now_us``, truncated to the precision. Nanoseconds are cut to microseconds.
    """
    to_us, default_us = PRECISIONS[precision], now_us - now_us % _TRUNCATION_US.get(precision, 1)
    collected = _collect(text)
    parsed = Parsed(text, collected.starts, [], [])
    for pattern in collected.patterns.values():
        _append_columns(parsed, pattern, to_us, default_us)
    parsed.rows.sort(key=lambda rows: rows.numbers[0])
    parsed.errors += [parsed.error(number, message) for number, message in collected.errors]
    parsed.errors.sort(key=lambda error: error.number)
    return parsed


# --- Times -----------------------------------------------------------------------------------------------------------


def _auto_us(stamp: int) -> int:
    """Tell the unit by magnitude, at Core's borders."""
    size = abs(stamp)
    if size < 5_000_000_000:
        return stamp * 1_000_000
    if size < 5_000_000_000_000:
        return stamp * 1000
    if size < 5_000_000_000_000_000:
        return stamp
    return stamp // 1000


def _seconds(stamp: int) -> int:
    return stamp * 1_000_000


def _milliseconds(stamp: int) -> int:
    return stamp * 1000


def _microseconds(stamp: int) -> int:
    return stamp


def _nanoseconds(stamp: int) -> int:
    return stamp // 1000


PRECISIONS: dict[str, Callable[[int], int]] = {
    "auto": _auto_us,
    **dict.fromkeys(("second", "s"), _seconds),
    **dict.fromkeys(("millisecond", "ms"), _milliseconds),
    **dict.fromkeys(("microsecond", "us", "u"), _microseconds),
    **dict.fromkeys(("nanosecond", "ns", "n"), _nanoseconds),
}
_TRUNCATION_US = {"second": 1_000_000, "s": 1_000_000, "millisecond": 1000, "ms": 1000}


# --- Collecting lines by shape ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Pattern:
    """A shape, the expression for its further lines, and what was collected for it."""

    shape: Shape
    match: Callable[[str, int], re.Match[str] | None]
    numbers: list[int] = field(default_factory=list)
    values: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(slots=True)
class _Collected:
    starts: list[int] = field(default_factory=list)
    patterns: dict["_Spelling", _Pattern] = field(default_factory=dict)
    errors: list[tuple[int, str]] = field(default_factory=list)


def _collect(text: str) -> _Collected:
    collected, recent = _Collected(), list[_Pattern]()
    position, end = 0, len(text)
    while position < end:
        for at, pattern in enumerate(recent):
            if pattern.match(text, position):
                if at:
                    recent.insert(0, recent.pop(at))
                position = _collect_run(text, position, pattern, collected.starts)
                break
        else:
            position = _collect_line(text, position, collected, recent)
    return collected


def _collect_run(text: str, position: int, pattern: _Pattern, starts: list[int]) -> int:
    """Take as many lines as match from ``position`` on; returns where they end."""
    match, first = pattern.match, len(starts)
    start, take = starts.append, pattern.values.append
    while found := match(text, position):
        start(position)
        take(found.groups())
        position = found.end()
    pattern.numbers += range(first + 1, len(starts) + 1)
    return position


def _collect_line(text: str, position: int, collected: _Collected, recent: list[_Pattern]) -> int:
    """Take one line of any kind; returns where it ends."""
    position = _matched(_BLANK, text, position).end()
    if text.startswith("#", position):
        return _matched(_COMMENT, text, position).end()
    end = _matched(_LINE, text, position).end()
    if position == end:
        return end + 1
    collected.starts.append(position)
    number = len(collected.starts)
    try:
        line = _parse_line(text[position:end])
    except _LineRefusedError as refused:
        collected.errors.append((number, str(refused)))
        return end + 1
    pattern = collected.patterns.get(line.spelling)
    if pattern is None:
        pattern = collected.patterns[line.spelling] = _Pattern(_shape(line.spelling), _expression(line.spelling))
    if pattern not in recent:
        recent.insert(0, pattern)
        del recent[_REMEMBERED_SHAPES:]
    pattern.numbers.append(number)
    pattern.values.append(line.values)
    return end + 1


_BLANK = re.compile(r"[ \t]*")
_COMMENT = re.compile(r"[^\n]*\n?")
_LINE = re.compile(r'(?:[^\\ \n]++|\\.)*+(?:[^\\="\n]++|\\.|="(?:[^"\\]++|\\.)*+"|[="])*+\\?', re.DOTALL)
"""A line up to its newline. A backslash takes the next character along, a quoted value its newlines; an unclosed quote
ends with its line."""


def _matched(expression: re.Pattern[str], text: str, position: int) -> re.Match[str]:
    found = expression.match(text, position)
    assert found is not None, "these expressions match the empty string"  # noqa: S101 - narrows the type
    return found


# --- The general parser ----------------------------------------------------------------------------------------------


class _LineRefusedError(Exception):
    """The message is what InfluxDB says of such a line."""


class _Spelling(NamedTuple):
    """A shape as written, escapes and all; further lines of the shape are looked for in this spelling."""

    measurement: str
    tags: tuple[str, ...]
    fields: tuple[tuple[str, Kind], ...]
    has_time: bool


class _Line(NamedTuple):
    spelling: _Spelling
    values: tuple[str, ...]


_MEASUREMENT = re.compile(r"(?:[^\\, \t]++|\\.)++", re.DOTALL)
_KEY = re.compile(r"(?:[^\\= \t]++|\\.)++", re.DOTALL)
_TAG_VALUE = re.compile(r"(?:[^\\, \t]++|\\.)++", re.DOTALL)
_SPACES = re.compile(r" +")
_TIMESTAMP = re.compile(r" +(-?[0-9]+)([ ]*)")
_VALUES = (
    (Kind.STRING, re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)),
    (Kind.INTEGER, re.compile(r"(-?[0-9]+)i")),
    (Kind.UNSIGNED, re.compile(r"([0-9]+)u")),
    (Kind.FLOAT, re.compile(r"(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")),
    (Kind.BOOLEAN, re.compile(r"(true|True|TRUE|t|T|false|False|FALSE|f|F)")),
)
_BACKSLASH = "Measurements, tag keys and values, and field keys may not end with a backslash"


def _parse_line(line: str) -> _Line:
    measurement = _MEASUREMENT.match(line)
    if measurement is None:
        raise _LineRefusedError(_BACKSLASH if line == "\\" else "Invalid measurement was provided")
    tags, position = _parse_tags(line, measurement.end())
    spaces = _SPACES.match(line, position)
    if spaces is None:
        rest = line[position:]
        if rest == "\\":
            raise _LineRefusedError(_BACKSLASH)
        raise _LineRefusedError(f"Expected at least one space character, got {f'`{rest}`' if rest else 'end of input'}")
    fields, position = _parse_fields(line, spaces.end())
    timestamp, position = _parse_timestamp(line, position)
    if position < len(line):
        raise _LineRefusedError(_trailing(line[position:]))
    return _line(measurement[0], tags, fields, timestamp)


def _parse_tags(line: str, position: int) -> tuple[list[tuple[str, str]], int]:
    tags, first = list[tuple[str, str]](), position + 1
    while line.startswith(",", position):
        key = _KEY.match(line, position + 1)
        if key is None:
            raise _LineRefusedError(f"Expected tag key, got {_got(line[position + 1 :])}")
        if not line.startswith("=", key.end()):
            raise _LineRefusedError(f"Tag set malformed: could not find equals sign in `{_quoted(line[first:])}`")
        value = _TAG_VALUE.match(line, key.end() + 1)
        if value is None:
            raise _LineRefusedError(f"Expected tag value, got {_got(line[key.end() + 1 :])}")
        tags.append((key[0], value[0]))
        position = value.end()
    return tags, position


def _parse_fields(line: str, position: int) -> tuple[list[tuple[str, Kind, str]], int]:
    fields = list[tuple[str, Kind, str]]()
    while not fields or line.startswith(",", position):
        start = position + bool(fields)
        key = _KEY.match(line, start)
        found = key and line.startswith("=", key.end()) and _parse_value(line, key.end() + 1)
        if not key or not found:
            if not fields:
                raise _LineRefusedError("No fields were provided")
            # Core's parser has read the comma before the second field, but not the one before a later field.
            raise _LineRefusedError(_trailing(line[start if len(fields) == 1 else position :]))
        kind, text, position = found
        fields.append((key[0], kind, text))
    return fields, position


def _parse_value(line: str, position: int) -> tuple[Kind, str, int] | None:
    for kind, expression in _VALUES:
        if found := expression.match(line, position):
            return kind, found[1], found.end()
    return None


def _parse_timestamp(line: str, position: int) -> tuple[str, int]:
    found = _TIMESTAMP.match(line, position)
    if found is None:
        return "", position
    if not -(2**63) <= _bounded_int(found[1]) < 2**63:
        raise _LineRefusedError(f"Unable to parse timestamp value `{found[1]}`")
    return found[1], found.end()


def _line(measurement: str, tags: list[tuple[str, str]], fields: list[tuple[str, Kind, str]], timestamp: str) -> _Line:
    spelling = _Spelling(
        measurement,
        tuple([key for key, _ in tags]),
        tuple([(key, kind) for key, kind, _ in fields]),
        has_time=bool(timestamp),
    )
    _shape(spelling)
    values = [_unescape(value) for _, value in tags]
    values += [_checked(kind, text) for _, kind, text in fields]
    return _Line(spelling, (*values, timestamp) if timestamp else tuple(values))


@lru_cache(maxsize=256)
def _shape(spelling: _Spelling) -> Shape:
    shape = Shape(
        _MEASUREMENT_ESCAPE.sub(r"\1", spelling.measurement),
        tuple(_unescape(key) for key in spelling.tags),
        tuple((_unescape(key), kind) for key, kind in spelling.fields),
    )
    _check_names(shape)
    return shape


def _check_names(shape: Shape) -> None:
    kinds: dict[str, Kind] = {}
    for name, kind in (*((tag, Kind.TAG) for tag in shape.tags), *shape.fields):
        known = kinds.setdefault(name, kind)
        if known is Kind.TAG is not kind:
            raise _LineRefusedError(TYPE_CONFLICT.format(name, known.value, kind.value))
    if len(kinds) == len(shape.tags) + len(shape.fields):
        return
    names = [*shape.tags, *(name for name, _ in shape.fields)]
    twice = next(name for name in names if names.count(name) > 1)
    what = "tag" if twice in shape.tags else "field"
    raise _LineRefusedError(f"invalid line protocol - multiple instances of '{twice}' {what} found")


def _checked(kind: Kind, text: str) -> str:
    """Refuse a number its type cannot hold; returns what a value of the fast way would look like."""
    if kind is Kind.STRING:
        return _STRING_ESCAPE.sub(r"\1", text)
    if kind is Kind.INTEGER and not -(2**63) <= _bounded_int(text) < 2**63:
        raise _LineRefusedError(f"Unable to parse integer value `{text}`")
    if kind is Kind.UNSIGNED and _bounded_int(text) >= 2**64:
        raise _LineRefusedError(f"Unable to parse unsigned integer value `{text}`")
    if kind is Kind.FLOAT and abs(float(text)) == float("inf"):
        raise _LineRefusedError(f"Unable to parse float value `{text}`")
    return text


def _bounded_int(text: str) -> int:
    """Convert, except more digits than 64 bits have, which become 2**64: Python refuses very long ones."""
    digits = text.lstrip("-").lstrip("0")
    return int(text) if len(digits) <= 20 else 2**64


_MEASUREMENT_ESCAPE = re.compile(r"\\([, \\])")
_NAME_ESCAPE = re.compile(r"\\([,= \\])")
_STRING_ESCAPE = re.compile(r'\\(["\\])')


def _unescape(name: str) -> str:
    return _NAME_ESCAPE.sub(r"\1", name)


def _quoted(rest: str) -> str:
    return f"{rest[:10]}..." if len(rest) > 10 else rest


def _got(rest: str) -> str:
    if rest == "\\":
        return "`\\`"
    return f"`{_quoted(rest)}`" if rest else "end of input"


def _trailing(rest: str) -> str:
    return f"Could not parse entire line. Found trailing content: `{_quoted(rest)}`"


# --- The fast way ----------------------------------------------------------------------------------------------------

_SOURCES = {
    Kind.FLOAT: r"(-?[0-9]{1,200}(?:\.[0-9]{1,200})?(?:[eE][+-]?[0-9]{1,2})?)",  # below 1e300, so never infinite
    Kind.INTEGER: r"(-?[0-9]{1,18})i",
    Kind.UNSIGNED: r"([0-9]{1,18})u",
    Kind.BOOLEAN: r"([tT](?:rue)?|TRUE|[fF](?:alse)?|FALSE)",
    Kind.STRING: r'"([^"\\\n]*)"',
}


@lru_cache(maxsize=256)
def _expression(spelling: _Spelling) -> Callable[[str, int], re.Match[str] | None]:
    """Match a line spelled like that, its newline included; the groups are the values in their order."""
    head = re.escape(spelling.measurement)
    head += "".join(rf",{re.escape(key)}=([^, \t\\\n]+)" for key in spelling.tags)
    body = ",".join(f"{re.escape(key)}={_SOURCES[kind]}" for key, kind in spelling.fields)
    tail = " (-?[0-9]{1,18})" if spelling.has_time else ""
    return re.compile(rf"{head} {body}{tail}(?:\n|\Z)").match


_CONVERSIONS: dict[Kind, Callable[[str], float | int | bool | str]] = {
    Kind.FLOAT: float,
    Kind.INTEGER: int,
    Kind.UNSIGNED: int,
    Kind.BOOLEAN: lambda text: text[0] in "tT",
    Kind.STRING: str,
}


def _append_columns(parsed: Parsed, pattern: _Pattern, to_us: Callable[[int], int], default_us: int) -> None:
    """Turn a pattern's rows of text into typed columns, and refuse the times that do not fit."""
    shape, numbers = pattern.shape, pattern.numbers
    columns = [list(column) for column in zip(*pattern.values, strict=True)]
    tag_count, has_times = len(shape.tags), len(columns) > len(shape.tags) + len(shape.fields)
    times = [to_us(int(stamp)) for stamp in columns.pop()] if has_times else [default_us] * len(numbers)
    if max(times) > MAX_TIME_US or min(times) < -MAX_TIME_US:
        fitting = [abs(time) <= MAX_TIME_US for time in times]
        late = [number for number, fits in zip(numbers, fitting, strict=True) if not fits]
        parsed.errors += [parsed.error(number, "timestamp out of range, years 1677 to 2262") for number in late]
        numbers, times, *columns = (
            [value for value, fits in zip(column, fitting, strict=True) if fits]
            for column in (numbers, times, *columns)
        )
        if not numbers:
            return
    typed = [
        list(map(_CONVERSIONS[kind], column))
        for (_, kind), column in zip(shape.fields, columns[tag_count:], strict=True)
    ]
    parsed.rows.append(Rows(shape, numbers, columns[:tag_count], typed, times))
