"""R28: ten thousand random lives of a bridge, in which anything may happen between any two of its lines.

No real processes here, and no clock: what decides is the product's own code, the broker and the wire are models
(``tests/bridge/history.py``). What a model cannot show, such as what Mosquitto and SQLite really do, the others show.
``python -m tests.faults.histories FIRST LAST`` runs some of them and prints the tally.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bridge.history import STEPS, steps_of
from tests.bridge.model_broker import BrokenPromiseError
from tests.bridge.shrinking import Finding, Spools, first_finding, in_loop, live, new_memory
from tests.faults.machine import slowness
from tests.faults.trial import Outcome, trial

HISTORIES = 10_000
PROCESSES = 2
MOST_S = 60.0
# Each eleventh, so that all kinds of broker come to it, which are told by the last bits of the seed.
EVERY_ON_A_SPOOL = 11
MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's memory as a file system: nobody pulls a plug here, so fsync may be free
ROOT = Path(__file__).parents[2]


@trial("R28", must_hold="10,000 histories x 200 steps in <= 60 s: acknowledged = durable, once, in order")
def random_histories(_: Path) -> Outcome:
    began = time.monotonic()
    each = HISTORIES // PROCESSES
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.histories", str(first), str(first + each)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in range(0, HISTORIES, each)
    ]
    results: list[dict[str, Any]] = [json.loads(worker.communicate()[0]) for worker in workers]
    took_s, slow = time.monotonic() - began, slowness()
    tally = sum((Counter(result["tally"]) for result in results), Counter[str]())
    findings = [result["finding"] for result in results if result["finding"]]
    offered = tally["published"] - tally["refused"]
    measured = (
        f"{tally['histories']:,} x {STEPS} steps in {took_s:.0f} s on a machine {slow:.1f}x slower than usual, "
        f"{tally['on_a_spool']:,} of them on a real spool; "
        f"{tally['known']:,} readings came again and were known; {tally['taken']:,} went with a broker's session"
    )
    return Outcome(
        injected=(
            f"{tally['cuts']:,} cuts, {tally['crashes']:,} crashes of the bridge, {tally['failed']:,} commits failed, "
            f"{tally['forgotten']:,} sessions lost, {tally['kills']:,} brokers killed"
        ),
        offered=offered,
        accepted=tally["acknowledged"],
        lost=sum(_is_loss(finding) for finding in findings),
        duplicated=sum(" rows of " in finding and not _is_loss(finding) for finding in findings),
        measured="\n".join([measured, *findings[:1]]),
        holds=(
            not findings
            and tally["histories"] == HISTORIES
            and offered == tally["acknowledged"] + tally["taken"]
            and took_s <= MOST_S * slow
        ),
    )


def _is_loss(finding: str) -> bool:
    return " steps: 0 " in finding or "is not on the disk" in finding


def main(first: int, last: int) -> None:
    """Live the histories of these seeds; the first that goes wrong is shrunk and is the last."""
    place = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    try:
        tally, finding = in_loop(lambda: _histories(range(first, last), place))
    finally:
        shutil.rmtree(place)
    json.dump({"tally": tally, "finding": str(finding) if finding else ""}, sys.stdout)


def _histories(seeds: range, place: Path) -> tuple[Counter[str], Finding | None]:
    tally = Counter[str]()
    with Spools(place) as new_spool:
        for seed in seeds:
            is_on_a_spool = seed % EVERY_ON_A_SPOOL == 0
            steps = steps_of(seed)
            new_disk = new_spool if is_on_a_spool else new_memory
            try:
                tally += live(seed, steps, new_disk).tally()
            except BrokenPromiseError:
                return tally, first_finding([seed], new_disk)
            tally += Counter(histories=1, on_a_spool=int(is_on_a_spool))
    return tally, None


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
