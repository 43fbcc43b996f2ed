"""Group commit: what arrives while one commit runs is the next commit. No timer, one thread that writes.

A write's future is done after DuckDB has synced its log, never before, so that a 204 outlives any crash.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import duckdb

from store.database import Database, Databases
from store.errors import BusyError, LimitReachedError, StartError, StorageError, StoreError
from store.line_protocol import LineError, Parsed, Rows
from store.tables import Columns, SchemaConflictError

logger = logging.getLogger("store")

T = TypeVar("T")

MAX_PENDING_WRITES = 1024
_COMMIT_LINES = 100_000
"""Lines in one commit, give or take a body: bounds how long a write waits for those it shares a commit with."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one body.

    Args:
        errors: Lines that were refused, in their order. The others are stored, unless the body asked for all or none.
        is_limit: One was refused because the database is full of tables, or the table of columns.
    """

    errors: list[LineError]
    is_limit: bool = False


@dataclass(slots=True)
class _Write:
    database: str
    parsed: Parsed
    is_partial_ok: bool
    outcome: asyncio.Future[Outcome]


@dataclass(slots=True)
class _Plan:
    """What a commit will do, decided before it begins."""

    draft: dict[str, Columns] = field(default_factory=dict)
    rows: dict[str, list[tuple[int, Rows]]] = field(default_factory=dict)
    lines: int = 0


class Writer:
    """Owns the one thread that changes the databases."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._thread = ThreadPoolExecutor(1, "store-writer")
        self._pending: asyncio.Queue[_Write] = asyncio.Queue(MAX_PENDING_WRITES)

    async def write(self, database: str, parsed: Parsed, *, is_partial_ok: bool) -> Outcome:
        """Store a body; returns when it is on disk. The database is created if need be.

        Raises:
            BusyError: ``MAX_PENDING_WRITES`` wait already.
            InvalidRequestError, LimitReachedError: There can be no such database.
            StorageError: Nothing was stored.
        """
        write = _Write(database, parsed, is_partial_ok, asyncio.get_running_loop().create_future())
        try:
            self._pending.put_nowait(write)
        except asyncio.QueueFull:
            raise BusyError(f"{MAX_PENDING_WRITES} writes wait already") from None
        return await write.outcome

    async def call(self, function: Callable[[], T]) -> T:
        """Run something else that changes a database, between two commits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def run(self) -> None:
        """Commit what arrives, until cancelled. A commit that has begun is finished first."""
        while True:
            group = [await self._pending.get()]
            lines = len(group[0].parsed.starts)
            while lines < _COMMIT_LINES and not self._pending.empty():
                group.append(self._pending.get_nowait())
                lines += len(group[-1].parsed.starts)
            await asyncio.shield(self.call(partial(self._commit, group)))

    async def close(self) -> None:
        """Close the databases after what is under way."""
        await self.call(self._databases.close)
        self._thread.shutdown()

    def _commit(self, group: Sequence[_Write]) -> None:
        """Commit a group, one transaction for each database in it, and tell the waiting ones.

        Raises:
            duckdb.FatalException: DuckDB takes nothing more until the process restarts. The waiting ones were told.
        """
        for name in dict.fromkeys(write.database for write in group):
            writes = [write for write in group if write.database == name]
            try:
                _tell_all(writes, _store(self._databases.create(name), writes))
            except StoreError as error:
                _tell_all(writes, [error] * len(writes))
            except (duckdb.Error, StartError) as error:
                logger.error("commit to %r failed, nothing is stored: %s", name, error)  # noqa: TRY400 - the text says it
                _tell_all(writes, [StorageError("the store could not write; its log has the reason")] * len(writes))
                if isinstance(error, duckdb.FatalException):
                    raise


def _tell_all(writes: Sequence[_Write], results: Sequence[Outcome | StoreError]) -> None:
    for write, result in zip(writes, results, strict=True):
        write.outcome.get_loop().call_soon_threadsafe(_tell, write.outcome, result)


def _tell(future: asyncio.Future[Outcome], result: Outcome | StoreError) -> None:
    if future.done():
        return  # the client has gone away
    if isinstance(result, StoreError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _store(database: Database, writes: Sequence[_Write]) -> list[Outcome]:
    plan = _Plan()
    outcomes = [_planned(database, write, plan) for write in writes]
    if plan.rows:
        with database.transaction():
            database.tables.adopt(plan.draft)
            for table, batches in plan.rows.items():
                database.tables.upsert(table, batches)
    return outcomes


def _planned(database: Database, write: _Write, plan: _Plan) -> Outcome:
    """Add to the plan what of a body fits the tables."""
    parsed, draft, is_limit = write.parsed, dict(plan.draft), False
    errors, fitting = list(parsed.errors), list[Rows]()
    for rows in parsed.rows:
        try:
            draft[rows.shape.table] = database.tables.columns_with(rows.shape, draft)
        except (SchemaConflictError, LimitReachedError) as error:
            is_limit |= isinstance(error, LimitReachedError)
            errors += [parsed.error(number, str(error)) for number in rows.numbers]
        else:
            fitting.append(rows)
    errors.sort(key=lambda error: error.number)
    if errors and not write.is_partial_ok:
        return Outcome(errors, is_limit)
    plan.draft = draft
    for rows in fitting:
        plan.rows.setdefault(rows.shape.table, []).append((plan.lines, rows))
    plan.lines += len(parsed.starts) + 1
    return Outcome(errors, is_limit)
