r"""The grammar of one line of line protocol, and InfluxDB 3 Core's words for what is wrong with it (read off 3.10).

    measurement[,tag=value…] field=value[,field=value…][ timestamp]

``\,`` ``\ `` and ``\\`` are undone in every name and tag value, ``\=`` in all but the measurement; in a quoted string
``\"`` and ``\\`` are. Any other backslash stands for itself. A newline inside a quoted string belongs to it.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

TYPE_CONFLICT = "invalid column type for column '{}', expected iox::column_type::{}, got iox::column_type::{}"


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
class Shape:
    """What lines that differ only in values have in common."""

    table: str
    tags: tuple[str, ...]
    fields: tuple[tuple[str, Kind], ...]


class LineRefusedError(Exception):
    """The message is what InfluxDB says of such a line."""


class Spelling(NamedTuple):
    """A shape as written, escapes and all; further lines of the shape are looked for in this spelling."""

    measurement: str
    tags: tuple[str, ...]
    fields: tuple[tuple[str, Kind], ...]
    has_time: bool


class Line(NamedTuple):
    spelling: Spelling
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


def parse_line(line: str) -> Line:
    measurement = _MEASUREMENT.match(line)
    if measurement is None:
        raise LineRefusedError(_BACKSLASH if line == "\\" else "Invalid measurement was provided")
    tags, position = _parse_tags(line, measurement.end())
    spaces = _SPACES.match(line, position)
    if spaces is None:
        rest = line[position:]
        if rest == "\\":
            raise LineRefusedError(_BACKSLASH)
        raise LineRefusedError(f"Expected at least one space character, got {f'`{rest}`' if rest else 'end of input'}")
    fields, position = _parse_fields(line, spaces.end())
    timestamp, position = _parse_timestamp(line, position)
    if position < len(line):
        raise LineRefusedError(_trailing(line[position:]))
    return _line(measurement[0], tags, fields, timestamp)


def _parse_tags(line: str, position: int) -> tuple[list[tuple[str, str]], int]:
    tags, first = list[tuple[str, str]](), position + 1
    while line.startswith(",", position):
        key = _KEY.match(line, position + 1)
        if key is None:
            raise LineRefusedError(f"Expected tag key, got {_got(line[position + 1 :])}")
        if not line.startswith("=", key.end()):
            raise LineRefusedError(f"Tag set malformed: could not find equals sign in `{_quoted(line[first:])}`")
        value = _TAG_VALUE.match(line, key.end() + 1)
        if value is None:
            raise LineRefusedError(f"Expected tag value, got {_got(line[key.end() + 1 :])}")
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
                raise LineRefusedError("No fields were provided")
            # Core's parser has read the comma before the second field, but not the one before a later field.
            raise LineRefusedError(_trailing(line[start if len(fields) == 1 else position :]))
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
        raise LineRefusedError(f"Unable to parse timestamp value `{found[1]}`")
    return found[1], found.end()


def _line(measurement: str, tags: list[tuple[str, str]], fields: list[tuple[str, Kind, str]], timestamp: str) -> Line:
    spelling = Spelling(
        measurement,
        tuple([key for key, _ in tags]),
        tuple([(key, kind) for key, kind, _ in fields]),
        has_time=bool(timestamp),
    )
    shape_of(spelling)
    values = [_unescape(value) for _, value in tags]
    values += [_checked(kind, text) for _, kind, text in fields]
    return Line(spelling, (*values, timestamp) if timestamp else tuple(values))


@lru_cache(maxsize=256)
def shape_of(spelling: Spelling) -> Shape:
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
            raise LineRefusedError(TYPE_CONFLICT.format(name, known.value, kind.value))
    if len(kinds) == len(shape.tags) + len(shape.fields):
        return
    names = [*shape.tags, *(name for name, _ in shape.fields)]
    twice = next(name for name in names if names.count(name) > 1)
    what = "tag" if twice in shape.tags else "field"
    raise LineRefusedError(f"invalid line protocol - multiple instances of '{twice}' {what} found")


def _checked(kind: Kind, text: str) -> str:
    """Refuse a number its type cannot hold; returns what a value of the fast way would look like."""
    if kind is Kind.STRING:
        return _STRING_ESCAPE.sub(r"\1", text)
    if kind is Kind.INTEGER and not -(2**63) <= _bounded_int(text) < 2**63:
        raise LineRefusedError(f"Unable to parse integer value `{text}`")
    if kind is Kind.UNSIGNED and _bounded_int(text) >= 2**64:
        raise LineRefusedError(f"Unable to parse unsigned integer value `{text}`")
    if kind is Kind.FLOAT and abs(float(text)) == float("inf"):
        raise LineRefusedError(f"Unable to parse float value `{text}`")
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
