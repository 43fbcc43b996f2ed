"""``python -m tests.faults [R1 R17 …] [--long]``: run the trials and print what they showed."""

import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.faults import machine, table
from tests.faults.runner import load_trials, run_all
from tests.faults.trial import TRIALS, Trial


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
    rows = []
    with console.status(f"0 of {len(trials)} done") as status:
        for row in run_all(trials, place):
            rows.append(row)
            status.update(f"{len(rows)} of {len(trials)} done, {sum(not each.holds for each in rows)} do not hold")
            if console.is_terminal:
                console.print(f"{row.trial.name:4} {row.verdict}, {row.took_s:.0f} s {row.reason}", markup=False)
    rows.sort(key=lambda row: _number(row.trial.name))
    about = machine.about(place)
    if all(row.holds for row in rows):
        shutil.rmtree(place)
    else:
        console.print(f"the logs and files of those that failed are in {place}", highlight=False)
    table.show(console, rows, total_s=time.monotonic() - began, about=about)
    if not all(row.holds for row in rows):
        raise typer.Exit(1)


def chosen(names: list[str], *, long: bool) -> list[Trial]:
    """Those that are meant, in the order of their numbers.

    Raises:
        typer.BadParameter: There is no such trial.
    """
    if unknown := [name for name in names if name not in TRIALS]:
        raise typer.BadParameter(f"no trial {', '.join(unknown)}; there are {', '.join(sorted(TRIALS, key=_number))}")
    wanted = names or [name for name, each in TRIALS.items() if each.is_long == long]
    return [TRIALS[name] for name in sorted(set(wanted), key=_number)]


def _number(name: str) -> tuple[int, str]:
    found = re.search(r"\d+", name)
    return int(found[0]) if found else 0, name


if __name__ == "__main__":
    typer.run(main)
