"""Trial of time: half an hour of steady work, and nothing that grows. ``SOAK_S`` sets another length, in seconds."""

import os
import time
from pathlib import Path

import psutil

from tests.e2e.system import System
from tests.faults.flow import Board, Flow, judge, status, wait_until_drained, warm_up
from tests.faults.trial import Outcome, trial

SOAK_S = float(os.environ.get("SOAK_S", "1800"))
RATE = 1_000  # readings per second
SAMPLE_S = 2.0
SETTLED = 0.3  # of the time, after which the replay window is full
MAX_SLOPE_MB_PER_MIN = 1.0
MAX_SPOOLED_BYTES = 2**20
MAX_FILES_APART = 4  # connections that come and go: pings of the store, statistics, our own queries


@trial("R30", must_hold="memory grows < 1 MB/min; files open constant; spool back < 1 MB", is_long=True)
def soak(directory: Path) -> Outcome:
    """What the spool keeps on purpose, the replay window and the last 50,000 readings, is no backlog."""
    system = System(directory, REPLAY_WINDOW_S=SOAK_S / 10, STORE_QUERY_MAX_ROWS=100_000_000)
    system.start()
    try:
        system.wait_until()
        warm = warm_up(system)
        flow, board = Flow(system, rate=RATE, first=warm.offered), Board(system, rate=20)
        samples = _watched(system, SOAK_S)
        flow.stop()
        board.stop()
        wait_until_drained(system)
        depth = status(system)
        verdict = judge(system, warm.accepted | flow.accepted | board.accepted)
    finally:
        system.stop_all()
    steady = [each for each in samples if each[0] >= SETTLED * SOAK_S]
    slopes = {name: _slope_per_min([(at, rss[name]) for at, rss, _ in steady]) for name in steady[0][1]}
    files = {name: [count[name] for _, _, count in steady] for name in steady[0][2]}
    drift = {name: max(counts) - min(counts) for name, counts in files.items()}
    worst = max(slopes, key=lambda name: slopes[name])
    waiting_bytes = depth["spool"]["readings"] * 200  # more than a reading takes
    return Outcome(
        injected=f"{SOAK_S / 60:.0f} min at {RATE:,} readings/s",
        offered=warm.offered + flow.offered + board.answers.total(),
        accepted=len(warm.accepted) + len(flow.accepted) + len(board.accepted),
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        measured=(
            f"memory {', '.join(f'{name} {slope:+.2f}' for name, slope in slopes.items())} MB/min; "
            f"open files within {max(drift.values())}; {depth['spool']['readings']} readings left in the spool, "
            f"its file {depth['spool']['bytes'] / 2**20:.0f} MB"
        ),
        holds=verdict.is_clean
        and set(board.answers) == {201}
        and slopes[worst] < MAX_SLOPE_MB_PER_MIN
        and max(drift.values()) <= MAX_FILES_APART
        and waiting_bytes < MAX_SPOOLED_BYTES,
    )


def _watched(system: System, for_s: float) -> list[tuple[float, dict[str, float], dict[str, int]]]:
    """At each moment: memory in MB and open files, by process."""
    processes = {name: psutil.Process(each.pid) for name, each in system._processes.items()}
    began, samples = time.monotonic(), []
    while (now := time.monotonic() - began) < for_s:
        rss = {name: process.memory_info().rss / 2**20 for name, process in processes.items()}
        samples.append((now, rss, {name: process.num_fds() for name, process in processes.items()}))
        time.sleep(SAMPLE_S)
    return samples


def _slope_per_min(points: list[tuple[float, float]]) -> float:
    """Of the line that fits best (least squares)."""
    count = len(points)
    mean_at = sum(at for at, _ in points) / count
    mean = sum(value for _, value in points) / count
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    return 60 * sum((at - mean_at) * (value - mean) for at, value in points) / spread
