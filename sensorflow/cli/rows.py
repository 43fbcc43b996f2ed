"""The rows of a CSV file as readings.

Pure: text in, readings out. A cell that cannot be what its field holds is rejected here, with its line, column and
value; whether a good number is within the kind's bounds is for the server to say.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sensorflow.cli.fields import fields_of, is_open
from sensorflow.cli.moments import rfc3339
from sensorflow.errors import FieldError, RejectedError
from sensorflow.kinds import FIELD_PATTERN, RESERVED_FIELDS, SENSOR_ID_PATTERN
from sensorflow.reading import Value, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from sensorflow.kinds import Kind

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what.

    Args:
        fields: The kind's fields, each with its column.
        sensor: The column of the sensor ids, None where all rows are one sensor's.
        time: The column of the times, None where the file has none.
    """

    fields: Mapping[str, str]
    sensor: str | None
    time: str | None


class RowReader:
    """Turns rows into a sensor id, a time and values.

    Args:
        sensor_id: Whose the rows are that have no column for it; already checked.
        zone: Where the clock was that showed times without an offset; None where these are rejected.
    """

    def __init__(self, kind: type[Kind], columns: Columns, sensor_id: str, *, zone: ZoneInfo | None = None) -> None:
        self._columns = columns
        self._zone = zone
        self._sensor_id = sensor_id
        declared = fields_of(kind)
        self._required = {name for name, field in declared.items() if field.is_required}
        self._parse = {name: _PARSERS[declared[name].type] if name in declared else _guess for name in columns.fields}

    def sensor_id(self, row: Mapping[str, str | None]) -> str:
        """Whose reading it is.

        Raises:
            RejectedError: ``bad_row``.
        """
        if self._columns.sensor is None:
            return self._sensor_id
        text = (row[self._columns.sensor] or "").strip()
        if not re.fullmatch(SENSOR_ID_PATTERN, text):
            raise _bad_cell(self._columns.sensor, text, f"is not a sensor id ({SENSOR_ID_PATTERN})")
        return text

    def time_us(self, row: Mapping[str, str | None]) -> int:
        """When it was taken, from the column of the times: RFC 3339, or an epoch in s, ms, us or ns.

        Where the clocks went back, a time that came twice is the first of the two.

        Raises:
            RejectedError: ``bad_row``.
        """
        column = self._columns.time or ""
        text = (row[column] or "").strip()
        try:
            time_us = parse_time(_epoch(text) if _NUMBER.fullmatch(text) else self._with_offset(text))
            rfc3339(time_us)
        except ValueError as error:
            raise _bad_cell(column, text, str(error)) from None
        except RejectedError:
            raise _bad_cell(column, text, "is neither RFC 3339 with an offset nor an epoch") from None
        except OverflowError:
            raise _bad_cell(column, text, "is outside of the years 1 to 9999") from None
        return time_us

    def _with_offset(self, text: str) -> str:
        """The text as it is where it has one, or is no time at all."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        if moment.tzinfo:
            return text
        if not self._zone:
            raise ValueError("has no offset; say where its clock was with --time-zone, such as UTC")
        moment = moment.replace(tzinfo=self._zone)
        if moment.astimezone(UTC).astimezone(self._zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
            raise ValueError(f"was skipped by the clocks of {self._zone.key}")
        return moment.isoformat()

    def values(self, row: Mapping[str, str | None]) -> dict[str, Value]:
        """What was measured; an empty cell is left out where the field may be missing.

        Raises:
            RejectedError: ``bad_row``.
        """
        values: dict[str, Value] = {}
        for name, column in self._columns.fields.items():
            text = (row[column] or "").strip()
            if text:
                values[name] = self._parse[name](column, text)
            elif name in self._required:
                raise _bad_cell(column, text, f"is empty; {name} is required")
        return values


def match_columns(
    kind: type[Kind], header: Sequence[str], mapping: Mapping[str, str], *, sensor: str | None, time: str | None
) -> Columns:
    """Find the column of each field: the one that ``mapping`` names, else the one that is called like the field.

    A kind that takes any field, such as telemetry, takes what ``mapping`` names; without one it takes every column.

    Raises:
        ValueError: A column or a field is not there; the message names those that are.
    """
    for purpose, column in (("--sensor-column", sensor), ("--time-column", time)):
        if column is not None and column not in header:
            raise ValueError(f"{purpose}: {_no_column(column, header)}")
    declared = fields_of(kind)
    columns = {name: mapping.get(name, name) for name in declared}
    optional = {name for name, field in declared.items() if not field.is_required and name not in mapping}
    columns = {name: column for name, column in columns.items() if column in header or name not in optional}
    if is_open(kind):
        columns |= mapping or {name: name for name in header if name not in {sensor, time}}
    elif unknown := sorted(mapping.keys() - declared.keys()):
        raise ValueError(f"--map: {kind.kind} has no field {unknown[0]!r}; its fields: {', '.join(declared)}")
    for name, column in columns.items():
        _check_field(name, column, header)
    return Columns(columns, sensor, time)


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """``["temperature=temperature_c"]`` as a dict.

    Raises:
        ValueError: One has no ``=``, or a field comes twice.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not (field and equals and column):
            raise ValueError(f"--map: {pair!r} is not FIELD=COLUMN")
        if field in mapping:
            raise ValueError(f"--map: the field {field!r} is mapped twice")
        mapping[field] = column
    return mapping


def _check_field(name: str, column: str, header: Sequence[str]) -> None:
    if column not in header:
        raise ValueError(f"field {name}: {_no_column(column, header)}; name it with --map {name}=COLUMN")
    if name in RESERVED_FIELDS or not re.fullmatch(FIELD_PATTERN, name):
        raise ValueError(f"a field cannot be called {name!r}; give the column another name with --map NAME={column!r}")


def _no_column(column: str, header: Sequence[str]) -> str:
    return f"no column {column!r}; the columns are: {', '.join(header)}"


def _number(column: str, text: str) -> float:
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise _bad_cell(column, text, "is not a finite number")
    return float(text)


def _boolean(column: str, text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise _bad_cell(column, text, "is neither true nor false")
    return _BOOLEANS[text.lower()]


def _text(_column: str, text: str) -> str:
    return text


def _guess(column: str, text: str) -> Value:
    """A field that nobody declared: a number, true or false, or a text.

    "nan" is no text: it stands where a number should be, and a text in its place would turn the whole column to text.
    """
    if _NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return _number(column, text)
    return text.lower() == "true" if text.lower() in {"true", "false"} else text


_PARSERS: dict[type, Callable[[str, str], Value]] = {bool: _boolean, float: _number, str: _text}


def _epoch(text: str) -> float:
    """Whole nanoseconds would lose their last digits as a float."""
    return int(text) if text.lstrip("+-").isdecimal() else float(text)


def _bad_cell(column: str, text: str, what: str) -> RejectedError:
    return RejectedError("bad_row", FieldError(f"column {column}", f"{text!r:.80} {what}"))
