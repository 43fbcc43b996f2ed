"""Trial of the spool's file after a bad end: the last of its write-ahead log cut off, or with bits flipped.

``python -m tests.faults.wal fill DIRECTORY COUNT`` commits so many readings and waits to be killed; ``read`` opens the
directories that it is told, one after the other, so that whatever kills it is seen from outside.
"""

import random
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Self

from bridge.intake import Commit
from bridge.spool import Spool
from tests.e2e.system import ROOT
from tests.faults.trial import Outcome, trial

FILLS = (40, 150, 333, 420, 900)  # commits, before which and after which the WAL started anew
DAMAGES = 500
TAIL = 20  # commits, somewhere in which the damage begins
_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24


class Reader:
    """A process that opens spools; where it dies, there is another."""

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def numbers(self, directory: Path) -> list[int] | None:
        """The readings in this spool; None if opening it, reading, or one more commit failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{directory}\n")
        self._process.stdin.flush()
        if answer := self._process.stdout.readline():
            return [int(each) for each in answer.split()]
        self._process.communicate()
        self._start()
        return None

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.wal", "read"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@trial("R9", must_hold="0 crashes; of what was committed before the damage 0 lost", is_long=True)
def wal_damaged(directory: Path) -> Outcome:
    chance = random.Random(9)  # noqa: S311 - the same damage at every run
    crashes, lost, strange = 0, 0, 0
    with Reader() as reader:
        for count in FILLS:
            spool = directory / str(count)
            _fill(spool, count)
            ends = commit_ends((spool / "spool.db-wal").read_bytes())
            for number in range(DAMAGES // len(FILLS)):
                copy = directory / "copy"
                # Without the index of the WAL, as after a power cut, and with one that does not know of the damage.
                shutil.copytree(spool, copy, ignore=shutil.ignore_patterns("*-shm") if number % 2 else None)
                behind = chance.randrange(1, min(TAIL, len(ends)))
                _damage(copy / "spool.db-wal", ends[-1 - behind], ends[-1], chance)
                found = reader.numbers(copy)
                shutil.rmtree(copy)
                if found is None:
                    crashes += 1
                    continue
                lost += max(0, count - behind - len(found))
                strange += found != list(range(1, len(found) + 1))
    return Outcome(
        injected=f"{DAMAGES} x the end of the spool's WAL cut off or with bits flipped",
        offered=sum(FILLS),
        accepted=sum(FILLS),
        lost=lost,
        measured=f"{crashes} crashes; {strange} x not the first of what was committed",
        holds=not (crashes or lost or strange),
    )


def commit_ends(wal: bytes) -> list[int]:
    """Where each transaction ends in the file, oldest first (sqlite.org/fileformat2.html, 4)."""
    page_bytes, salts = int.from_bytes(wal[8:12], "big"), wal[16:24]
    ends = []
    for at in range(_HEADER_BYTES, len(wal), _FRAME_HEADER_BYTES + page_bytes):
        if wal[at + 8 : at + 16] != salts:
            break  # left over from before the WAL started anew
        if int.from_bytes(wal[at + 4 : at + 8], "big"):
            ends.append(at + _FRAME_HEADER_BYTES + page_bytes)
    return ends


def _damage(wal: Path, first: int, end: int, chance: random.Random) -> None:
    content = bytearray(wal.read_bytes())
    if chance.random() < 0.5:
        del content[chance.randrange(first, end) :]
    else:
        for _ in range(chance.randrange(1, 64)):
            content[chance.randrange(first, end)] ^= 1 << chance.randrange(8)
    wal.write_bytes(content)


def _fill(directory: Path, count: int) -> None:
    """Have a process commit so many readings, and kill it."""
    command = [sys.executable, "-m", "tests.faults.wal", "fill", str(directory), str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as filler:
        assert filler.stdout is not None
        assert filler.stdout.readline() == "done\n"
        filler.kill()


def _line(number: int) -> str:
    return f"telemetry,sensor_id=s n={number}.0 {number}"


def _numbers(directory: Path) -> list[int]:
    """What a bridge that starts on it finds, once it has committed one more."""
    with closing(Spool(directory, max_bytes=2**30)) as spool:
        found = [int(line.rpartition(" ")[2]) for line in spool.recent_lines()]
        spool.commit(Commit(1, [_line(len(found) + 1)]))
    with closing(Spool(directory, max_bytes=2**30)) as spool:
        assert [int(line.rpartition(" ")[2]) for line in spool.recent_lines()] == [*found, len(found) + 1]
    return found


def _main(what: str, *arguments: str) -> None:
    if what == "fill":
        spool = Spool(Path(arguments[0]), max_bytes=2**30)
        for number in range(1, int(arguments[1]) + 1):
            spool.commit(Commit(number, [_line(number)]))
        print("done", flush=True)  # noqa: T201 - to the trial
    for directory in sys.stdin:
        print(*_numbers(Path(directory.strip())), flush=True)  # noqa: T201 - to the trial


if __name__ == "__main__":
    _main(*sys.argv[1:])
