"""What a client asks of history, and which columns that means. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from http_api.history_range import MAX_EVERY_S, MIN_EVERY_S, moment_ns, span_s
from http_api.history_sql import AGGREGATES, MAX_SENSOR_IDS, OF_NUMBERS, Aggregate, Selection
from sensorflow.errors import FieldError, RejectedError
from sensorflow.kinds import FIELD_PATTERN, RESERVED_FIELDS, SENSOR_ID_PATTERN, types_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sensorflow.kinds import Kind

MAX_FIELDS = 500
DEFAULT_AGGREGATE: Aggregate = "avg"

_ARROW = {float: pa.float64(), bool: pa.bool_(), str: pa.string()}
_STORED = {"Float64": pa.float64(), "Int64": pa.int64(), "UInt64": pa.uint64(), "Boolean": pa.bool_()}  # else text
_MAX_NAMED = 80


@dataclass(frozen=True, slots=True)
class Question:
    """One question, resolved: times are nanoseconds since 1970, ``fields`` is empty where none were named."""

    kind: type[Kind]
    fields: tuple[str, ...]
    start_ns: int
    end_ns: int
    sensor_ids: tuple[str, ...]
    prefix: str
    every_s: int | None
    aggregate: Aggregate
    is_descending: bool

    def identity(self) -> list[object]:
        """All that decides about rows and their order, but for the range, which a cursor holds itself."""
        return [
            self.kind.kind,
            list(self.fields),
            list(self.sensor_ids),
            self.prefix,
            self.every_s,
            self.aggregate,
            self.is_descending,
        ]


@dataclass(frozen=True, slots=True)
class Columns:
    """The answer's columns.

    Args:
        schema: ``sensor_id``, ``id``, ``timestamp``, and the fields.
        stored: The fields that the store has; the others are null.
    """

    schema: pa.Schema
    stored: tuple[str, ...]


def names(field: str, text: str | None, pattern: str, *, most: int) -> tuple[str, ...]:
    """A list with commas; empty where there is none.

    Raises:
        RejectedError: ``bad_query``: a name in it cannot be one.
    """
    found = tuple(dict.fromkeys(text.split(","))) if text is not None else ()
    for name in found:
        if not re.fullmatch(pattern, name):
            raise bad(field, f"{name!r:.80} does not match {pattern}")
    if len(found) > most:
        raise bad(field, f"{len(found)} names, at most {most}")
    return found


def sensor_ids(text: str | None) -> tuple[str, ...]:
    """As :func:`names`."""
    return names("sensor_id", text, SENSOR_ID_PATTERN, most=MAX_SENSOR_IDS)


def time_range(start: str, end: str, now_us: int) -> tuple[int, int]:
    """Both in nanoseconds.

    Raises:
        RejectedError: ``bad_query``: one is no time, or the range is empty.
    """
    start_ns, end_ns = moment_ns("start", start, now_us), moment_ns("end", end, now_us)
    if start_ns >= end_ns:
        raise bad("start", f"{start!r} is not before end, {end!r}")
    return start_ns, end_ns


def bins(every: str | None, aggregate: Aggregate | None) -> tuple[int | None, Aggregate]:
    """Length of a bin, and what of it.

    Raises:
        RejectedError: ``bad_query``.
    """
    if every is None:
        if aggregate is not None:
            raise bad("agg", f"{aggregate!r} of what? It needs every, such as every=5m")
        return None, DEFAULT_AGGREGATE
    return span_s("every", every, least=MIN_EVERY_S, most=MAX_EVERY_S), aggregate or DEFAULT_AGGREGATE


def columns(question: Question, stored: Mapping[str, str]) -> Columns:
    """Which columns the answer has, the table's being ``stored``, by the names of types that InfluxDB has.

    Raises:
        RejectedError: ``bad_query``: the kind has no such field, or it is of a type that cannot be aggregated so.
    """
    known = _known(question.kind, stored)
    chosen = question.fields or tuple(known)
    for name in chosen:
        if name not in known and not _takes(question.kind, name):
            raise bad("fields", f"{name!r} is none of {', '.join(list(known)[:_MAX_NAMED])}")
    types = {name: known.get(name, pa.float64()) for name in chosen}
    if question.every_s is not None:
        types = _aggregated(question, types)
    schema = pa.schema([("sensor_id", pa.string()), ("id", pa.int64()), ("timestamp", pa.timestamp("us", "UTC"))])
    for name, kind in types.items():
        schema = schema.append(pa.field(name, kind))
    return Columns(schema, tuple(name for name in types if name in stored))


def selection(question: Question, stored: tuple[str, ...]) -> Selection:
    """What to ask the store for; ``stored`` names at least one column."""
    return Selection(
        table=question.kind.table,
        columns=stored,
        are_chosen=bool(question.fields),
        sensor_ids=question.sensor_ids,
        prefix=question.prefix,
        every_s=question.every_s,
        aggregate=question.aggregate,
        is_descending=question.is_descending,
    )


def bad(field: str, detail: str) -> RejectedError:
    """What every wrong parameter is answered with."""
    return RejectedError("bad_query", FieldError(field, detail))


def _known(kind: type[Kind], stored: Mapping[str, str]) -> dict[str, pa.DataType]:
    """The declared fields in their order; where a kind takes any, then those that the store has."""
    declared = {name: _ARROW[next(types_of(kind.model_fields[name].annotation))] for name in kind.value_names}
    if not _is_open(kind):
        return declared
    # The table may hold what others wrote, and these names go into a query.
    fields = [name for name in sorted(stored) if name not in RESERVED_FIELDS and re.fullmatch(FIELD_PATTERN, name)]
    return declared | {name: _STORED.get(stored[name], pa.string()) for name in fields if name not in declared}


def _aggregated(question: Question, types: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    aggregate = question.aggregate
    if aggregate == "count":
        return dict.fromkeys(types, pa.int64())
    if aggregate not in OF_NUMBERS:
        return dict(types)
    numbers = {name: pa.float64() for name, kind in types.items() if _is_number(kind)}
    if wrong := [name for name in question.fields if name not in numbers]:
        others = ", ".join(each for each in AGGREGATES if each not in OF_NUMBERS)
        raise bad("agg", f"{aggregate!r} needs numbers, and {wrong[0]!r} has none; of it there are {others}")
    return numbers


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _takes(kind: type[Kind], name: str) -> bool:
    """Whether a reading may have such a field, though none has had it yet."""
    return _is_open(kind) and name not in RESERVED_FIELDS


def _is_open(kind: type[Kind]) -> bool:
    return kind.model_config.get("extra") == "allow"
