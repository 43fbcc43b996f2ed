"""What our results look like on the wire, whatever DuckDB made of them.

Grafana reads plain utf8 and timestamp[ns], and shows nothing for decimals, dates or dictionaries; its gRPC takes no
message above 4 MiB. ADBC insists that a FlightInfo's schema equals the stream's. So there is one schema for each
result, computed from DuckDB's, and each batch is cast to it and cut to size.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

import orjson
import pyarrow as pa

from store.errors import InvalidQueryError

MAX_BATCH_BYTES = 2 * 2**20
"""Half of what gRPC takes, as InfluxDB does it: buffers are padded, and the header comes on top."""

MAX_ROW_BYTES = 4 * 2**20 - 64 * 1024

_NS = pa.timestamp("ns")
_DURATION = pa.duration("ns")
_DAY_NS = 86_400 * 10**9
_DAYS_A_MONTH = 30  # as DuckDB counts when it compares intervals


def wire_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, wire_type(field.type)) for field in schema])


def wire_type(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_timestamp(kind) or types.is_date(kind):
        return _NS
    if types.is_decimal(kind):
        return pa.int64() if kind.scale == 0 else pa.float64()  # HUGEINT, as of sum(BIGINT), comes with scale 0
    if types.is_interval(kind):
        return _DURATION  # what the difference of two times is in InfluxDB
    if _is_list(kind):
        return pa.string() if _is_beyond_arrow(kind) else pa.list_(wire_type(kind.value_type))
    if types.is_integer(kind) or types.is_boolean(kind) or kind in (pa.float32(), pa.float64()):
        return kind
    return pa.string()


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_beyond_arrow(kind: pa.DataType) -> bool:
    """Tell what Arrow cannot cast to our types, so that Python has to."""
    if _is_list(kind):
        return _is_beyond_arrow(kind.value_type)
    return bool(pa.types.is_nested(kind) or pa.types.is_interval(kind))


def wire_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Cast a batch of DuckDB's to our schema.

    Raises:
        InvalidQueryError: A value does not fit, as a date in the year 3000 does not fit 64-bit nanoseconds.
    """
    try:
        columns = [_cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    except (pa.ArrowInvalid, OverflowError) as error:
        raise InvalidQueryError(f"a value does not fit the result's type: {error}") from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if (
        pa.types.is_string(kind)
        and not pa.types.is_large_string(column.type)
        and not pa.types.is_string_view(column.type)
    ):
        return pa.array([None if value is None else _text(value) for value in column.to_pylist()], kind)
    if pa.types.is_interval(column.type):
        return pa.array([None if value is None else _ns(value) for value in column.to_pylist()], pa.int64()).cast(kind)
    if pa.types.is_date32(column.type):
        return column.cast(pa.timestamp("s")).cast(kind)
    return column.cast(kind)


def _ns(interval: pa.MonthDayNano) -> int:
    months, days, ns = interval
    return int((months * _DAYS_A_MONTH + days) * _DAY_NS + ns)


def _text(value: object) -> str:
    """Text of what has no type on the wire: JSON of a struct or a map, as ``selector_last`` gives them."""
    return orjson.dumps(value, default=_json_scalar).decode() if isinstance(value, dict | list) else str(value)


def _json_scalar(value: object) -> float | str:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)  # a subclass, which orjson does not take


def cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halve a batch until each piece fits a message.

    Raises:
        InvalidQueryError: A single row does not.
    """
    size = batch.nbytes
    if size <= MAX_BATCH_BYTES or (batch.num_rows == 1 and size <= MAX_ROW_BYTES):
        yield batch
    elif batch.num_rows == 1:
        raise InvalidQueryError(
            f"a row of {size} bytes does not fit a message, at most {MAX_ROW_BYTES}: select less of it"
        )
    else:
        half = batch.num_rows // 2
        yield from cut(batch.slice(0, half))
        yield from cut(batch.slice(half))
