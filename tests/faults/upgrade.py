"""Trial of an upgrade: the spool that an earlier release has left, opened by this one.

``releases/spool-N.sql`` is a spool of version N as SQL: of 300 readings the first 100 were shipped; 3 more are dead
letters. Before a release that adds a step to ``bridge.spool.STEPS`` write another:
``python -m tests.faults.upgrade > tests/faults/releases/spool-N.sql``.
"""

import json
import sqlite3
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from bridge.fingerprints import entry
from bridge.intake import Commit, DeadLetter
from bridge.spool import STEPS, Spool
from tests.e2e.system import System
from tests.faults.flow import status, wait_until_drained
from tests.faults.trial import Outcome, trial
from tests.waiting import until

RELEASES = Path(__file__).parent / "releases"
READINGS, SHIPPED, LETTERS = 300, 100, 3
FIRST_US = 1_790_000_000_000_000


@trial("R29", must_hold="0 lost", is_long=True)
def earlier_release(directory: Path) -> Outcome:
    files = sorted(RELEASES.glob("spool-*.sql"))
    seen = [_upgrade(directory / file.stem, file) for file in files]
    return Outcome(
        injected=f"{', '.join(file.stem for file in files)} opened by this release, of version {len(STEPS)}",
        offered=sum(each.offered for each in seen),
        accepted=sum(each.accepted for each in seen),
        lost=sum(each.lost for each in seen),
        duplicated=sum(each.duplicated for each in seen),
        measured="; ".join(each.measured for each in seen),
        holds=bool(seen) and all(each.holds for each in seen),
    )


def _upgrade(directory: Path, file: Path) -> Outcome:
    directory.mkdir()
    system = System(directory)
    place = system.settings.data_dir / "spool"
    place.mkdir()
    with closing(sqlite3.connect(place / "spool.db")) as db:
        db.executescript(file.read_text())
    system.start()
    try:
        system.wait_until()
        posted = system.post("telemetry", {"sensor_id": "s", "n": READINGS}).status_code
        with suppress(AssertionError):  # how many are lost is told below
            until(lambda: system.count("telemetry") > READINGS - SHIPPED)
        wait_until_drained(system)
        rows = system.rows("SELECT n FROM telemetry ORDER BY time")
        counters = status(system)["counters"]
        with system.command("dead-letters", "list", "--json") as command:
            letters = [json.loads(line) for line in command.communicate(timeout=30)[0].splitlines()]
    finally:
        system.stop_all()
    with closing(sqlite3.connect(place / "spool.db")) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    found = [int(row["n"]) for row in rows]
    # The store is a new one: what was shipped to the one before may be sent again, the rest has to be.
    lost = set(range(SHIPPED, READINGS + 1)) - set(found)
    adds_up = counters["accepted"] == READINGS + 1 + LETTERS == counters["stored"] + counters["dead_letters"]
    return Outcome(
        injected=file.stem,
        offered=READINGS + 1 + LETTERS,
        accepted=counters["accepted"],
        lost=len(lost) + abs(LETTERS - len(letters)),
        duplicated=len(found) - len(set(found)),
        measured=f"{len(letters)} dead letters, accepted = stored + dead letters {'holds' if adds_up else counters}",
        holds=posted == 201
        and found == sorted(set(found))
        and not lost
        and len(letters) == LETTERS
        and adds_up
        and version == len(STEPS),
    )


def _fill(spool: Spool) -> None:
    """As a bridge does in which each commit had ten readings."""
    for first in range(0, READINGS, 10):
        numbers = range(first, first + 10)
        lines = [f"telemetry,sensor_id=s n={n}.0 {FIRST_US + n}" for n in numbers]
        columns = [("telemetry", "n", "float")] if first == 0 else []
        prints = [entry(n + 1, "sensors/s/telemetry", b'{"n": %d}' % n) for n in numbers]
        spool.commit(Commit(FIRST_US + first, lines, columns=columns, fingerprints=prints, starts_session=first == 0))
        if first == SHIPPED - 10 and (chunk := spool.unshipped(0)):
            spool.mark_shipped(chunk, FIRST_US + SHIPPED, {})
    letters = [
        DeadLetter(FIRST_US + n, "bad_json", "expected value", "sensors/s/telemetry", b"{\0\xff", "10.0.0.7")
        for n in range(LETTERS)
    ]
    spool.commit(Commit(FIRST_US + READINGS, dead_letters=letters))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        with closing(Spool(Path(place), max_bytes=2**30)) as made:
            _fill(made)
        with closing(sqlite3.connect(Path(place) / "spool.db")) as connection:
            dump = [*connection.iterdump(), f"PRAGMA user_version = {len(STEPS)};"]
    sys.stdout.write("\n".join(dump) + "\n")
