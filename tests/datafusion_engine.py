"""DataFusion, InfluxDB 3's own engine: the judge of what a statement should give on the store."""

import math
from collections.abc import Collection, Mapping
from itertools import starmap
from typing import Any

import datafusion
import pyarrow as pa


def engine(tables: Mapping[str, pa.Table], tags: Collection[str]) -> datafusion.SessionContext:
    """A context set up as InfluxDB 3 sets up its own, with rows as it holds them: tags are dictionaries."""
    config = (
        datafusion.SessionConfig()
        .with_information_schema(enabled=True)
        .with_default_catalog_and_schema("public", "iox")
        .set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
    )
    context = datafusion.SessionContext(config)
    for name, table in tables.items():
        context.register_record_batches(name, [_as_held(table, tags).to_batches()])
    return context


def assert_equal(result: pa.Table, expected: pa.Table, *, in_order: bool = True) -> None:
    """Compare names, except those of unnamed expressions, and values: floats to 9 digits, times by their instant."""
    names = [
        name if wanted.isidentifier() else wanted
        for name, wanted in zip(result.schema.names, expected.schema.names, strict=True)
    ]
    assert names == expected.schema.names
    found, wanted = _rows(result), _rows(expected)
    if not in_order:
        found, wanted = sorted(found, key=repr), sorted(wanted, key=repr)
    assert len(found) == len(wanted)
    differing = [pair for pair in zip(found, wanted, strict=True) if not _alike(*pair)]
    assert not differing, f"{len(differing)} rows differ, the first: {differing[0]}"


def _as_held(table: pa.Table, tags: Collection[str]) -> pa.Table:
    """Only the time is never null."""
    dictionary = pa.dictionary(pa.int32(), pa.string())
    fields = [
        pa.field(field.name, dictionary if field.name in tags else field.type, nullable=field.name != "time")
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(_instants(column).to_pylist() for column in table.columns), strict=True))


def _instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("ns")).cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def _alike(mine: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(starmap(_same, zip(mine, other, strict=True)))


def _same(mine: object, other: object) -> bool:
    if isinstance(mine, float) and isinstance(other, float):
        return math.isclose(mine, other, rel_tol=1e-9, abs_tol=1e-9)
    return mine == other
