"""Trials of the store: away, forgetful, and answering anything but what it should."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sensorflow.errors import SensorFlowError
from sensorflow.influx import Influx
from tests.e2e.system import System
from tests.faults.flow import Board, Flow, judge, rss_mb, wait_until_drained, warm_up
from tests.faults.rude_store import FAULTS, PARTIAL, RudeStore
from tests.faults.trial import Outcome, trial
from tests.waiting import until

RATE = 5_000  # readings per second
BEFORE_S = 10.0
AFTER_S = 5.0
UNNOTICED_S = 0.025  # the p99 of some hundred answers is not the same twice, and no board sees so little
FORGOTTEN_S = 10.0
TIMES = 1_000


@trial(
    "R5",
    must_hold="0 lost, 0 duplicated; p99 to 201 <= 1.2x or 25 ms; drain >= 2x ingest; memory +<= 20 MB",
    is_alone=True,
)
def store_away(directory: Path) -> Outcome:
    return _store_away(directory, 60)


@trial(
    "R5-long",
    must_hold="0 lost, 0 duplicated; p99 to 201 <= 1.2x or 25 ms; drain >= 2x ingest; memory +<= 20 MB",
    is_long=True,
)
def store_away_for_long(directory: Path) -> Outcome:
    return _store_away(directory, 600)


def _store_away(directory: Path, away_s: float) -> Outcome:
    system = System(directory, STORE_QUERY_MAX_ROWS=10_000_000)
    system.start()
    try:
        system.wait_until()
        warm = warm_up(system)
        flow = Flow(system, rate=RATE, first=warm.offered)
        board = Board(system, rate=100)
        began = time.monotonic()
        _most_rss_mb(system, BEFORE_S)
        left, rss_before = time.monotonic(), rss_mb(system, "bridge")
        system.kill("store")
        rss_away = _most_rss_mb(system, away_s)
        back = time.monotonic()
        system.start("store")
        drained_per_s = _drain_rate(system, lambda: warm.offered + flow.offered)
        drained = time.monotonic()
        rss_after = _most_rss_mb(system, AFTER_S)
        flow.stop()
        board.stop()
        wait_until_drained(system)
        accepted = warm.accepted | flow.accepted | board.accepted
        verdict = judge(system, accepted)
    finally:
        system.stop_all()
    # The machine may be slower in one part of it than in another, whatever the store does.
    usual_s = max(board.p99_s(began, left), board.p99_s(drained, drained + AFTER_S))
    away_p99_s = board.p99_s(left, back)
    slower = away_p99_s / usual_s
    grown = max(rss_away, rss_after) - rss_before
    return Outcome(
        injected=f"store away for {away_s:.0f} s",
        offered=warm.offered + flow.offered + sum(board.answers.values()),
        accepted=len(accepted),
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        measured=(
            f"p99 to 201 {1000 * away_p99_s:.1f} ms, {slower:.2f}x; drain {drained_per_s / RATE:.1f}x; "
            f"memory {grown:+.0f} MB; answers {dict(board.answers)}"
        ),
        holds=verdict.is_clean
        and (slower <= 1.2 or away_p99_s <= UNNOTICED_S)
        and drained_per_s >= 2 * RATE
        and grown <= 20
        and set(board.answers) == {201},
    )


def _most_rss_mb(system: System, for_s: float) -> float:
    """The most memory that the bridge has had, over some time."""
    most, end = 0.0, time.monotonic() + for_s
    while time.monotonic() < end:
        most = max(most, rss_mb(system, "bridge"))
        time.sleep(0.2)
    return most


def _drain_rate(system: System, sent: Callable[[], int]) -> float:
    """New rows per second in the store, from when it answers until it is less than half a second behind."""
    first = until(lambda: _count(system))
    began = time.monotonic()
    last = until(lambda: (found := _count(system)) >= sent() - RATE / 2 and found, 120)
    return float((last - first) / (time.monotonic() - began))


def _count(system: System) -> int:
    """Rows of ours; 0 while the store is not there."""
    time.sleep(0.2)  # every count costs the store something
    try:
        return system.count("telemetry")
    except SensorFlowError:
        return 0


@trial("R6", must_hold="0 lost after the replay window")
def store_forgets(directory: Path) -> Outcome:
    system = System(directory)
    files, copy = system.settings.data_dir / "store", directory / "copy"
    system.start()
    try:
        system.wait_until()
        early = Flow(system, rate=RATE)
        until(lambda: early.offered >= RATE)
        early.stop()
        wait_until_drained(system)
        system.kill("store")
        shutil.copytree(files, copy)
        system.start("store")
        until(lambda: _count(system))
        late = Flow(system, rate=1_000, first=early.offered)
        time.sleep(FORGOTTEN_S)  # what the store will have forgotten
        late.stop()
        wait_until_drained(system)
        had = _count(system)
        system.kill("store")
        shutil.rmtree(files)
        shutil.move(copy, files)
        system.start("store")
        accepted = early.accepted | late.accepted
        with suppress(AssertionError):  # how many are lost is the verdict's to say
            until(lambda: _count(system) >= len(accepted))
        wait_until_drained(system)
        verdict = judge(system, accepted)
    finally:
        system.stop_all()
    return Outcome(
        injected=f"store killed, its file as it was {FORGOTTEN_S:.0f} s before",
        offered=early.offered + late.offered,
        accepted=len(accepted),
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        measured=f"{had - len(early.accepted):,} rows that it had acknowledged were gone",
        holds=verdict.is_clean and had > len(early.accepted),
    )


@trial("R7", must_hold="0 lost, 0 duplicated; dead letters = exactly the bad lines")
def store_answers_wrongly(directory: Path) -> Outcome:
    system = System(directory)
    bridge = system._services["bridge"]
    bridge.command[:] = [sys.executable, "-m", "tests.faults.variant_hurried_bridge"]
    with RudeStore(system.settings.influx_port) as rude:
        bridge.environment["INFLUX_HOST"] = f"http://127.0.0.1:{rude.port}"
        system.start()
        try:
            system.wait_until()
            _write(system, b'telemetry,sensor_id=other sour="a word" 1000000')
            flow = Flow(system, rate=600, per_message=10, also={"sour": 1.0}, mark_every=10)
            with suppress(AssertionError):  # how often it was is told below
                until(lambda: min(rude.counts[each] for each in (*FAULTS, PARTIAL)) >= TIMES, 90)
            flow.stop()
            rude.is_polite = True
            wait_until_drained(system)
            verdict = judge(system, flow.accepted - flow.marked)
            letters = _dead_letters(system)
            counts = dict(rude.counts)
        finally:
            system.stop_all()
    numbers = sorted(int(json.loads(letter["payload"])["n"]) for letter in letters)
    are_exact = numbers == sorted(flow.marked & flow.accepted)
    are_of_store = {letter["reason"] for letter in letters} == {"store_rejected"}
    return Outcome(
        injected=", ".join(f"{counts.get(each, 0):,} x {each}" for each in (*FAULTS, PARTIAL)),
        offered=flow.offered,
        accepted=len(flow.accepted),
        lost=verdict.lost,
        duplicated=verdict.duplicated + len(numbers) - len(set(numbers)),
        measured=f"{len(letters):,} dead letters for {len(flow.marked):,} bad lines",
        holds=verdict.is_clean
        and are_exact
        and are_of_store
        and all(counts.get(each, 0) >= TIMES for each in (*FAULTS, PARTIAL)),
    )


def _write(system: System, lines: bytes) -> None:
    """As another program does that writes to the same table."""
    influx = Influx(
        f"http://127.0.0.1:{system.settings.influx_port}",
        system.settings.influx_token.get_secret_value(),
        system.settings.influx_database,
    )
    influx.write(lines)
    influx.close()


def _dead_letters(system: System) -> list[dict[str, Any]]:
    """All, as ``sensorflow dead-letters list`` tells them."""
    with system.command("dead-letters", "list", "--json", "--limit", "1000000") as command:
        out, _ = command.communicate(timeout=60)
    return [json.loads(line) for line in out.splitlines()]
