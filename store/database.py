"""Databases: one DuckDB file each, one connection that writes, and a few cursors that read.

Every DuckDB instance is an in-memory database named ``memory``, which holds our macros, with the file attached as
``public``: so InfluxDB's full names (``public.iox.readings``) and its information schema come out right. Once open, an
instance touches no other file, loads nothing, and its settings are locked.
"""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, LifoQueue

import duckdb

from store.config import StoreConfig
from store.errors import BusyError, InvalidRequestError, LimitReachedError, StartError, UnknownDatabaseError
from store.macros import INFORMATION_SCHEMA, MACROS
from store.tables import Tables, quoted

logger = logging.getLogger("store")

MAX_DATABASES = 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_END_S = 2.0
_SUFFIX = ".duckdb"


@dataclass(slots=True)
class Database:
    """One database. ``tables`` and what deletes belong to the thread that writes, ``reading`` is for any thread."""

    name: str
    connection: duckdb.DuckDBPyConnection
    tables: Tables
    retention_s: float | None
    wait_s: float
    readers: list[duckdb.DuckDBPyConnection]
    _free: LifoQueue[duckdb.DuckDBPyConnection] = field(default_factory=LifoQueue)

    def __post_init__(self) -> None:
        for reader in self.readers:
            self._free.put(reader)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, durably; on an error roll back and read the schema again."""
        self.connection.execute("BEGIN TRANSACTION")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        with suppress(duckdb.TransactionException):  # a failed COMMIT has rolled back already
            self.connection.execute("ROLLBACK")
        self.tables.load()

    def take_reader(self) -> duckdb.DuckDBPyConnection:
        """Borrow a cursor, to be given back by ``return_reader``.

        Raises:
            BusyError: All were in use for ``query_wait_s``.
        """
        try:
            return self._free.get(timeout=self.wait_s)
        except Empty:
            raise BusyError(f"all query slots were in use for {self.wait_s:g} s") from None

    def return_reader(self, reader: duckdb.DuckDBPyConnection) -> None:
        self._free.put(reader)

    def set_retention(self, retention_s: float | None) -> None:
        with self.transaction():
            self.connection.execute("DELETE FROM public.store.retention")
            if retention_s is not None:
                self.connection.execute("INSERT INTO public.store.retention VALUES ($1)", [retention_s])
        self.retention_s = retention_s

    def delete_before(self, time_us: int) -> None:
        """Delete the rows with an older time, a table at a time: each commit is short."""
        for table in self.tables.columns():
            with self.transaction():
                self.connection.execute(
                    f"DELETE FROM public.iox.{quoted(table)} WHERE time < make_timestamptz($1)",  # noqa: S608 - quoted
                    [time_us],
                )

    def interrupt(self) -> None:
        """Cut off the queries that run."""
        for reader in self.readers:
            reader.interrupt()

    def close(self) -> None:
        """Write everything to the file proper."""
        for reader in self.readers:
            _end(reader)
        self.connection.execute("CHECKPOINT public")
        self.connection.close()


def _end(reader: duckdb.DuckDBPyConnection) -> None:
    """Close it; a query that was cut off may need a moment to notice, and until then it lets nobody in."""
    deadline_s = time.monotonic() + _END_S
    while True:
        try:
            reader.close()
        except duckdb.Error:
            if time.monotonic() > deadline_s:
                raise
            reader.interrupt()
            time.sleep(0.01)
        else:
            return


def open_database(config: StoreConfig, name: str) -> Database:
    """Open or create the file of the database ``name``.

    Raises:
        StartError: The file is in use by another process, or is none of ours.
    """
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = config.data_dir / f"{name}{_SUFFIX}"
    connection = duckdb.connect(":memory:", config=_settings(config))
    try:
        connection.execute(f"ATTACH {_literal(path)} AS public")
    except duckdb.Error as error:
        connection.close()
        raise StartError(_why_not(path, error)) from error
    connection.execute("CREATE SCHEMA IF NOT EXISTS public.iox; CREATE SCHEMA IF NOT EXISTS public.store")
    connection.execute("CREATE TABLE IF NOT EXISTS public.store.retention (seconds DOUBLE NOT NULL)")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute(MACROS)
    connection.execute(INFORMATION_SCHEMA)
    retention = connection.execute("SELECT seconds FROM public.store.retention").fetchone()
    readers = [connection.cursor() for _ in range(config.query_concurrency)]
    for reader in readers:
        reader.execute("SET search_path = 'public.iox,memory.main'")
    connection.execute("SET GLOBAL enable_external_access = false; SET GLOBAL lock_configuration = true")
    tables = Tables(connection)
    tables.load()
    return Database(name, connection, tables, retention[0] if retention else None, config.query_wait_s, readers)


def _settings(config: StoreConfig) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": config.memory_limit,
        "threads": config.threads,
        "temp_directory": str(config.data_dir / "spill"),
        "max_temp_directory_size": "4GB",
        "integer_division": True,  # 7 / 2 is 3 in InfluxDB
        "error_on_division_by_zero": False,  # there a float divided by zero is infinite, here it is null
        "default_null_order": "nulls_last_on_asc_first_on_desc",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,  # else SQL could read this process's variables
    }


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _why_not(path: Path, error: duckdb.Error) -> str:
    if "lock" in str(error).lower():
        return f"{path} is in use by another process"
    return f"cannot open {path}: {str(error).splitlines()[0]}"


@dataclass(slots=True)
class Databases:
    """The databases of one store. Created and closed by the thread that writes; looked up by any."""

    config: StoreConfig
    _open: dict[str, Database] = field(default_factory=dict)

    def open_all(self) -> None:
        """Open the files there are, and the configured database."""
        names = {path.name.removesuffix(_SUFFIX) for path in self.config.data_dir.glob(f"*{_SUFFIX}")}
        for name in sorted({*names, self.config.database}):
            try:
                self.create(name)
            except (InvalidRequestError, LimitReachedError) as error:
                raise StartError(f"{self.config.data_dir}: {error}") from error
        if self.config.retention_s is not None:
            self.get(self.config.database).set_retention(self.config.retention_s)

    def create(self, name: str) -> Database:
        """Return the database, opened and created if need be."""
        if name in self._open:
            return self._open[name]
        check_database_name(name)
        if any(name.casefold() == other.casefold() for other in self._open):
            raise InvalidRequestError(f"database name {name!r} differs from an existing one only in case")
        if len(self._open) >= MAX_DATABASES:
            raise LimitReachedError(f"Adding a new database would exceed limit of {MAX_DATABASES} databases")
        self._open[name] = open_database(self.config, name)
        return self._open[name]

    def get(self, name: str) -> Database:
        try:
            return self._open[name]
        except KeyError:
            raise UnknownDatabaseError(f"database not found: {name}") from None

    def all(self) -> list[Database]:
        return [self._open[name] for name in sorted(self._open)]

    def close(self) -> None:
        for database in self.all():
            database.close()
        self._open.clear()


def check_database_name(name: str) -> None:
    """Let through what is one plain file name, on any file system."""
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"invalid database name {name[:80]!r}: letters, digits, '_' and '-', a letter or digit first, at most 64"
        )
