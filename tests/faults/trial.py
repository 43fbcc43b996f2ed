"""What a trial is: one fault, injected into real processes, and the figure that must hold all the same."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one trial has shown.

    Args:
        injected: What was done, in words: ``50 x kill -9 of the bridge``.
        offered: Readings that the oracle sent, each counted once however often it was sent.
        accepted: Those that were answered 201 or acknowledged.
        lost: Accepted, and in the end neither stored, spooled nor a dead letter with its reason.
        duplicated: Rows beyond one for a reading.
        measured: What else must hold, as it was measured: ``24 s, order kept``.
        holds: Whether all of it does.
        note: Where a figure cannot hold for a reason that lies in Mosquitto: which, and what was measured.
    """

    injected: str
    offered: int = 0
    accepted: int = 0
    lost: int = 0
    duplicated: int = 0
    measured: str = ""
    holds: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of the table; ``run`` gets an empty directory of its own.

    Args:
        is_long: It belongs to ``make prove-long``.
        is_alone: It measures time, so nothing else may run beside it.
    """

    name: str
    must_hold: str
    is_long: bool
    is_alone: bool
    run: Callable[[Path], Outcome]


TRIALS: dict[str, Trial] = {}


def trial(
    name: str, *, must_hold: str, is_long: bool = False, is_alone: bool = False
) -> Callable[[Callable[[Path], Outcome]], Callable[[Path], Outcome]]:
    """Make a function a trial, known by its name, such as ``R8``."""

    def register(run: Callable[[Path], Outcome]) -> Callable[[Path], Outcome]:
        assert name not in TRIALS, name
        TRIALS[name] = Trial(name, must_hold, is_long, is_long or is_alone, run)
        return run

    return register
