"""The result of a query as a table for people, or as CSV or JSON for programs.

Times are RFC 3339 in every format, with as many digits as they need: with Z where their column has a zone, and without
where it has none, since they are what clocks show wherever the query says. Missing values are empty, or null in JSON.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson
from rich.table import Table
from rich.text import Text

from sensorflow.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    import pyarrow as pa

_UNITS_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Format(StrEnum):
    """How to print a result."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


def write(result: pa.Table, out: TextIO, style: Format) -> None:
    """Write it as text; a table for people is :func:`table`'s."""
    if style is Format.CSV:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(result.column_names)
        writer.writerows([_as_text(value) for value in row] for row in _rows(result))
    elif style is Format.JSONL:
        out.writelines(_json(result.column_names, row) + "\n" for row in _rows(result))
    else:
        rows = ",\n ".join(_json(result.column_names, row) for row in _rows(result))
        out.write(f"[{rows}]\n")


def table(result: pa.Table) -> Table:
    """A table for a terminal."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for field in result.schema:
        is_number = str(field.type).startswith(("int", "uint", "double", "float", "half", "decimal"))
        shown.add_column(Text(printable(field.name)), justify="right" if is_number else "left", overflow="fold")
    for row in _rows(result):
        shown.add_row(*(Text(printable(_as_text(value))) for value in row))
    return shown


def _rows(result: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Row by row, a batch at a time, so that a large result is never there twice."""
    for batch in result.to_batches():
        yield from zip(*map(_values, batch.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    kind = str(column.type)
    if kind.startswith("timestamp["):
        unit_ns = _UNITS_NS[kind.removeprefix("timestamp[").partition("]")[0].partition(",")[0]]
        suffix = "Z" if column.type.tz else ""
        ticks = column.cast("int64").to_pylist()
        return [None if each is None else _rfc3339(each * unit_ns) + suffix for each in ticks]
    if kind.startswith(("date", "time", "duration", "decimal")):
        return list(column.cast("string").to_pylist())
    return list(column.to_pylist())


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _rfc3339(time_ns: int) -> str:
    """Python's own datetime ends at microseconds."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    digits = f"{fraction:09d}"
    while len(digits) > 3 and digits.endswith("000"):
        digits = digits[:-3]
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S") + f".{digits}"


def _json(names: list[str], row: tuple[Any, ...]) -> str:
    return orjson.dumps(dict(zip(names, row, strict=True)), default=str).decode()
