"""Running a query: from a database and a text to a stream of batches, within the limits."""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import duckdb
import pyarrow as pa

from store.config import StoreConfig
from store.database import Database
from store.errors import InvalidQueryError, QueryTimeoutError, StorageError
from store.sql import admit
from store.wire import cut, wire_batch, wire_schema

logger = logging.getLogger("store")

T = TypeVar("T")

_BATCH_ROWS = 16 * 2048
"""A multiple of DuckDB's vectors. Rows of the usual width make about a megabyte."""


def describe(config: StoreConfig, database: Database, sql: str, parameters: Mapping[str, Any]) -> pa.Schema:
    """Plan a statement without running it; returns the schema that its stream will have. Errors as ``ResultStream``."""
    session = _Session(config, database)
    try:
        relation = session.plan(sql, parameters)
        return wire_schema(session.call(lambda: relation.limit(0).to_arrow_table().schema))
    finally:
        session.close()


class ResultStream:
    """The rows of one query, as batches of ``schema``. Holds a reader of the database until it ends or is closed.

    What DuckDB computes is read as it is asked for, so a result larger than memory streams through.
    """

    def __init__(self, config: StoreConfig, database: Database, sql: str, parameters: Mapping[str, Any]) -> None:
        """Start the query: what is wrong with the statement is raised here, not in mid-stream.

        Raises:
            BusyError: No reader came free.
            InvalidQueryError: The statement may not run, or does not.
            QueryTimeoutError: The time limit came before the first row.
            StorageError: Disk or engine failed.
        """
        self._max_rows, self._rows = config.query_max_rows, 0
        self._pending: deque[pa.RecordBatch] = deque()
        self._session = _Session(config, database)
        try:
            relation = self._session.plan(sql, parameters)
            self._batches = self._session.call(lambda: relation.to_arrow_reader(_BATCH_ROWS))
            self.schema: pa.Schema = wire_schema(self._batches.schema)
            self._fill()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pa.RecordBatch:
        try:
            if self._fill():
                return self._pending.popleft()
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def _fill(self) -> bool:
        """Read until a batch is pending; False at the end."""
        while not self._pending:
            batch = None if self._session.is_closed else self._session.call(lambda: next(self._batches, None))
            if batch is None:
                return False
            self._rows += batch.num_rows
            if self._rows > self._max_rows:
                raise InvalidQueryError(
                    f"the result has more than {self._max_rows} rows: add a LIMIT, or a filter on time"
                )
            if batch.num_rows:
                self._pending.extend(cut(wire_batch(batch, self.schema)))
        return True

    def close(self) -> None:
        """Give the reader back. Safe to call twice, and from any thread."""
        self._batches = None
        self._session.close()

    def __del__(self) -> None:
        """Close when a Flight client went away: nothing else notices."""
        if hasattr(self, "_session"):
            self.close()


class _Session:
    """A borrowed reader in a read-only transaction, with a deadline."""

    def __init__(self, config: StoreConfig, database: Database) -> None:
        self.is_closed = False
        self._database, self._timeout_s = database, config.query_timeout_s
        self._reader = database.take_reader()
        self._deadline = _Deadline(self._reader, config.query_timeout_s)

    def plan(self, sql: str, parameters: Mapping[str, Any]) -> duckdb.DuckDBPyRelation:
        admitted = admit(sql, parameters, self._database.tables.columns(), self._reader)
        self._reader.execute("BEGIN TRANSACTION READ ONLY")
        relation = self.call(lambda: self._reader.sql(admitted.sql, params=admitted.parameters or None))
        if relation is None:
            raise InvalidQueryError("the statement has no result")
        return relation

    def call(self, step: Callable[[], T]) -> T:
        """Run a step of DuckDB's, and put its errors in our words; its Arrow streams raise OSError for all of them."""
        if self._deadline.has_passed:  # between two batches, when the client was slow
            raise QueryTimeoutError(f"the query took longer than {self._timeout_s:g} s")
        try:
            return step()
        except (duckdb.Error, pa.ArrowException, OSError, ValueError) as error:
            if self._deadline.has_passed:
                raise QueryTimeoutError(f"the query took longer than {self._timeout_s:g} s") from error
            if str(error).startswith(("INTERNAL Error", "FATAL Error", "IO Error", "Serialization Error")):
                logger.error("query failed: %s", error)  # noqa: TRY400 - the engine's text is all there is to know
                raise StorageError("the query failed inside the store; its log has the reason") from error
            # DuckDB shows the statement below its message, with the translation in it.
            raise InvalidQueryError(str(error).split("\n\nLINE ")[0].strip()) from error

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._deadline.cancel()
        with contextlib.suppress(duckdb.Error):  # there may be no transaction yet
            self._reader.execute("ROLLBACK")
        self._database.return_reader(self._reader)


class _Deadline:
    """Interrupts a reader when its time is over, and surely not after ``cancel``."""

    def __init__(self, reader: duckdb.DuckDBPyConnection, timeout_s: float) -> None:
        self.has_passed = False
        self._reader = reader
        self._is_cancelled = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(timeout_s, self._interrupt)
        self._timer.daemon = True
        self._timer.start()

    def _interrupt(self) -> None:
        with self._lock:
            if not self._is_cancelled:
                self.has_passed = True
                self._reader.interrupt()

    def cancel(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._is_cancelled = True
