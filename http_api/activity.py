"""How many readings came lately, by kind. Pure: the caller says what time it is."""

from __future__ import annotations

from collections import Counter, deque

HOUR_S = 3600


class Activity:
    """Counts of the last hour in seconds, of which there are at most 3,600 a kind; and all since the start."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self._seconds: dict[str, deque[list[int]]] = {kind: deque(maxlen=HOUR_S) for kind in kinds}
        self.totals: Counter[str] = Counter(dict.fromkeys(kinds, 0))

    def count(self, kind: str, readings: int, now_s: float) -> None:
        """So many have come; those of kinds that are not known here belong to another configuration."""
        seconds = self._seconds.get(kind)
        if seconds is None:
            return
        self.totals[kind] += readings
        if seconds and seconds[-1][0] == int(now_s):
            seconds[-1][1] += readings
        else:
            seconds.append([int(now_s), readings])

    def within(self, span_s: int, now_s: float) -> dict[str, int]:
        """By kind, in the last ``span_s``, at most an hour."""
        return {kind: _recent(seconds, int(now_s) - span_s) for kind, seconds in self._seconds.items()}


def _recent(seconds: deque[list[int]], since_s: int) -> int:
    total = 0
    for second, readings in reversed(seconds):
        if second <= since_s:
            break
        total += readings
    return total
