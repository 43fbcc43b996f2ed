"""What `make prove` prints: one row for each trial, the notes below it, and on what machine it was."""

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.faults.trial import Outcome, Trial

NARROW_COLUMNS = ("offered", "accepted", "lost", "duplicated")
WIDTH_OF_A_FILE = 180  # where there is no terminal whose width could be asked for


@dataclass(frozen=True, slots=True)
class Row:
    """One trial that was run.

    Args:
        outcome: None where the trial itself broke off; ``reason`` then says why.
    """

    trial: Trial
    took_s: float
    outcome: Outcome | None
    reason: str = ""

    @property
    def holds(self) -> bool:
        """A trial that broke off has shown nothing, so it does not hold."""
        return self.outcome is not None and self.outcome.holds

    @property
    def verdict(self) -> str:
        if not self.holds:
            return "FAILS"
        return "as far as Mosquitto lets it" if self.outcome and self.outcome.note else "holds"

    def cells(self) -> list[str]:
        """In the order of the columns."""
        took = f"{self.took_s:.0f} s"
        if self.outcome is None:
            return [self.trial.name, "", *[""] * len(NARROW_COLUMNS), self.trial.must_hold, self.reason, took]
        shown = self.outcome
        numbers = (shown.offered, shown.accepted, shown.lost, shown.duplicated)
        return [
            self.trial.name,
            shown.injected,
            *(f"{number:,}" for number in numbers),
            self.trial.must_hold,
            shown.measured,
            took,
        ]


def show(console: Console, rows: list[Row], *, total_s: float, about: str) -> None:
    """Print all of it."""
    table = Table(title="SensorFlow: what holds when things break", title_justify="left", show_lines=True)
    table.add_column("test", no_wrap=True)
    table.add_column("injected", ratio=3)
    for name in NARROW_COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("must hold", ratio=3)
    table.add_column("measured", ratio=3)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("verdict", ratio=1)
    for row in rows:
        colour = "green" if row.holds else "bold red"
        table.add_row(*map(escape, row.cells()), f"[{colour}]{row.verdict}[/]")
    console.print(table)
    for row in rows:
        if row.outcome and row.outcome.note:
            console.print(f"{row.trial.name}: {row.outcome.note}", markup=False, highlight=False)
    failed = [row.trial.name for row in rows if not row.holds]
    said = f"{len(failed)} of {len(rows)} do not hold: {' '.join(failed)}" if failed else f"all {len(rows)} hold"
    console.print(f"{said}; {total_s:.0f} s", style="bold red" if failed else "bold green", highlight=False)
    console.print(about, markup=False, highlight=False)
