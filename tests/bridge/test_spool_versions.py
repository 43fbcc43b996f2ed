"""A spool that another release has made, and the room that its disk has to have."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge import spool as spool_module
from bridge.intake import Commit
from bridge.spool import STEPS, Spool, SpoolFullError

MIB = 2**20


@contextmanager
def opened(directory: Path, **more: int) -> Iterator[Spool]:
    spool = Spool(directory, **{"max_bytes": 64 * MIB} | more)
    with closing(spool):
        yield spool


def version(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "spool.db")) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_spool_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as before:
        before.commit(Commit(1, ["t,sensor_id=s a=1.0 1"]))
    more = ["ALTER TABLE batch ADD COLUMN origin TEXT;", "UPDATE batch SET origin = 'before';"]
    monkeypatch.setattr(spool_module, "STEPS", [*STEPS, *more])

    with opened(tmp_path) as after:
        origins = after._db.execute("SELECT origin FROM batch").fetchall()
        lines = list(after.recent_lines())

    assert (origins, lines) == ([("before",)], ["t,sensor_id=s a=1.0 1"])
    assert version(tmp_path) == len(STEPS) + 2


def test_new_spool_is_of_the_newest_version(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass

    assert version(tmp_path) == len(STEPS)


def test_step_that_fails_leaves_the_spool_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as before:
        before.commit(Commit(1, ["t,sensor_id=s a=1.0 1"]))
    monkeypatch.setattr(spool_module, "STEPS", [*STEPS, "DELETE FROM batch;", "INSERT INTO nowhere VALUES (1);"])

    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"), opened(tmp_path):
        pass

    monkeypatch.undo()
    with opened(tmp_path) as spool:
        assert list(spool.recent_lines()) == ["t,sensor_id=s a=1.0 1"]


def test_last_of_the_disk_is_left_for_what_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as spool:
        spool.commit(Commit(1, ["t,sensor_id=s a=1.0 1"]))
        monkeypatch.setattr(spool_module, "RESERVE_BYTES", 2**62)

        with pytest.raises(SpoolFullError, match=r"the spool's disk has room for [0-9,]+ bytes, at least 4,611,686"):
            spool.commit(Commit(2, ["t,sensor_id=s a=2.0 2"]))
        chunk = spool.unshipped(0)
        assert chunk is not None
        spool.mark_shipped(chunk, 3, {})

        assert (spool.depth().stored, spool.depth().spooled) == (1, 0)


def test_room_in_the_file_counts_although_the_disk_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as spool:
        monkeypatch.setattr(spool_module, "RESERVE_BYTES", 2 * MIB)
        for number in range(1, 5):
            spool.commit(Commit(number, [f't,sensor_id=s a="{"x" * MIB}" {number}']))
            chunk = spool.unshipped(0)
            assert chunk is not None
            spool.mark_shipped(chunk, number, {})
        spool._db.execute("PRAGMA wal_checkpoint")
        monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0, f_frsize=4096))
        with pytest.raises(SpoolFullError):
            spool.commit(Commit(8, ["t,sensor_id=s a=8.0 8"]))
        spool.make_room()

        spool.commit(Commit(9, ["t,sensor_id=s a=9.0 9"]))

        assert spool.depth().spooled == 1
