import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge import spool as spool_module
from bridge.fingerprints import entry
from bridge.idempotency import Answer, Asked
from bridge.intake import Commit, DeadLetter
from bridge.spool import STEPS, Chunk, Depth, Spool, SpoolFullError

MIB = 2**20
OpenSpool = Callable[..., Spool]


@pytest.fixture
def open_spool(tmp_path: Path) -> Iterator[OpenSpool]:
    """Opens the test's spool; the one before is closed."""
    opened: list[Spool] = []

    def open_again(max_bytes: int = 64 * MIB) -> Spool:
        for before in opened:
            before.close()
        opened[:] = [Spool(tmp_path / "spool", max_bytes=max_bytes)]
        return opened[0]

    yield open_again
    for last in opened:
        last.close()


def lines(*numbers: int, text: str = "") -> list[str]:
    note = f',note="{text}"' if text else ""
    return [f"t,sensor_id=s a={number}.0{note} {number}" for number in numbers]


def letter(number: int = 1, reason: str = "bad_json") -> DeadLetter:
    return DeadLetter(number, reason, "detail", "sensors/s/t", b"{\0\xff", "10.0.0.7")


def commit(spool: Spool, *numbers: int, time_us: int = 100, text: str = "", **more: object) -> None:
    spool.commit(Commit(time_us, lines(*numbers, text=text), **more))  # type: ignore[arg-type] # what a test needs


def unshipped(spool: Spool, after: int = 0) -> Chunk:
    chunk = spool.unshipped(after)
    assert chunk is not None
    return chunk


def ship_all(
    spool: Spool, now_us: int = 1000, rejected: Callable[[Chunk], dict[bytes, DeadLetter]] = lambda _: {}
) -> None:
    while chunk := spool.unshipped(0):
        spool.mark_shipped(chunk, now_us, rejected(chunk))


def adds_up(depth: Depth) -> bool:
    return depth.accepted == depth.stored + depth.spooled + depth.dead_letters


# --- what a commit holds ---------------------------------------------------------------------------------------------


def test_all_of_a_commit_is_there_after_reopening(open_spool: OpenSpool, tmp_path: Path) -> None:
    fingerprints = [entry(number, "t", b"p") for number in (1, 2, 3)]
    commit(open_spool(), 1, 2, fingerprints=fingerprints, dead_letters=[letter()], duplicates=4)

    spool = open_spool()

    assert unshipped(spool) == Chunk(2, 2, 100, [line.encode() for line in lines(1, 2)])
    assert list(spool.fingerprints()) == fingerprints
    assert list(spool.recent_lines()) == lines(1, 2)
    depth = spool.depth()
    assert (depth.accepted, depth.stored, depth.spooled, depth.dead_letters, depth.duplicates) == (3, 0, 2, 1, 4)
    assert depth.oldest_us == 100
    assert adds_up(depth)
    with sqlite3.connect(tmp_path / "spool" / "spool.db") as db:
        rows = db.execute("SELECT id, time_us, reason, detail, topic, payload, client_ip FROM dead_letter").fetchall()
    db.close()
    assert rows == [(1, 1, "bad_json", "detail", "sensors/s/t", b"{\0\xff", "10.0.0.7")]


def test_commit_that_starts_a_session_drops_the_fingerprints_before_it(open_spool: OpenSpool) -> None:
    spool = open_spool()
    commit(spool, fingerprints=[entry(1, "t", b"p")])

    commit(spool, fingerprints=[entry(2, "t", b"p")], starts_session=True)

    assert list(spool.fingerprints()) == [entry(2, "t", b"p")]


def test_commit_that_breaks_off_leaves_nothing_of_itself(open_spool: OpenSpool) -> None:
    spool = open_spool()
    commit(spool, 1, columns=[("t", "a", "float")])

    with pytest.raises(sqlite3.IntegrityError):  # after its fingerprints and readings
        commit(spool, 2, fingerprints=[entry(1, "t", b"p")], columns=[("t", "a", "float")], dead_letters=[letter()])

    spool = open_spool()
    assert list(spool.recent_lines()) == lines(1)
    assert list(spool.fingerprints()) == []
    assert spool.depth().accepted == 1


COMMITTER = """
import itertools, sys
from pathlib import Path
from bridge.fingerprints import entry
from bridge.intake import Commit
from bridge.spool import Spool

spool = Spool(Path(sys.argv[1]), max_bytes=2**30)
for number in itertools.count(1):
    line = f"t,sensor_id=s a={number}.0 {number}"
    spool.commit(Commit(number, [line], fingerprints=[entry(number % 65535 + 1, "t", b"p")]))
    print(number, flush=True)
"""


@pytest.mark.parametrize("count", [1, 50, 400])
def test_every_commit_that_returned_survives_a_kill(open_spool: OpenSpool, tmp_path: Path, count: int) -> None:
    command = [sys.executable, "-c", COMMITTER, str(tmp_path / "spool")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as committer:
        assert committer.stdout is not None
        printed = [int(committer.stdout.readline()) for _ in range(count)]
        os.kill(committer.pid, signal.SIGKILL)
        printed += map(int, committer.stdout.read().split())

    spool = open_spool()

    found = [int(line.rpartition(" ")[2]) for line in spool.recent_lines()]
    assert found in (printed, [*printed, printed[-1] + 1])
    assert len(list(spool.fingerprints())) == len(found) == spool.depth().accepted


def test_commit_waits_for_the_disk_whatever_went_before(open_spool: OpenSpool) -> None:
    spool = open_spool()
    statements: list[str] = []
    spool._db.set_trace_callback(statements.append)
    commit(spool, 1)
    spool.mark_shipped(unshipped(spool), 1000, {})
    spool.prune(0)
    statements.clear()

    commit(spool, 2)

    assert statements.index("PRAGMA synchronous = FULL") < statements.index("BEGIN IMMEDIATE")
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert spool._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# --- who may open it -------------------------------------------------------------------------------------------------


def test_second_bridge_is_refused(open_spool: OpenSpool, tmp_path: Path) -> None:
    open_spool()

    with pytest.raises(SystemExit, match="another bridge is running on the spool in"):
        Spool(tmp_path / "spool", max_bytes=MIB)


def test_spool_of_a_newer_version_is_refused_and_left_alone(open_spool: OpenSpool, tmp_path: Path) -> None:
    open_spool().close()
    with sqlite3.connect(tmp_path / "spool" / "spool.db") as db:
        db.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    db.close()

    newer = f"has version {len(STEPS) + 1}, this bridge knows {len(STEPS)}: update it"
    with pytest.raises(SystemExit, match=newer):
        Spool(tmp_path / "spool", max_bytes=MIB)


def test_spool_is_nobody_elses_to_read(open_spool: OpenSpool, tmp_path: Path) -> None:
    open_spool()

    assert (tmp_path / "spool").stat().st_mode & 0o77 == 0


def answer(number: int) -> Answer:
    return Answer(number, 100, Asked(b"r" * 16, number, b"c" * 16, b"p" * 16), b"[%d]" % number)


def test_answers_are_there_after_reopening_but_for_those_that_were_forgotten(open_spool: OpenSpool) -> None:
    commit(open_spool(), 1, answers=[answer(1), answer(2)], oldest_answer_id=1)

    commit(open_spool(), 2, answers=[answer(3), answer(4)], oldest_answer_id=4)

    assert list(open_spool().answers()) == [answer(4)]


# --- shipping --------------------------------------------------------------------------------------------------------


def test_chunk_has_whole_batches_within_its_bounds_and_at_least_one(
    open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MAX_CHUNK_READINGS", 3)
    spool = open_spool()
    commit(spool, 1, 2, time_us=50)
    commit(spool, 3)
    commit(spool, *range(4, 9))
    commit(spool, 9)

    chunks = [unshipped(spool), unshipped(spool, 3), unshipped(spool, 8)]

    assert [(chunk.first, chunk.last, chunk.created_us, len(chunk.lines)) for chunk in chunks] == [
        (2, 3, 50, 3),
        (8, 8, 100, 5),
        (9, 9, 100, 1),
    ]
    assert spool.unshipped(9) is None


def test_chunk_is_bounded_in_bytes_too(open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "MAX_CHUNK_BYTES", 2_500)
    spool = open_spool()
    for number in range(1, 5):
        commit(spool, number, text="x" * 1000)

    assert len(unshipped(spool).lines) == 2


def test_text_with_unusual_characters_comes_out_line_by_line_as_it_went_in(open_spool: OpenSpool) -> None:
    spool = open_spool()
    commit(spool, 1, 2, text="a\u2028b\x85c\r")

    assert unshipped(spool).lines == [line.encode() for line in lines(1, 2, text="a\u2028b\x85c\r")]


def test_shipped_readings_are_stored_and_no_longer_spooled(open_spool: OpenSpool) -> None:
    spool = open_spool()
    commit(spool, 1, 2)
    commit(spool, 3)

    spool.mark_shipped(Chunk(2, 2, 100, []), 1000, {})

    depth = spool.depth()
    assert (depth.accepted, depth.stored, depth.spooled) == (3, 2, 1)
    assert unshipped(spool).first == 3


def test_shipping_the_same_chunk_twice_counts_once(open_spool: OpenSpool) -> None:
    spool = open_spool()
    commit(spool, 1, 2)
    chunk = unshipped(spool)

    for _ in range(2):
        spool.mark_shipped(chunk, 1000, {chunk.lines[0]: letter()})

    depth = spool.depth()
    assert (depth.accepted, depth.stored, depth.spooled, depth.dead_letters) == (2, 1, 0, 1)


def test_what_the_store_took_at_first_is_stored_whatever_it_says_the_second_time(open_spool: OpenSpool) -> None:
    spool = open_spool()
    commit(spool, 1, 2)
    chunk = unshipped(spool)

    spool.mark_shipped(chunk, 1000, {})
    spool.mark_shipped(chunk, 1000, {chunk.lines[0]: letter()})

    depth = spool.depth()
    assert (depth.accepted, depth.stored, depth.spooled, depth.dead_letters) == (2, 2, 0, 0)


def test_what_the_store_rejected_is_a_dead_letter_for_good(open_spool: OpenSpool) -> None:
    spool = open_spool()
    commit(spool, 1, 2, 3)
    commit(spool, 4)
    ship_all(spool, rejected=lambda chunk: {chunk.lines[1]: letter(2), chunk.lines[3]: letter(4)})
    before = spool.depth()

    assert spool.unship(10) == (2, 3)
    assert unshipped(spool).lines == [line.encode() for line in lines(1, 3)]
    assert adds_up(spool.depth())
    ship_all(spool)

    assert spool.depth() == before
    assert (before.accepted, before.stored, before.spooled, before.dead_letters) == (4, 2, 0, 2)
    assert list(spool.recent_lines()) == lines(1, 3)


def test_unship_takes_back_what_was_shipped_within_the_window_before_the_last(open_spool: OpenSpool) -> None:
    spool = open_spool()
    for number, shipped_us in ((1, 1000), (2, 1500), (3, 2000)):
        commit(spool, number)
        ship_all(spool, shipped_us)
    commit(spool, 4)

    assert spool.unship(500) == (2, 3)

    depth = spool.depth()
    assert (depth.accepted, depth.stored, depth.spooled) == (4, 1, 3)
    assert unshipped(spool).lines == [line.encode() for line in lines(2, 3, 4)]


def test_unship_of_an_empty_spool_is_nothing(open_spool: OpenSpool) -> None:
    assert open_spool().unship(1000) == (0, 0)


def test_prune_deletes_what_is_older_than_the_window_and_beyond_the_timeline(
    open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "CAPACITY", 2)
    spool = open_spool()
    for number in range(1, 6):
        commit(spool, number)
        ship_all(spool, number * 1000)
    commit(spool, 6)
    before = spool.depth()

    spool.prune(2500)

    after = spool.depth()
    assert list(spool.recent_lines()) == lines(5, 6)
    assert spool.unship(10**9) == (3, 5)
    assert (
        (after.accepted, after.stored, after.spooled) == (before.accepted, before.stored, before.spooled) == (6, 5, 1)
    )


def test_prune_never_deletes_what_was_not_shipped(open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "CAPACITY", 1)
    spool = open_spool()
    for number in range(1, 6):
        commit(spool, number)

    spool.prune(0)
    for _ in range(10):
        spool.make_room()

    assert unshipped(spool).lines == [line.encode() for line in lines(1, 2, 3, 4, 5)]


def test_answers_make_room_where_nothing_else_can(open_spool: OpenSpool) -> None:
    spool = open_spool()
    commit(spool, 1, answers=[answer(1), answer(2), answer(3)], oldest_answer_id=1)

    assert spool.make_room()

    assert list(spool.answers()) == [answer(3)]
    assert unshipped(spool).lines == [line.encode() for line in lines(1)]


def test_what_was_not_shipped_stays_though_what_came_after_it_was(
    open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "CAPACITY", 1)
    spool = open_spool()
    for number in range(1, 6):
        commit(spool, number)
    spool.mark_shipped(Chunk(2, 5, 100, []), 1000, {})  # several chunks are on their way at once

    while spool.make_room():
        pass
    spool.prune(0)

    assert unshipped(spool).lines == [line.encode() for line in lines(1)]


def test_prune_keeps_the_last_window_of_fingerprints(open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "WINDOW", 3)
    spool = open_spool()
    entries = [entry(number, "t", b"p") for number in range(1, 8)]
    for pair in (entries[0:2], entries[2:4], entries[4:6], entries[6:7]):
        commit(spool, fingerprints=pair)

    spool.prune(0)

    assert list(spool.fingerprints()) == entries[4:]


# --- when it is full -------------------------------------------------------------------------------------------------


def fill(spool: Spool, first: int = 1, text: str = "x" * 1000, readings: int = 20) -> int:
    """Commit until it is full; the number of the next reading."""
    number = first
    while True:
        try:
            commit(spool, *range(number, number + readings), text=text, fingerprints=[entry(1, "t", b"p")])
        except SpoolFullError:
            return number
        number += readings


def test_full_spool_says_so_with_its_bound_and_writes_nothing(open_spool: OpenSpool) -> None:
    spool = open_spool(MIB)
    accepted = fill(spool) - 1

    with pytest.raises(SpoolFullError, match=r"of 1,048,576 bytes"):
        commit(spool, 1, dead_letters=[letter()])

    depth = spool.depth()
    assert (depth.accepted, depth.spooled, depth.dead_letters) == (accepted, accepted, 0)
    assert MIB <= depth.size_bytes < 1.1 * MIB


def test_room_ends_where_commits_are_held_up(open_spool: OpenSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(MIB)
    free = spool.depth()
    fill(spool)
    full = spool.depth()
    monkeypatch.setattr("bridge.spool.RESERVE_BYTES", 2**62)

    assert free.room_bytes == MIB - free.size_bytes
    assert full.room_bytes == 0
    assert open_spool().depth().room_bytes == 0  # the disk has less than is to be left of it


@pytest.mark.parametrize(("text_bytes", "readings"), [(0, 70), (100, 20), (3000, 1), (3000, 7), (60_000, 1)])
def test_full_spool_can_be_shipped_and_has_room_again(open_spool: OpenSpool, text_bytes: int, readings: int) -> None:
    spool = open_spool(MIB)
    text = "x" * text_bytes
    number = fill(spool, text=text, readings=readings)

    for _ in range(3):
        ship_all(spool)
        spool.prune(300_000_000)
        spool.make_room()
        before, number = number, fill(spool, number, text=text, readings=readings)
        assert number > before

    depth = spool.depth()
    assert depth.accepted == number - 1
    assert adds_up(depth)


def test_full_spool_can_be_unshipped(open_spool: OpenSpool) -> None:
    spool = open_spool(MIB)
    number = fill(spool)
    ship_all(spool)

    assert spool.unship(1000) == (number - 1, number - 1)


def test_full_spool_takes_the_stores_dead_letters(open_spool: OpenSpool) -> None:
    spool = open_spool(MIB)
    number = fill(spool)

    ship_all(spool, rejected=lambda chunk: {line: letter(reason="store_rejected") for line in chunk.lines})

    depth = spool.depth()
    assert (depth.accepted, depth.stored, depth.spooled, depth.dead_letters) == (number - 1, 0, 0, number - 1)


def test_disk_that_is_full_is_a_full_spool(open_spool: OpenSpool) -> None:
    spool = open_spool()
    spool._db.execute("PRAGMA max_page_count = 50")  # SQLite then answers as it does when write() gives ENOSPC

    fill(spool)

    spool._db.execute("PRAGMA max_page_count = 1000")
    commit(spool, 1, 2)
