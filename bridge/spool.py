"""The spool: what was accepted, on disk, from the commit until some time after the store has it.

One SQLite file (WAL, ``synchronous=FULL``: a commit is on the disk when it returns). Readings are numbered from the
first that was ever accepted; a batch's id is the number of its last reading. Blocking; one thread at a time.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import IO, TYPE_CHECKING

from bridge.fingerprints import WINDOW, split_entries
from bridge.idempotency import Answer, Asked
from bridge.timeline import CAPACITY
from sensorflow.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from bridge.columns import Column
    from bridge.intake import Commit, DeadLetter

FILE_NAME = "spool.db"
MAX_CHUNK_READINGS = 10_000
MAX_CHUNK_BYTES = 4 * 2**20
# Of the disk, which commits leave free. Marking a chunk as shipped writes it once more: on a disk without any room the
# store could have everything and the spool would stay full.
RESERVE_BYTES = 16 * 2**20
_WAL_BYTES = 8 * 2**20  # to which the WAL is cut when all of it is in the file: one large commit must not keep the room
_PAGE_BYTES = 4096

# Step n makes version n + 1 of version n. Steps are added and never changed: spools that they have made are out there.
STEPS = [
    """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE batch (id INTEGER PRIMARY KEY, readings INTEGER NOT NULL, created_us INTEGER NOT NULL,
                    shipped_us INTEGER, lines BLOB NOT NULL);
CREATE INDEX batch_shipped ON batch (shipped_us);
CREATE TABLE field (tbl TEXT, name TEXT, type TEXT NOT NULL, PRIMARY KEY (tbl, name)) WITHOUT ROWID;
CREATE TABLE fingerprint (id INTEGER PRIMARY KEY, entries BLOB NOT NULL);
CREATE TABLE dead_letter (id INTEGER PRIMARY KEY AUTOINCREMENT, time_us INTEGER NOT NULL, reason TEXT NOT NULL,
                          detail TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, client_ip TEXT);
""",
    """
CREATE TABLE answer (id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, request BLOB NOT NULL, number INTEGER NOT NULL,
                     content BLOB NOT NULL, payload BLOB NOT NULL, outcomes BLOB NOT NULL);
""",
]


class SpoolFullError(TransientError):
    """The spool is at its limit or the disk is full: nothing was written. There may be room later."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Batches that go to the store in one write.

    Args:
        first: Id of the first batch.
        last: Id of the last batch.
        created_us: When the oldest of them was accepted.
    """

    first: int
    last: int
    created_us: int
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class Depth:
    """How much the spool holds, by number of readings; ``accepted = stored + spooled + dead_letters``, always.

    ``room_bytes`` is what it takes before commits are held up, by its limit or by what is free on its disk.
    """

    accepted: int
    stored: int
    spooled: int
    dead_letters: int
    duplicates: int
    oldest_us: int | None
    size_bytes: int
    room_bytes: int = 0


class Spool:
    """The spool of one bridge; a second process that opens it for writing is refused.

    Args:
        max_bytes: When the spool holds this much, or the disk is full up to ``RESERVE_BYTES`` (one commit may go
            beyond either), a commit raises ``SpoolFullError`` until shipped batches have made room. Only commits are
            held up: what is spooled can always be marked as shipped. Nothing that is not shipped is ever dropped to
            make room.

    Raises:
        SystemExit: Another bridge has it, or it was written by a newer version.
    """

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file, self._max_bytes = directory / FILE_NAME, max_bytes
        self._lock = _lock(directory)
        self._db = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            self._db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            self._prepare_schema(directory)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and let go of it."""
        self._db.close()
        self._lock.close()

    def commit(self, commit: Commit) -> None:
        """Write all of it, durably, or nothing.

        Raises:
            SpoolFullError: Nothing was written.
        """
        # Not PRAGMA max_page_count: at that limit not even the batches could be marked that make room.
        used, free = self._bytes()
        if used >= self._max_bytes:
            raise SpoolFullError(f"the spool holds {used:,} of {self._max_bytes:,} bytes")
        if free < RESERVE_BYTES:
            raise SpoolFullError(f"the spool's disk has room for {free:,} bytes, at least {RESERVE_BYTES:,} have to be")
        with self._transaction() as db:
            if commit.starts_session:
                db.execute("DELETE FROM fingerprint")
            if commit.fingerprints:
                last = self._add("messages", len(commit.fingerprints))
                db.execute("INSERT INTO fingerprint VALUES (?, ?)", (last, b"".join(commit.fingerprints)))
            if commit.lines:
                last = self._add("readings", len(commit.lines))
                row = (last, len(commit.lines), commit.time_us, "\n".join(commit.lines).encode())
                db.execute("INSERT INTO batch (id, readings, created_us, lines) VALUES (?, ?, ?, ?)", row)
            db.executemany("INSERT INTO field VALUES (?, ?, ?)", commit.columns)
            if commit.duplicates:
                self._add("duplicates", commit.duplicates)
            if commit.answers:
                db.execute("DELETE FROM answer WHERE id < ?", (commit.oldest_answer_id,))
                rows = (
                    (each.id, each.time_us, asked.request, asked.number, asked.content, asked.payload, each.outcomes)
                    for each in commit.answers
                    if (asked := each.asked) and each.id >= commit.oldest_answer_id
                )
                db.executemany("INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            if commit.dead_letters:
                self._add("dead_letters", len(commit.dead_letters))
                self._bury(commit.dead_letters)

    def unshipped(self, after: int) -> Chunk | None:
        """The oldest batches beyond id ``after`` that are not in the store: at least one, at most a chunk's bounds."""
        rows = self._db.execute(
            "SELECT id, created_us, readings, lines FROM batch WHERE shipped_us IS NULL AND id > ? ORDER BY id",
            (after,),
        )
        ids: list[int] = []
        created, readings, lines = 0, 0, list[bytes]()
        size = 0
        for batch_id, created_us, count, text in rows:
            if ids and (readings + count > MAX_CHUNK_READINGS or size + len(text) > MAX_CHUNK_BYTES):
                break
            created = created or created_us
            ids.append(batch_id)
            lines += text.split(b"\n")
            readings, size = readings + count, size + len(text)
        return Chunk(ids[0], ids[-1], created, lines) if ids else None

    def mark_shipped(self, chunk: Chunk, now_us: int, rejected: Mapping[bytes, DeadLetter]) -> None:
        """The store has the chunk, but for these lines, which are dead letters from now on.

        Raises:
            SpoolFullError: Not noted; shipping the chunk again changes nothing.
        """
        # To forget this costs only another write of the same rows, so it need not wait for the disk.
        with self._transaction(is_durable=bool(rejected)):
            if rejected:
                self._take_out(chunk, rejected)
            self._count_shipped(
                "UPDATE batch SET shipped_us = ? WHERE id BETWEEN ? AND ? AND shipped_us IS NULL"
                " RETURNING id, readings",
                (now_us, chunk.first, chunk.last),
                sign=1,
            )

    def store(self) -> int:
        """The store that has what is shipped, as ``unship`` was told; 0 while there was none."""
        return self._meta("store")

    def unship(self, window_us: int, store: int = 0) -> tuple[int, int]:
        """Have shipped again what was shipped within the window before the last: the store may have lost it.

        ``store`` is a number for the one that it will be shipped to, 0 where stores cannot be told apart.

        Returns:
            How many readings, and the id of their last batch (0 without any).
        """
        with self._transaction() as db:
            # In this transaction: noted any earlier, a kill between the two would leave the store without them.
            db.execute("INSERT OR REPLACE INTO meta VALUES ('store', ?)", (store,))
            return self._count_shipped(
                "UPDATE batch SET shipped_us = NULL WHERE shipped_us >= (SELECT max(shipped_us) FROM batch) - ?"
                " RETURNING id, readings",
                (window_us,),
                sign=-1,
            )

    def prune(self, window_us: int) -> None:
        """Delete what ``unship`` would not want again, but for the readings that the timeline wants to know."""
        with self._transaction(is_durable=False) as db:
            db.execute(
                "DELETE FROM batch WHERE id <= ? AND shipped_us < (SELECT max(shipped_us) FROM batch) - ?",
                (self._meta("readings") - CAPACITY, window_us),
            )
            db.execute("DELETE FROM fingerprint WHERE id <= ?", (self._meta("messages") - WINDOW,))

    def make_room(self) -> bool:
        """Delete the older half of what is shipped, also where ``unship`` would want it: accepting comes first.

        Where nothing is, the older half of the answers to requests that may come again.

        Returns:
            Whether there was any.
        """
        with self._transaction(is_durable=False) as db:
            deleted = db.execute(
                "DELETE FROM batch WHERE shipped_us IS NOT NULL"
                " AND id <= (SELECT (min(id) + max(id)) / 2 FROM batch WHERE shipped_us IS NOT NULL)"
            )
            if deleted.rowcount == 0:
                deleted = db.execute("DELETE FROM answer WHERE id <= (SELECT (min(id) + max(id)) / 2 FROM answer)")
            return deleted.rowcount > 0

    def recent_lines(self) -> Iterator[str]:
        """The last readings, oldest first: at least as many as the timeline wants, or all."""
        horizon = self._meta("readings") - CAPACITY
        for (lines,) in self._db.execute("SELECT lines FROM batch WHERE id > ? ORDER BY id", (horizon,)):
            yield from lines.decode().split("\n")

    def columns(self) -> list[Column]:
        """The columns that all readings so far have made."""
        return self._db.execute("SELECT tbl, name, type FROM field").fetchall()

    def fingerprints(self) -> Iterator[bytes]:
        """The fingerprints of the MQTT session, oldest first."""
        for (entries,) in self._db.execute("SELECT entries FROM fingerprint ORDER BY id"):
            yield from split_entries(entries)

    def answers(self) -> Iterator[Answer]:
        """What was answered to requests that may come again, oldest first."""
        rows = self._db.execute(
            "SELECT id, time_us, request, number, content, payload, outcomes FROM answer ORDER BY id"
        )
        for id_, time_us, request, number, content, payload, outcomes in rows:
            yield Answer(id_, time_us, Asked(request, number, content, payload), outcomes)

    def depth(self) -> Depth:
        """The figures of the status."""
        oldest = self._db.execute(
            "SELECT created_us FROM batch WHERE shipped_us IS NULL ORDER BY id LIMIT 1"
        ).fetchone()
        readings, shipped, rejected = self._meta("readings"), self._meta("shipped"), self._meta("rejected")
        refused = self._meta("dead_letters")
        used, free = self._bytes()
        return Depth(
            accepted=readings + refused,
            stored=shipped - rejected,
            spooled=readings - shipped,
            dead_letters=refused + rejected,
            duplicates=self._meta("duplicates"),
            oldest_us=oldest[0] if oldest else None,
            size_bytes=used,
            room_bytes=max(0, min(self._max_bytes - used, free - RESERVE_BYTES)),
        )

    def _bytes(self) -> tuple[int, int]:
        """What the spool holds, and what there is room for: in its file, which never shrinks, and on the disk."""
        free, pages = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
        used = int(pages - free) * _PAGE_BYTES
        disk = os.statvfs(self._file)
        # Not by the free pages: some of them may be in the WAL alone, and need room when they go into the file.
        return used, self._file.stat().st_size + disk.f_bavail * disk.f_frsize - used

    def _prepare_schema(self, directory: Path) -> None:
        """Bring what an earlier release has written up to date, as a whole or not at all."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(STEPS):
            raise SystemExit(f"spool in {directory} has version {version}, this bridge knows {len(STEPS)}: update it")
        if version < len(STEPS):
            steps = "".join(STEPS[version:])
            self._db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {len(STEPS)}; COMMIT;")

    def _bury(self, dead_letters: Iterable[DeadLetter]) -> None:
        self._db.executemany(
            "INSERT INTO dead_letter (time_us, reason, detail, topic, payload, client_ip) VALUES (?, ?, ?, ?, ?, ?)",
            map(astuple, dead_letters),
        )

    def _take_out(self, chunk: Chunk, rejected: Mapping[bytes, DeadLetter]) -> None:
        """Make the rejected lines dead letters, and let neither ``unship`` nor the timeline see them again."""
        batches = self._db.execute(
            "SELECT id, lines FROM batch WHERE id BETWEEN ? AND ? AND shipped_us IS NULL", (chunk.first, chunk.last)
        ).fetchall()
        for batch_id, text in batches:
            lines = text.split(b"\n")
            if not (buried := [rejected[line] for line in lines if line in rejected]):
                continue
            kept = [line for line in lines if line not in rejected]
            if kept:
                row = (len(kept), b"\n".join(kept), batch_id)
                self._db.execute("UPDATE batch SET readings = ?, lines = ? WHERE id = ?", row)
            else:
                self._db.execute("DELETE FROM batch WHERE id = ?", (batch_id,))
            self._add("shipped", len(buried))
            self._add("rejected", len(buried))
            self._bury(buried)

    def _count_shipped(self, update: str, parameters: tuple[int, ...], *, sign: int) -> tuple[int, int]:
        batches = self._db.execute(update, parameters).fetchall()
        readings = sum(int(count) for _, count in batches)
        self._add("shipped", sign * readings)
        return readings, max((int(batch_id) for batch_id, _ in batches), default=0)

    def _add(self, name: str, count: int) -> int:
        return int(
            self._db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
                " RETURNING value",
                (name, count),
            ).fetchone()[0]
        )

    def _meta(self, name: str) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def _transaction(self, *, is_durable: bool = True) -> Iterator[sqlite3.Connection]:
        self._db.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            # SQLITE_FULL, SQLITE_IOERR and its kin, SQLITE_BUSY: the disk's or another program's doing, not the row's.
            raise SpoolFullError(f"spool: {error}") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _lock(directory: Path) -> IO[str]:
    file = (directory / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise SystemExit(f"another bridge is running on the spool in {directory}") from None
    return file
