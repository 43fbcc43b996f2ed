"""Looking for a history that breaks the promise, and making it short enough to be read."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Self, TypeVar

from bridge import fingerprints
from bridge.spool import Spool
from sensorflow import mqtt
from tests.bridge.history import WINDOW, Disk, Flaws, History, Memory, Step, steps_of
from tests.bridge.model_broker import BrokenPromiseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

MAX_PENDING_EVENTS = 8

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Finding:
    """A history that breaks the promise."""

    seed: int
    violation: str
    steps: Sequence[Step]

    def __str__(self) -> str:
        steps = "\n".join(f"    {step.what} {step.by}" for step in self.steps)
        return f"seed {self.seed}, {len(self.steps)} steps: {self.violation}\n{steps}"


def in_loop(call: Callable[[], Result]) -> Result:
    """Call it inside an event loop, which histories need and never turn."""

    async def inside() -> Result:
        return call()

    return asyncio.run(inside())


def first_finding(
    seeds: Iterable[int], new_disk: Callable[[], Callable[[], Disk]] | None = None, flaws: Flaws | None = None
) -> Finding | None:
    """The first seed whose history breaks the promise, shrunk; None where there is none.

    Args:
        new_disk: Makes an empty disk: a function that opens it, again and again. In memory by default.
    """
    new_disk = new_disk or new_memory
    for seed in seeds:
        if violation_of(seed, steps_of(seed), new_disk, flaws):
            steps = shrink(steps_of(seed), lambda fewer: bool(violation_of(seed, fewer, new_disk, flaws)))  # noqa: B023 - called before the next seed
            return Finding(seed, violation_of(seed, steps, new_disk, flaws) or "", steps)
    return None


def violation_of(
    seed: int, steps: Sequence[Step], new_disk: Callable[[], Callable[[], Disk]], flaws: Flaws | None = None
) -> str | None:
    """What goes wrong in this history; None where nothing does."""
    try:
        live(seed, steps, new_disk, flaws)
    except BrokenPromiseError as violation:
        return str(violation)
    return None


def live(
    seed: int, steps: Sequence[Step], new_disk: Callable[[], Callable[[], Disk]], flaws: Flaws | None = None
) -> History:
    """The history at its end.

    Raises:
        BrokenPromiseError: It has gone wrong.
    """
    history = History(seed, new_disk(), flaws)
    with _small(ids_come_again=history.ids_come_again):
        history.run(steps)
    return history


def shrink(steps: Sequence[Step], fails: Callable[[Sequence[Step]], bool]) -> Sequence[Step]:
    """Leave out what it fails without: halves first, single steps last."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            fewer = [*steps[:at], *steps[at + size :]]
            if fails(fewer):
                steps = fewer
            else:
                at += size
        size //= 2
    return steps


def new_memory() -> Callable[[], Disk]:
    memory = Memory()
    return lambda: memory


class Spools:
    """Real spools, each in a directory of its own below this one; the one before is closed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = count()
        self._open: Spool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self) -> Callable[[], Disk]:
        directory = self._directory / str(next(self._numbers))

        def open_again() -> Disk:
            self._close()
            self._open = Spool(directory, max_bytes=2**30)
            return self._open

        return open_again

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()


@contextmanager
def _small(*, ids_come_again: bool) -> Iterator[None]:
    """Bounds so small that 200 steps reach them."""
    before = fingerprints.WINDOW, mqtt.MAX_PENDING_EVENTS
    mqtt.MAX_PENDING_EVENTS = MAX_PENDING_EVENTS
    if ids_come_again:
        fingerprints.WINDOW = WINDOW
    try:
        yield
    finally:
        fingerprints.WINDOW, mqtt.MAX_PENDING_EVENTS = before
