"""The dead letters in the spool, for whoever looks at them from outside; the bridge itself only adds them.

Works beside a running bridge: readers of SQLite's WAL hold up nobody, and deletions are short transactions.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.spool import FILE_NAME
from sensorflow.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_BUSY_TIMEOUT_S = 10.0  # many times what the bridge needs for a commit
_DELETED_AT_ONCE = 1000  # so that the bridge never waits long for the lock
_COLUMNS = "id, time_us, reason, detail, topic, payload, client_ip"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message, or one reading of a message, that was rejected.

    Args:
        time_us: When it was first seen.
        client_ip: Where it came from over HTTP.
    """

    id: int
    time_us: int
    reason: str
    detail: str
    topic: str
    payload: bytes
    client_ip: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant: with one of these ids, and of this reason; without either, all.

    Args:
        after_id: Only later ones than this.
        last_id: None later than this one. It keeps those out that arrive after a person has looked.
    """

    ids: Collection[int] = ()
    reason: str | None = None
    after_id: int = 0
    last_id: int | None = None

    def where(self) -> tuple[str, list[int | str]]:
        """As SQL, with its parameters."""
        terms = ["id > ?"]
        values: list[int | str] = [self.after_id]
        if self.ids:
            terms.append(f"id IN ({','.join('?' * len(self.ids))})")
            values += self.ids
        if self.reason is not None:
            terms.append("reason = ?")
            values.append(self.reason)
        if self.last_id is not None:
            terms.append("id <= ?")
            values.append(self.last_id)
        return " AND ".join(terms), values


@contextmanager
def opened(directory: Path, *, to_delete: bool = False) -> Iterator[sqlite3.Connection]:
    """The spool that the bridge made in this directory, read-only unless ``to_delete``; it is never created here.

    Raises:
        PermanentError: There is none, or it is no spool.
        TransientError: It stays locked.
    """
    spool = directory / FILE_NAME
    if not spool.is_file():
        raise PermanentError(f"no spool at {spool}: the bridge has not run with this data directory")
    try:
        connection = sqlite3.connect(
            f"{spool.resolve().as_uri()}?mode={'rw' if to_delete else 'ro'}",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
        )
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        is_busy = error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        raise (TransientError if is_busy else PermanentError)(f"{spool}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise PermanentError(f"{spool}: {error}") from error


def selected(
    connection: sqlite3.Connection, selection: Selection, *, limit: int = -1, newest_first: bool = False
) -> Iterator[DeadLetter]:
    """Those that are meant, oldest first unless ``newest_first``; at most ``limit``, where it is not negative."""
    condition, values = selection.where()
    order = "DESC" if newest_first else "ASC"
    sql = f"SELECT {_COLUMNS} FROM dead_letter WHERE {condition} ORDER BY id {order} LIMIT ?"  # noqa: S608 - our own words
    for row in connection.execute(sql, [*values, limit]):
        yield DeadLetter(*row)


def count(connection: sqlite3.Connection, selection: Selection) -> tuple[int, int]:
    """How many are meant, and the last one's id (0 without any)."""
    condition, values = selection.where()
    sql = f"SELECT count(*), coalesce(max(id), 0) FROM dead_letter WHERE {condition}"  # noqa: S608 - our own words
    number, last_id = connection.execute(sql, values).fetchone()
    return number, last_id


def reasons(connection: sqlite3.Connection) -> list[str]:
    """Those that there are, in alphabetical order."""
    return [reason for (reason,) in connection.execute("SELECT DISTINCT reason FROM dead_letter ORDER BY reason")]


def delete(connection: sqlite3.Connection, selection: Selection) -> int:
    """Delete those that are meant and add them to the spool's count of purged ones; returns how many there were."""
    condition, values = selection.where()
    some = f"SELECT id FROM dead_letter WHERE {condition} LIMIT {_DELETED_AT_ONCE}"  # noqa: S608 - our own words
    total = 0
    while deleted := _delete_some(connection, some, values):
        total += deleted
    return total


def _delete_some(connection: sqlite3.Connection, some: str, values: list[int | str]) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        deleted = connection.execute(f"DELETE FROM dead_letter WHERE id IN ({some})", values).rowcount  # noqa: S608 - as above
        connection.execute(
            "INSERT INTO meta (name, value) VALUES ('purged', ?) "
            "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            [deleted],
        )
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return deleted
