import csv
import io
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from http_api.export_formats import ENCODERS

SCHEMA = pa.schema(
    [
        ("sensor_id", pa.string()),
        ("id", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("level", pa.float64()),
        ("is_open", pa.bool_()),
        ("note", pa.string()),
    ]
)
TIME_US = 1_755_354_645_123_456
NOTES = ['say "no", or\tyes', "a,b;c", "=1+1", "", None, "ä😀\u2028", "0123"]


def batch(first: int, notes: list[str | None]) -> pa.RecordBatch:
    rows = [
        {
            "sensor_id": "007",
            "id": TIME_US + n,
            "timestamp": TIME_US + n,
            "level": n / 3,
            "is_open": n % 2 == 0,
            "note": note,
        }
        for n, note in enumerate(notes, first)
    ]
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


BATCHES = [batch(0, NOTES[:3]), batch(3, NOTES[3:])]
ROWS: list[dict[str, Any]] = [row for each in BATCHES for row in each.to_pylist()]


def encoded(format_: str, batches: list[pa.RecordBatch]) -> bytes:
    encoder = ENCODERS[format_](SCHEMA)
    pieces = [piece for each in batches for piece in encoder.write(each)]
    return b"".join([*pieces, encoder.end()])


def test_csv_is_read_by_pythons_csv() -> None:
    head, *rows = csv.reader(io.StringIO(encoded("csv", BATCHES).decode(), newline=""))

    assert head == SCHEMA.names
    assert [row[5] for row in rows] == [note or "" for note in NOTES]
    assert rows[1][:5] == ["007", str(TIME_US + 1), "2025-08-16T14:30:45.123Z", repr(1 / 3), "false"]


def test_csv_tells_an_empty_text_from_none() -> None:
    lines = encoded("csv", BATCHES).decode().split("\n")

    assert lines[4].endswith(',""')
    assert lines[5].endswith(",")


def test_csv_is_read_by_arrow() -> None:
    options = arrow_csv.ConvertOptions(column_types={"sensor_id": pa.string(), "note": pa.string()})

    table = arrow_csv.read_csv(io.BytesIO(encoded("csv", BATCHES)), convert_options=options)

    assert table.column("level").to_pylist() == [row["level"] for row in ROWS]


def test_ndjson_is_read_by_json() -> None:
    rows = [orjson.loads(line) for line in encoded("ndjson", BATCHES).splitlines()]

    assert rows[0] == {
        "sensor_id": "007",
        "id": TIME_US,
        "timestamp": "2025-08-16T14:30:45.123Z",
        "level": 0.0,
        "is_open": True,
        "note": NOTES[0],
    }
    assert "note" not in rows[4]


def test_parquet_is_read_by_arrow() -> None:
    table = parquet.read_table(io.BytesIO(encoded("parquet", BATCHES)))

    assert table.to_pylist() == ROWS
    assert table.column("timestamp")[0].as_py() == datetime(2025, 8, 16, 14, 30, 45, 123_456, UTC)


def test_arrow_is_read_by_arrow() -> None:
    with pa.ipc.open_stream(encoded("arrow", BATCHES)) as reader:
        assert reader.read_all().to_pylist() == ROWS


@pytest.mark.parametrize("format_", ENCODERS)
def test_no_rows_are_a_document_too(format_: str) -> None:
    document = encoded(format_, [])

    match format_:
        case "csv":
            assert document == b"sensor_id,id,timestamp,level,is_open,note\n"
        case "ndjson":
            assert document == b""
        case "parquet":
            assert parquet.read_table(io.BytesIO(document)).schema.names == SCHEMA.names
        case "arrow":
            assert pa.ipc.open_stream(document).read_all().schema == SCHEMA


@pytest.mark.parametrize("format_", ENCODERS)
def test_what_was_written_is_not_kept(format_: str) -> None:
    encoder = ENCODERS[format_](SCHEMA)

    many = batch(0, [f"note {number}" for number in range(5_000)])

    sizes = [sum(len(piece) for piece in encoder.write(many)) for _ in range(5)]

    assert min(sizes) > 20_000
    assert len(encoder.end()) < 20_000
