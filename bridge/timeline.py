"""Which time a reading gets, so that no two readings of a sensor and kind share one and no reading has two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from sensorflow.errors import FieldError, RejectedError
from sensorflow.reading import split_line

if TYPE_CHECKING:
    from collections.abc import Iterable

CAPACITY = 50_000  # readings; each 10,000 take 20 ms of a start
MAX_SHIFT_US = 10_000
MAX_CROWDS = 1_000  # that are remembered; what is forgotten is walked through once more

Key = TypeVar("Key")


class Timeline:
    """The last readings by series and time: at least ``CAPACITY``, at most twice that (about 20 MB).

    Within this window two different readings with the same device time are moved apart by 1 us, and a reading that is
    sent again with its time is known. A clash with a reading that was forgotten overwrites it in the store.

    Args:
        lines: What the spool still holds, oldest first, to carry on from after a restart.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._placed: _Recent[tuple[str, int]] = _Recent(CAPACITY)
        self._newest: _Recent[str] = _Recent(CAPACITY)
        self._crowds: dict[tuple[str, int], _Crowd] = {}
        # So many lines: by the methods below a start would take three times as long.
        placed: dict[tuple[str, int], int] = {}
        newest: dict[str, int] = {}
        for line in lines:
            series, fields, time_us, _ = split_line(line)
            placed[series, time_us] = hash(fields)
            if time_us > newest.get(series, 0):
                newest[series] = time_us
        self._placed.load(placed)
        self._newest.load(newest)

    def place(self, series: str, fields: str, time_us: int) -> tuple[int, bool]:
        """A reading that brings its time: the time to store it at, and whether it is stored there already.

        Raises:
            RejectedError: ``bad_time``: too many different readings at that time.
        """
        digest = hash(fields)
        known = self._placed.get((series, time_us))
        if known is None:
            self._placed.put((series, time_us), digest)
            return time_us, False
        return (time_us, True) if known == digest else self._shift(series, digest, time_us)

    def _shift(self, series: str, digest: int, time_us: int) -> tuple[int, bool]:
        """The next free time, or that at which the reading is; each step from the wanted time is made but once."""
        if len(self._crowds) >= MAX_CROWDS:
            self._crowds.clear()
        crowd = self._crowds.setdefault((series, time_us), _Crowd(time_us))
        while (known := self._placed.get((series, crowd.end_us))) is not None:
            crowd.times.setdefault(known, crowd.end_us)
            crowd.end_us += 1
        if digest in crowd.times:
            return crowd.times[digest], True
        if crowd.end_us - time_us >= MAX_SHIFT_US:
            raise RejectedError(
                "bad_time",
                FieldError("time", f"{MAX_SHIFT_US} different readings at {time_us} us already, at most that many"),
            )
        self._placed.put((series, crowd.end_us), digest)
        return crowd.end_us, False

    def assign(self, series: str, fields: str, now_us: int) -> int:
        """A reading without a time: now, or 1 us after the last that was assigned in its series where that is later."""
        time_us = max(now_us, (self._newest.get(series) or 0) + 1)
        while self._placed.get((series, time_us)) is not None:
            time_us += 1
        self._placed.put((series, time_us), hash(fields))
        self._newest.put(series, time_us)
        return time_us

    def forget(self, line: str) -> None:
        """A line that the store rejected: when it is sent again, it is as good as new."""
        series, _, time_us, _ = split_line(line)
        self._placed.drop((series, time_us))
        self._crowds.clear()


@dataclass(slots=True)
class _Crowd:
    """Different readings that all want the same time: where each is, by its hash, and where they end."""

    end_us: int
    times: dict[int, int] = field(default_factory=dict)


class _Recent(Generic[Key]):
    """A dict of integers that forgets the older half when it holds twice ``capacity``."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._new: dict[Key, int] = {}
        self._old: dict[Key, int] = {}

    def get(self, key: Key) -> int | None:
        value = self._new.get(key)
        return self._old.get(key) if value is None else value

    def put(self, key: Key, value: int) -> None:
        if len(self._new) >= self._capacity:
            self._old, self._new = self._new, {}
        self._new[key] = value

    def load(self, values: dict[Key, int]) -> None:
        """Hold these instead of what there was."""
        self._new, self._old = values, {}

    def drop(self, key: Key) -> None:
        self._new.pop(key, None)
        self._old.pop(key, None)
