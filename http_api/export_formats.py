"""Rows as JSON, CSV, NDJSON, Parquet and Arrow, piece by piece. Pure: batches in, bytes out.

In CSV text is always in quotes and numbers never are, so that no value is told from an absent one, ``""`` from nothing,
and no ``007`` is taken for a number. Lines end with LF. A text that begins with ``=`` is left as it is: who opens an
export in a spreadsheet should import it as text.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import pyarrow as pa
from pyarrow import compute, csv, parquet

from sensorflow.reading import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}

_NDJSON_ROWS = 1_000  # at a time: the interpreter's lock is held for a millisecond or two, and requests wait for it


class Encoder(Protocol):
    """Writes one document."""

    def write(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        """The next pieces, with what has to stand before them."""

    def end(self) -> bytes:
        """The last piece; the whole document where there were no rows."""


def rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """As JSON has them: a field that a reading did not have is left out."""
    names = batch.schema.names
    columns = [
        [timestamp(time_us) for time_us in batch.column("id").to_pylist()]
        if name == "timestamp"
        else batch.column(name).to_pylist()
        for name in names
    ]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns, strict=True)
    ]


class _Ndjson:
    def __init__(self, _: pa.Schema) -> None:
        pass

    def write(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        for start in range(0, batch.num_rows, _NDJSON_ROWS):
            objects = rows(batch.slice(start, _NDJSON_ROWS))
            yield b"".join([orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in objects])

    def end(self) -> bytes:
        return b""


class _Csv:
    def __init__(self, schema: pa.Schema) -> None:
        self._head = ",".join(schema.names).encode() + b"\n"  # all match FIELD_PATTERN
        at = schema.get_field_index("timestamp")
        self._at, self._schema = at, schema.set(at, pa.field("timestamp", pa.string()))

    def write(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        columns = batch.columns
        columns[self._at] = _texts(columns[self._at])
        sink = io.BytesIO()
        written = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        csv.write_csv(written, sink, csv.WriteOptions(include_header=False))
        yield self._take_head() + sink.getvalue()

    def end(self) -> bytes:
        return self._take_head()

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head


class _Sink(io.RawIOBase):
    """Where a writer of pyarrow's writes, to be emptied again and again."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        self._size += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._size

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


class _Parquet:
    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        self._writer = parquet.ParquetWriter(self._sink, schema)

    def write(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        self._writer.write_table(pa.Table.from_batches([batch]))  # a row group of its own: nothing is kept
        yield self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class _Arrow:
    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        self._writer = pa.ipc.new_stream(self._sink, schema)

    def write(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        self._writer.write_batch(batch)
        yield self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


ENCODERS: Mapping[str, Callable[[pa.Schema], Encoder]] = {
    "csv": _Csv,
    "ndjson": _Ndjson,
    "parquet": _Parquet,
    "arrow": _Arrow,
}


def _texts(times: pa.Array) -> pa.Array:
    """``2025-08-16T15:30:45.123Z``, as JSON has it."""
    plain = times.cast(pa.timestamp("us")).cast(pa.timestamp("ms"), safe=False).cast(pa.string())
    return compute.binary_join_element_wise(compute.utf8_replace_slice(plain, 10, 11, "T"), "Z", "")
