"""DataFusion, InfluxDB 3's own engine, over the rows that a target has: the judge of what a statement should give."""

from collections.abc import Iterable, Mapping
from typing import Any

import datafusion
import pyarrow as pa
import pytest

from tests.contract.target import Target


def engine(target: Target, tables: Mapping[str, Iterable[str]]) -> datafusion.SessionContext:
    """Load tables, named with their tags, as InfluxDB holds them: dictionaries of tags, a time that is never null."""
    config = (
        datafusion.SessionConfig()
        .with_information_schema(enabled=True)
        .with_default_catalog_and_schema("public", "iox")
        .set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
    )
    context = datafusion.SessionContext(config)
    with target.client() as client:
        for name, tags in tables.items():
            rows = _as_held(client.query(f'SELECT * FROM "{name}"'), tags)
            context.register_record_batches(name, [rows.to_batches()])
    return context


def _as_held(table: pa.Table, tags: Iterable[str]) -> pa.Table:
    for tag in tags:
        at = table.schema.get_field_index(tag)
        table = table.set_column(at, tag, table[tag].dictionary_encode())
    fields = [field.with_nullable(field.name != "time") for field in table.schema]
    return table.cast(pa.schema(fields))


def assert_equal(result: pa.Table, expected: pa.Table, *, in_order: bool) -> None:
    """Compare names, except those of unnamed expressions, and values: floats to 9 digits, times by their instant."""
    names = [
        name if wanted.isidentifier() else wanted
        for name, wanted in zip(result.schema.names, expected.schema.names, strict=True)
    ]
    assert names == expected.schema.names
    found, wanted = _rows(result), _rows(expected)
    if not in_order:
        found, wanted = sorted(found, key=repr), sorted(wanted, key=repr)
    assert found == [tuple(map(_approximately, row)) for row in wanted]


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = [_instants(column).to_pylist() for column in table.columns]
    return list(zip(*columns, strict=True))


def _instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("ns")).cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def _approximately(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
