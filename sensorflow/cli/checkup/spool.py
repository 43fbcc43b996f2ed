"""The spool, read-only beside the running bridge, and the room on its disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import time
from contextlib import closing
from typing import TYPE_CHECKING

from sensorflow.cli.checkup.finding import Finding
from sensorflow.settings import kept_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = "spool.db"  # the bridge's, as is the version
VERSION = 2
STOPS_AT_BYTES = 16 * 2**20  # of free disk, below which the bridge accepts nothing
OLD_AFTER_S = 60.0
AHEAD_S = 5.0

_LOW_BYTES = 1024 * 2**20
_CHECK_S = 60.0  # a spool of 4 GiB takes about a tenth of that
_BUSY_TIMEOUT_S = 5.0


def examine(data_dir: Path) -> Iterator[Finding]:
    """Version, soundness, age, dead letters."""
    file = data_dir / "spool" / FILE_NAME
    if not file.is_file():
        yield Finding(
            "spool", f"there is none at {file}", "start the bridge (sensorflow up), or give the right --data-dir"
        )
        return
    try:
        with closing(
            sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)
        ) as connection:
            yield from _of_spool(connection, file)
    except sqlite3.OperationalError as error:
        yield Finding("spool", f"{file} cannot be read: {error}", "run this as the user that the bridge runs as")
    except sqlite3.DatabaseError as error:
        yield _damaged(file, str(error))


def _of_spool(db: sqlite3.Connection, file: Path) -> Iterator[Finding]:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        yield Finding(
            "spool", f"version {version}, of a later release; this one knows {VERSION}", "run this with that release"
        )
        return
    deadline = time.monotonic() + _CHECK_S
    db.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
    try:
        (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        said = "ok"
        yield Finding(
            "spool", f"not checked to its end within {_CHECK_S:.0f} s", "nothing, it is large", is_fault=False
        )
    db.set_progress_handler(None, 0)
    if said != "ok":
        yield _damaged(file, said)
    yield from _of_readings(db, time.time())


def _of_readings(db: sqlite3.Connection, now_s: float) -> Iterator[Finding]:
    oldest_us, newest_us, count = db.execute(
        "SELECT min(created_us), max(created_us), coalesce(sum(readings), 0) FROM batch WHERE shipped_us IS NULL"
    ).fetchone()
    if oldest_us and now_s - oldest_us / 1e6 > OLD_AFTER_S:
        yield Finding(
            "spool",
            f"{count:,} readings wait for the store, the oldest for {now_s - oldest_us / 1e6:,.0f} s",
            "nothing is lost; see what is said of the store, and the bridge's log",
        )
    (last_us,) = db.execute("SELECT max(created_us) FROM batch").fetchone()
    last_us = max(last_us or 0, newest_us or 0)
    if last_us / 1e6 > now_s + AHEAD_S:
        yield Finding(
            "clock",
            f"this machine's is {last_us / 1e6 - now_s:,.0f} s behind the newest reading's: it was set back",
            "set it right (timedatectl); readings without a time of their own get one after the last of their sensor",
        )
    (letters,) = db.execute("SELECT count(*) FROM dead_letter").fetchone()
    if letters:
        yield Finding(
            "spool", f"{letters:,} readings were rejected", "sensorflow dead-letters list says why", is_fault=False
        )


def _damaged(file: Path, why: str) -> Finding:
    return Finding(
        "spool",
        f"{file} is damaged: {why:.200}",
        f"stop the bridge, keep a copy of {file.parent}, then: sqlite3 {FILE_NAME} .recover | sqlite3 new.db",
    )


def examine_disk(data_dir: Path) -> Iterator[Finding]:
    """The room on it, and who may read the keys."""
    place = data_dir / "spool" if (data_dir / "spool").is_dir() else data_dir
    if not place.is_dir():
        yield Finding("disk", f"no directory {data_dir}", "start sensorflow up, or give the right --data-dir")
        return
    free = shutil.disk_usage(place).free
    has_files_left = os.statvfs(place).f_favail > 0 or os.statvfs(place).f_files == 0  # 0: it does not count them
    if free < 2 * STOPS_AT_BYTES or not has_files_left:
        left = f"{free / 2**20:,.0f} MiB" if has_files_left else "no more files"
        yield Finding(
            "disk",
            f"{left} left for {place}; at {STOPS_AT_BYTES // 2**20} MiB the bridge accepts nothing more",
            "delete something, or move DATA_DIR to a larger disk",
        )
    elif free < _LOW_BYTES:
        yield Finding("disk", f"{free / 2**20:,.0f} MiB left for {place}", "make room soon", is_fault=False)
    keys = kept_file(data_dir)
    if keys.is_file() and stat.S_IMODE(keys.stat().st_mode) & 0o077:
        yield Finding("settings", f"others may read the keys in {keys}", f"chmod 600 {keys}")
