"""Which time a reading gets, so that no two readings of a sensor and kind share one and no reading has two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from sensorflow.errors import FieldError, RejectedError
from sensorflow.reading import split_line

if TYPE_CHECKING:
    from collections.abc import Iterable

CAPACITY = 50_000  # readings; each 10,000 take 20 ms of a start
MAX_SHIFT_US = 10_000

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
        for candidate_us in range(time_us, time_us + MAX_SHIFT_US):
            known = self._placed.get((series, candidate_us))
            if known is None:
                self._placed.put((series, candidate_us), digest)
                return candidate_us, False
            if known == digest:
                return candidate_us, True
        raise RejectedError(
            "bad_time",
            FieldError("time", f"{MAX_SHIFT_US} different readings at {time_us} us already, at most that many"),
        )

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
