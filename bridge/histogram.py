"""How often something took how long, or was how large, since the process started: as Prometheus counts it. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# A commit is one fsync: a millisecond on a good disk, a hundred on an SD card. A second is a disk in trouble.
COMMIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
COMMIT_READINGS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
# The shipper lingers for a tenth of a second; a minute is a store that was away.
STORE_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0)


class Histogram:
    """Counts by upper bound, inclusive; what is beyond the last bound is in the number behind it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """One more; this is on the path of every commit."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def figures(self) -> dict[str, Any]:
        """For the status: ``bounds``, ``counts`` (not cumulative, one more than bounds) and ``sum``."""
        return {"bounds": [*self._bounds], "counts": [*self._counts], "sum": round(self._sum, 6)}
