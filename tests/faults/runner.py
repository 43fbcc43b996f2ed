"""Runs trials, each in a directory of its own: those that measure time alone, of the others some side by side."""

import importlib
import os
import shutil
import signal
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import FrameType

import psutil

from sensorflow.settings import is_setting
from tests.faults.table import Row
from tests.faults.trial import TRIALS, Trial

AT_ONCE = 2  # most trials wait for half of their time
DEADLINE_S = 200.0
LONG_DEADLINE_S = 3600.0
CLEAN_UP_S = 20.0  # what a trial that was cut off has for ending its processes, before it is cut off again
REASON_CHARACTERS = 500


class OverdueError(KeyboardInterrupt):
    """A trial took too long. Of this kind because asyncio's callbacks swallow anything less."""


def load_trials() -> None:
    """Import every module beside this one: each registers its trials."""
    here = Path(__file__).parent
    for path in sorted(here.glob("*.py")):
        if not path.stem.startswith(("__", "test_", "variant_")):
            importlib.import_module(f"tests.faults.{path.stem}")


def run_all(trials: list[Trial], place: Path) -> Iterator[Row]:
    """First those that have to be alone, one after the other, then the others, ``AT_ONCE`` of them."""
    for is_alone, at_once in ((True, 1), (False, AT_ONCE)):
        names = [each.name for each in trials if each.is_alone == is_alone]
        with ProcessPoolExecutor(at_once, mp_context=get_context("spawn"), initializer=load_trials) as workers:
            yield from workers.map(run, names, [place] * len(names))


def run(name: str, place: Path) -> Row:
    """Run one trial in a directory of its own, which is deleted if it holds. Whatever it raises is its row's reason."""
    trial = TRIALS[name]
    directory = place / name
    directory.mkdir()
    _forget_settings(directory)
    began = time.monotonic()
    outcome, reason = None, ""
    signal.signal(signal.SIGALRM, _overdue)
    try:
        signal.setitimer(signal.ITIMER_REAL, LONG_DEADLINE_S if trial.is_long else DEADLINE_S, CLEAN_UP_S)
        try:
            outcome = trial.run(directory)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except OverdueError:
        reason = f"not done after {time.monotonic() - began:.0f} s"
    except Exception as error:  # noqa: BLE001 - one trial that breaks off must not be the end of the others
        (directory / "traceback.txt").write_text(traceback.format_exc())
        reason = f"{type(error).__name__}: {error}"[:REASON_CHARACTERS]
    if left := _end_children():
        outcome, reason = None, f"{reason}; left running: {', '.join(left)}".removeprefix("; ")
    row = Row(trial, time.monotonic() - began, outcome, reason)
    if row.holds:
        shutil.rmtree(directory, ignore_errors=True)
    return row


def _overdue(_: int, __: FrameType | None) -> None:
    raise OverdueError


def _forget_settings(directory: Path) -> None:
    """What the person at this machine has set must not change what is measured."""
    for name in filter(is_setting, list(os.environ)):
        del os.environ[name]
    os.chdir(directory)


def _end_children() -> list[str]:
    """Kill what the trial has started and not ended; their names."""
    children = psutil.Process().children(recursive=True)
    names = []
    for child in children:
        try:
            names.append(" ".join(child.cmdline()[-2:]))
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(children, timeout=5)
    return names
