"""Tables: what columns they have, and how rows get in. Runs in the one thread that writes.

A row's key is (tags, time). Of rows with one key, each column keeps the last value that was not null, as in InfluxDB.
To keep that cheap, a table remembers the newest time of each series: rows that go forward in their series, which
nearly all do, are new for sure and are appended; only the others are merged with what is stored.

``time`` is TIMESTAMPTZ, that is microseconds. TIMESTAMP_NS would keep the nanoseconds that line protocol can carry, but
compares neither with ``now()`` nor with RFC 3339 strings that carry an offset, as all of InfluxDB's users do; on
TIMESTAMPTZ these work as they do there. Our readings are in microseconds, so nothing is lost.

Roles (tag, time or field) cannot be read off DuckDB's types, so each column carries its own as a comment.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
from pyarrow import compute

from store.errors import LimitReachedError
from store.line_grammar import TYPE_CONFLICT, Kind, Shape
from store.line_protocol import Rows

MAX_TABLES = 2000
MAX_COLUMNS = 500
MAX_NAME_BYTES = 256
MAX_REMEMBERED_SERIES = 100_000
"""Of one table. Rows of further series are merged: slower, and just as right."""

Columns = dict[str, Kind]
"""A table's columns in their order, ``time`` first."""

_SQL_TYPES = {
    Kind.TIME: "TIMESTAMPTZ",
    Kind.TAG: "VARCHAR",
    Kind.FLOAT: "DOUBLE",
    Kind.INTEGER: "BIGINT",
    Kind.UNSIGNED: "UBIGINT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.STRING: "VARCHAR",
}
_ARROW_TYPES = {
    Kind.TAG: pa.string(),
    Kind.FLOAT: pa.float64(),
    Kind.INTEGER: pa.int64(),
    Kind.UNSIGNED: pa.uint64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.STRING: pa.string(),
}
_TIME = pa.timestamp("us", "UTC")
_ORDER = "\norder"
"""Numbers the rows of a batch, later ones higher. No column is called so: a newline without a backslash ends a line."""


class SchemaConflictError(Exception):
    """Rows of a shape do not fit the table. The message is InfluxDB's, for each of the lines."""


def quoted(name: str) -> str:
    """Make any name an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def tags_of(columns: Columns) -> list[str]:
    """Name the key's columns besides ``time``, in the table's order."""
    return [name for name, kind in columns.items() if kind is Kind.TAG]


def extended(columns: Columns, shape: Shape) -> Columns:
    """Return the table's columns after rows of ``shape`` came; the argument stays as it is.

    Raises:
        SchemaConflictError: A column of the shape has another type, or a name the store cannot hold.
        LimitReachedError: The table would have more than ``MAX_COLUMNS``.
    """
    result = columns or {"time": Kind.TIME}
    for name, kind in (*((tag, Kind.TAG) for tag in shape.tags), *shape.fields):
        known = result.get(name)
        if known is None:
            if result is columns:
                result = dict(columns)
            _check_name("column", name, result)
            result[name] = kind
        elif known is not kind:
            raise SchemaConflictError(TYPE_CONFLICT.format(name, known.value, kind.value))
    if len(result) > MAX_COLUMNS:
        raise LimitReachedError(
            f"Update to schema would exceed number of columns per table limit of {MAX_COLUMNS} columns"
        )
    return result


def _check_name(what: str, name: str, others: Iterable[str]) -> None:
    size = len(name.encode())
    if size > MAX_NAME_BYTES:
        raise SchemaConflictError(f"{what} name of {size} bytes, at most {MAX_NAME_BYTES}")
    if "\0" in name:
        raise SchemaConflictError(f"{what} name {name!r} contains NUL")
    folded = name.casefold()
    if twin := next((other for other in others if other.casefold() == folded), None):
        raise SchemaConflictError(
            f"{what} name '{name}' differs from '{twin}' only in case, which DuckDB does not tell apart"
        )


@dataclass(slots=True)
class _Table:
    columns: Columns
    newest: dict[tuple[str | None, ...], int] | None = None
    """Newest time (µs) of each series, read at the first write. It may be too new, as after a deletion: then rows are
    merged that could have been appended."""


@dataclass(slots=True)
class Tables:
    """The tables of one database, and the connection that writes to them."""

    connection: duckdb.DuckDBPyConnection
    _tables: dict[str, _Table] = field(default_factory=dict)

    def load(self) -> None:
        """Read the schema from the file, at the start and after a rollback."""
        rows = self.connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns()"
            " WHERE database_name = 'public' AND schema_name = 'iox' ORDER BY table_oid, column_index"
        ).fetchall()
        self._tables.clear()
        for table, column, kind in rows:
            self._tables.setdefault(table, _Table({})).columns[column] = Kind(kind)

    def columns(self) -> dict[str, Columns]:
        """Return the columns of each table. The dictionaries are replaced, never changed: any thread may read them."""
        return {name: table.columns for name, table in list(self._tables.items())}

    def columns_with(self, shape: Shape, draft: dict[str, Columns]) -> Columns:
        """Return what the shape's table would look like, after what is drafted; see ``extended`` for the errors."""
        known = draft.get(shape.table)
        if known is None:
            table = self._tables.get(shape.table)
            if table is None:
                self._check_new_table(shape.table, draft)
            known = table.columns if table else {}
        return extended(known, shape)

    def _check_new_table(self, name: str, draft: dict[str, Columns]) -> None:
        _check_name("table", name, (*self._tables, *draft))
        new = sum(other not in self._tables for other in draft)
        if len(self._tables) + new >= MAX_TABLES:
            raise LimitReachedError(f"Update to schema would exceed number of tables limit of {MAX_TABLES} tables")

    def adopt(self, draft: dict[str, Columns]) -> None:
        """Create the tables and columns that are new in ``draft``, inside the caller's transaction."""
        for name, columns in draft.items():
            table = self._tables.get(name)
            if table is None:
                table = self._create(name)
            for column, kind in columns.items():
                if column not in table.columns:
                    self._add_column(name, table, column, kind)

    def _create(self, name: str) -> _Table:
        self.connection.execute(f"CREATE TABLE public.iox.{quoted(name)} (time TIMESTAMPTZ NOT NULL)")
        self._comment(name, "time", Kind.TIME)
        self._tables[name] = _Table({"time": Kind.TIME}, {})
        return self._tables[name]

    def _add_column(self, name: str, table: _Table, column: str, kind: Kind) -> None:
        self.connection.execute(f"ALTER TABLE public.iox.{quoted(name)} ADD COLUMN {quoted(column)} {_SQL_TYPES[kind]}")
        self._comment(name, column, kind)
        table.columns = {**table.columns, column: kind}
        if kind is Kind.TAG and table.newest:
            table.newest = {(*series, None): time for series, time in table.newest.items()}

    def _comment(self, name: str, column: str, kind: Kind) -> None:
        self.connection.execute(f"COMMENT ON COLUMN public.iox.{quoted(name)}.{quoted(column)} IS '{kind.value}'")

    def upsert(self, name: str, batches: Sequence[tuple[int, Rows]]) -> None:
        """Store rows of one table, inside the caller's transaction.

        Args:
            name: A table that has all the columns of the rows.
            batches: Rows, each with the number that the order of its lines starts from: later lines win.
        """
        table = self._tables[name]
        rows = _in_order([_arrow(first, rows) for first, rows in batches])
        late = self._late(name, table, rows)
        if not any(late):
            self._append(name, rows)
            return
        is_late = pa.array(late)
        if not all(late):
            self._append(name, rows.filter(compute.invert(is_late)))
        self._merge(name, table.columns, rows.filter(is_late))

    def _late(self, name: str, table: _Table, rows: pa.Table) -> list[bool]:
        """Tell for each row whether its series has one as new or newer; remembers the newest."""
        if table.newest is None:
            table.newest = self._read_newest(name, table.columns)
        newest, late, unknown = table.newest, list[bool](), [None] * rows.num_rows
        present = set(rows.column_names)
        tags = [rows[tag].to_pylist() if tag in present else unknown for tag in tags_of(table.columns)]
        times = rows["time"].cast(pa.int64()).to_pylist()
        is_full = len(newest) >= MAX_REMEMBERED_SERIES
        for series, time in zip(zip(*tags, strict=True) if tags else [()] * len(times), times, strict=True):
            known = newest.get(series)
            if known is None:
                late.append(is_full)
                if not is_full:
                    newest[series] = time
                    is_full = len(newest) >= MAX_REMEMBERED_SERIES
            elif time > known:
                newest[series] = time
                late.append(False)
            else:
                late.append(True)
        return late

    def _read_newest(self, name: str, columns: Columns) -> dict[tuple[str | None, ...], int]:
        tags = tags_of(columns)
        keys = ", ".join(["epoch_us(max(time))", *map(quoted, tags)])
        grouping = f"GROUP BY {', '.join(map(quoted, tags))}" if tags else "HAVING count(*) > 0"
        rows = self.connection.execute(
            f"SELECT {keys} FROM public.iox.{quoted(name)} {grouping} LIMIT {MAX_REMEMBERED_SERIES}"  # noqa: S608 - quoted
        ).fetchall()
        return {tuple(series): time for time, *series in rows}

    def _append(self, name: str, rows: pa.Table) -> None:
        columns = ", ".join(quoted(column) for column in rows.column_names if column != _ORDER)
        with _View(self.connection, rows):
            self.connection.execute(
                f"INSERT INTO public.iox.{quoted(name)} ({columns}) SELECT {columns} FROM batch"  # noqa: S608 - quoted
            )

    def _merge(self, name: str, columns: Columns, rows: pa.Table) -> None:
        with _View(self.connection, rows):
            self.connection.execute(_merge_sql(name, columns, set(rows.column_names)))


def _merge_sql(name: str, columns: Columns, present: set[str]) -> str:
    """Merge the view ``batch`` into a table; rows that would not change are left alone."""
    keys = [quoted(key) for key in ("time", *tags_of(columns)) if key in present]
    absent = [quoted(tag) for tag in tags_of(columns) if tag not in present]
    fields = [quoted(name) for name, kind in columns.items() if kind not in (Kind.TAG, Kind.TIME) and name in present]
    order = quoted(_ORDER)
    collapsed = ", ".join([*keys, *(f"arg_max({field}, {order}) AS {field}" for field in fields)])
    matching = [f"stored.{key} IS NOT DISTINCT FROM late.{key}" for key in keys[1:]]
    matching += [f"stored.{tag} IS NULL" for tag in absent]
    changed = " OR ".join(
        f"(late.{field} IS NOT NULL AND late.{field} IS DISTINCT FROM stored.{field})" for field in fields
    )
    merged = ", ".join(f"{field} = coalesce(late.{field}, stored.{field})" for field in fields)
    inserted = [*keys, *fields]
    return (
        f"MERGE INTO public.iox.{quoted(name)} AS stored"  # noqa: S608 - every name is quoted
        f" USING (SELECT {collapsed} FROM batch GROUP BY {', '.join(keys)}) AS late"
        f" ON {' AND '.join(['stored.time = late.time', *matching])}"
        f" WHEN MATCHED AND ({changed}) THEN UPDATE SET {merged}"
        f" WHEN NOT MATCHED THEN INSERT ({', '.join(inserted)})"
        f" VALUES ({', '.join(f'late.{column}' for column in inserted)})"
    )


def _arrow(first: int, rows: Rows) -> pa.Table:
    shape = rows.shape
    arrays = {
        "time": pa.array(rows.times, _TIME),
        _ORDER: pa.array([first + number for number in rows.numbers], pa.int64()),
    }
    arrays |= {tag: pa.array(values, pa.string()) for tag, values in zip(shape.tags, rows.tags, strict=True)}
    for (name, kind), values in zip(shape.fields, rows.fields, strict=True):
        arrays[name] = pa.array(values, _ARROW_TYPES[kind])
    return pa.table(arrays)


def _in_order(parts: list[pa.Table]) -> pa.Table:
    if len(parts) == 1:
        return parts[0]
    return pa.concat_tables(parts, promote_options="default").sort_by(_ORDER)


@dataclass(slots=True)
class _View:
    """Shows an Arrow table to DuckDB under the name ``batch``, without a copy."""

    connection: duckdb.DuckDBPyConnection
    rows: pa.Table

    def __enter__(self) -> None:
        self.connection.register("batch", self.rows)

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:  # else the transaction is aborted, and takes the name with it
            self.connection.unregister("batch")
