"""Results as ``/api/v3/query_sql`` writes them: as in InfluxDB, times have no ``Z``, and nulls no keys.

Durations are ISO 8601 (``PT90S``), and lists JSON where there is none around them.
"""

import csv
import datetime as dt
import io
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
from pyarrow import parquet

from store.query import ResultStream

MEDIA_TYPES = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "pretty": "text/plain; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


def encoded(stream: ResultStream, format_: str) -> Iterator[bytes]:
    """Write the rows in ``format_``, a key of ``MEDIA_TYPES``, batch by batch; ``pretty`` and ``parquet`` at once."""
    return {"json": _json, "jsonl": _jsonl, "csv": _csv, "pretty": _pretty, "parquet": _parquet}[format_](stream)


def _json(stream: ResultStream) -> Iterator[bytes]:
    separator = b"["
    for batch in stream:
        yield separator + orjson.dumps(_objects(batch))[1:-1]
        separator = b","
    yield b"[]" if separator == b"[" else b"]"


def _jsonl(stream: ResultStream) -> Iterator[bytes]:
    for batch in stream:
        yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in _objects(batch))


def _csv(stream: ResultStream) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(stream.schema.names)
    for batch in stream:
        writer.writerows(map(_text, row) for row in _rows(batch))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _pretty(stream: ResultStream) -> Iterator[bytes]:
    names = stream.schema.names
    rows = [[_text(value) for value in row] for batch in stream for row in _rows(batch)]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in (names, *rows)]
    yield "\n".join([rule, lines[0], rule, *lines[1:], rule, ""]).encode()


def _parquet(stream: ResultStream) -> Iterator[bytes]:
    sink = io.BytesIO()
    with parquet.ParquetWriter(sink, stream.schema) as writer:
        for batch in stream:
            writer.write_batch(batch)
    yield sink.getvalue()


def _objects(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    names = batch.schema.names
    return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in _rows(batch)]


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*_columns(batch), strict=True)


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list():
            return orjson.dumps(value).decode()
        case _:
            return str(value)


def _columns(batch: pa.RecordBatch) -> list[list[Any]]:
    return [_values(column) for column in batch.columns]


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_duration(column.type):
        return [None if ns is None else _iso_duration(ns) for ns in column.cast(pa.int64()).to_pylist()]
    if not pa.types.is_timestamp(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return [_iso(value) for value in column.cast(pa.timestamp("us"), safe=False).to_pylist()]


def _iso(time: dt.datetime | None) -> str | None:
    """Write 0, 3 or 6 decimals, as many as it takes."""
    if time is None:
        return None
    return time.isoformat(
        timespec="auto" if time.microsecond % 1000 else "milliseconds" if time.microsecond else "seconds"
    )


def _iso_duration(ns: int) -> str:
    seconds, rest = divmod(abs(ns), 10**9)
    decimals = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if ns < 0 else ''}PT{seconds}{decimals}S"
