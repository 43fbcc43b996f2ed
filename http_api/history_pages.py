"""Which part of a long range to ask for next, so that each question is small and all of them are linear. Pure.

A range is asked for in windows of time, each at most so many rows: a window that has more goes on behind its last row,
and the next ones are shorter; one that had few makes the next ones longer. Without windows each page would make the
store sort all that is left, and InfluxDB 3 Core refuses a query that touches too many of its files.
"""

from __future__ import annotations

from dataclasses import dataclass

_LONGER_AFTER_NONE = 16
_LONGER_AFTER_FEW = 2


@dataclass(frozen=True, slots=True)
class Key:
    """The place of a row: no two have the same."""

    time_ns: int
    sensor_id: str


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start_ns`` until before ``end_ns``, and of that only what comes behind ``after``."""

    start_ns: int
    end_ns: int
    after: Key | None


class Pages:
    """The windows of one range, in the order of its rows.

    Args:
        after: Begin behind this row; None begins at the beginning.
        step_ns: Windows begin and end at its multiples, except at the ends of the range: the length of a bin, else 1.
        span_ns: Length of the first window; None asks for all at once.
    """

    def __init__(
        self,
        start_ns: int,
        end_ns: int,
        *,
        after: Key | None = None,
        is_descending: bool = False,
        step_ns: int = 1,
        span_ns: int | None = None,
    ) -> None:
        self._start_ns, self._end_ns = start_ns, end_ns
        self._after: Key | None = None
        self._is_descending, self._step_ns = is_descending, step_ns
        self._span_ns = self._whole_steps(max(1, end_ns - start_ns) + step_ns if span_ns is None else span_ns)
        if after is not None:
            self._go_behind(after)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to ask for."""
        return self._start_ns >= self._end_ns

    def window(self) -> Window:
        """What to ask for now."""
        if self._is_descending:
            top_ns = self._floor(self._end_ns - 1) + self._step_ns
            return Window(max(top_ns - self._span_ns, self._start_ns), self._end_ns, self._after)
        bottom_ns = self._floor(self._start_ns)
        return Window(self._start_ns, min(bottom_ns + self._span_ns, self._end_ns), self._after)

    def had(self, rows: int, last: Key | None, *, is_cut: bool, wanted: int) -> None:
        """The window had ``rows``, up to ``last``; ``is_cut`` where it may have more than were taken."""
        window = self.window()
        if is_cut and last is not None:
            covered_ns = window.end_ns - last.time_ns if self._is_descending else last.time_ns - window.start_ns
            self._span_ns = self._whole_steps(min(self._span_ns, covered_ns))
            self._go_behind(last)
            return
        self._after = None
        if self._is_descending:
            self._end_ns = window.start_ns
        else:
            self._start_ns = window.end_ns
        if rows * 2 < wanted:
            self._span_ns *= _LONGER_AFTER_FEW if rows else _LONGER_AFTER_NONE

    def _go_behind(self, after: Key) -> None:
        self._after = after
        if self._is_descending:
            self._end_ns = min(self._end_ns, after.time_ns + self._step_ns)
        else:
            self._start_ns = max(self._start_ns, after.time_ns)

    def _floor(self, time_ns: int) -> int:
        return time_ns - time_ns % self._step_ns

    def _whole_steps(self, span_ns: int) -> int:
        return max(1, -(-span_ns // self._step_ns)) * self._step_ns
