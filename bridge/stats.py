"""What the bridge measures of itself, and the rows of ``pipeline_stats`` that it makes of it.

No I/O, and no clock but the times passed in.
"""

from __future__ import annotations

from collections import Counter, deque
from math import ceil
from typing import TYPE_CHECKING, Any

from bridge import histogram
from bridge.histogram import Histogram
from sensorflow.reading import fields_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bridge.intake import DeadLetter
    from bridge.status import Condition
    from sensorflow.reading import Value

TABLE = "pipeline_stats"
TAG = "service"
MAX_ROWS = 8_640  # a day's worth, at one in 10 s: about 4 MB
MAX_SAMPLES = 4_096

_PERCENTILES = {"p50": 0.5, "p99": 0.99}


class Latencies:
    """How long each of something took, between two rows.

    The number and the longest are of all; the percentiles are of the last ``MAX_SAMPLES``.
    """

    def __init__(self) -> None:
        self._last_s: deque[float] = deque(maxlen=MAX_SAMPLES)
        self._longest_s = 0.0
        self.count = 0

    def add(self, took_s: float) -> None:
        """One more; this is on the path of every reading, so it only remembers."""
        self.count += 1
        self._last_s.append(took_s)
        self._longest_s = max(self._longest_s, took_s)

    def fields(self, name: str) -> dict[str, Value]:
        """``{name}_ms_p50``, ``_p99`` and ``_max``; none where nothing was measured."""
        if not self.count:
            return {}
        in_order = sorted(self._last_s)
        times_s = {word: percentile(in_order, part) for word, part in _PERCENTILES.items()} | {"max": self._longest_s}
        return {f"{name}_ms_{word}": round(1000 * took_s, 3) for word, took_s in times_s.items()}

    def clear(self) -> None:
        """Begin the next interval."""
        self._last_s.clear()
        self._longest_s, self.count = 0.0, 0


class Stats:
    """Measures until the next row is due; ``rows`` wait there until somebody has written them.

    At most ``MAX_ROWS`` wait; beyond, the oldest are dropped. They are lost with the process: the totals are not.
    """

    def __init__(self) -> None:
        self.commits = Latencies()
        self.store = Latencies()
        self.rows: deque[bytes] = deque(maxlen=MAX_ROWS)
        self._commit_s = Histogram(histogram.COMMIT_S)
        self._commit_readings = Histogram(histogram.COMMIT_READINGS)
        self._store_s = Histogram(histogram.STORE_S)
        self._dead_letters: Counter[str] = Counter()

    def committed(self, took_s: float, readings: int) -> None:
        """One commit is on the disk."""
        self.commits.add(took_s)
        self._commit_s.add(took_s)
        self._commit_readings.add(readings)

    def stored(self, took_s: float) -> None:
        """One chunk is in the store, for the first time."""
        self.store.add(took_s)
        self._store_s.add(took_s)

    def buried(self, dead_letters: Iterable[DeadLetter]) -> None:
        """These are dead letters now."""
        for letter in dead_letters:
            self._dead_letters[letter.reason] += 1

    def since_start(self) -> dict[str, Any]:
        """What the status says beside the totals; it begins anew with the process."""
        return {
            "commit_s": self._commit_s.figures(),
            "commit_readings": self._commit_readings.figures(),
            "store_s": self._store_s.figures(),
            "dead_letters": dict(self._dead_letters),
        }

    def end_interval(self, condition: Condition) -> None:
        """Make a row of what was measured since the last, and of how the bridge is now."""
        values = _totals(condition)
        values["commits"] = self.commits.count
        values |= self.commits.fields("commit") | self.store.fields("store")
        self.rows.append(f"{TABLE},{TAG}=bridge {fields_text(values)} {condition.time_us}".encode())
        self.commits.clear()
        self.store.clear()


def percentile(in_order: Sequence[float], part: float) -> float:
    """The value that ``part`` of all do not exceed: one of those measured, nothing in between (nearest rank)."""
    return in_order[max(0, ceil(part * len(in_order)) - 1)]


def _totals(condition: Condition) -> dict[str, Value]:
    return {
        "uptime_s": round(condition.uptime_s, 1),
        **condition.counters,
        "spool_bytes": condition.depth.size_bytes,
        "spool_oldest_s": condition.oldest_s,
        "spool_is_full": float(condition.is_full),  # numbers too, so that they can be drawn
        "broker_connected": float(condition.has_broker),
    }


FIELDS = (
    "uptime_s",
    "accepted",
    "stored",
    "spooled",
    "dead_letters",
    "duplicates",
    "live_dropped",
    "spool_bytes",
    "spool_oldest_s",
    "spool_is_full",
    "broker_connected",
    "commits",
    *(f"{name}_ms_{word}" for name in ("commit", "store") for word in (*_PERCENTILES, "max")),
)
"""Of a row in which everything was measured, in its order."""
