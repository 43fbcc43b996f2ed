"""``python -m tests.faults [R1 R17 …] [--long]``: run the trials one after the other and print what they showed."""

import importlib
import os
import re
import shutil
import signal
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated

import psutil
import typer
from rich.console import Console

from sensorflow.settings import is_setting
from tests.faults import machine, table
from tests.faults.table import Row
from tests.faults.trial import TRIALS, Trial

DEADLINE_S = 200.0
LONG_DEADLINE_S = 3600.0
CLEAN_UP_S = 20.0  # what a trial that was cut off has for ending its processes, before it is cut off again
REASON_CHARACTERS = 500


class OverdueError(KeyboardInterrupt):
    """A trial took too long. Of this kind because asyncio's callbacks swallow anything less."""


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help="Trials such as R1; all that are not long by default.")
    ] = None,
    *,
    long: Annotated[bool, typer.Option("--long", help="Run the long ones.")] = False,
) -> None:
    """Break SensorFlow in every way we know, and print what was lost."""
    load_trials()
    trials = chosen(names or [], long=long)
    console = Console()
    if not console.is_terminal:
        console = Console(width=table.WIDTH_OF_A_FILE)
    began = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="sensorflow-prove-")).resolve()
    rows = [run(each, place, console) for each in trials]
    about = machine.about(place)
    os.chdir("/")
    if all(row.holds for row in rows):
        shutil.rmtree(place)
    else:
        console.print(f"the logs and files of those that failed are in {place}", highlight=False)
    table.show(console, rows, total_s=time.monotonic() - began, about=about)
    if not all(row.holds for row in rows):
        raise typer.Exit(1)


def load_trials() -> None:
    """Import every module beside this one: each registers its trials."""
    here = Path(__file__).parent
    for path in sorted(here.glob("*.py")):
        if not path.stem.startswith(("__", "test_", "variant_")):
            importlib.import_module(f"tests.faults.{path.stem}")


def chosen(names: list[str], *, long: bool) -> list[Trial]:
    """Those that are meant, in the order of their numbers.

    Raises:
        typer.BadParameter: There is no such trial.
    """
    if unknown := [name for name in names if name not in TRIALS]:
        raise typer.BadParameter(f"no trial {', '.join(unknown)}; there are {', '.join(sorted(TRIALS, key=_number))}")
    wanted = names or [name for name, each in TRIALS.items() if each.is_long == long]
    return [TRIALS[name] for name in sorted(set(wanted), key=_number)]


def run(trial: Trial, place: Path, console: Console) -> Row:
    """Run one trial in a directory of its own, which is deleted if it holds. Whatever it raises is its row's reason."""
    directory = place / trial.name
    directory.mkdir()
    _forget_settings(directory)
    began = time.monotonic()
    outcome, reason = None, ""
    signal.signal(signal.SIGALRM, _overdue)
    try:
        with console.status(f"{trial.name}: {trial.must_hold}"):
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
    if console.is_terminal:
        console.print(f"{trial.name:4} {row.verdict}, {row.took_s:.0f} s {reason}", markup=False, highlight=False)
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


def _number(name: str) -> tuple[int, str]:
    found = re.search(r"\d+", name)
    return int(found[0]) if found else 0, name


if __name__ == "__main__":
    typer.run(main)
