"""Which sensors there are, with their first and their last reading. Pure: the caller says what time it is.

What is here is told by the store, which knows the past, and by the live feed, which knows the present. It is all there
is for as long as the feed goes on without a gap; and anew from the store now and then, which forgets by its retention.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sensorflow.reading import Value

MAX_SENSORS = 50_000  # of a kind; of more, the longest silent and those that are new are not remembered
SURE_FOR_S = 600.0
LIKELY_FOR_S = 5.0  # where the feed or the store may lack something


@dataclass(slots=True)
class Seen:
    """One sensor's readings of one kind: times are microseconds since 1970, ``values`` those of the last."""

    first_us: int
    last_us: int
    values: Mapping[str, Value]
    heard_s: float

    def add(self, other: Seen) -> None:
        """Put together what two have told."""
        if other.last_us >= self.last_us:
            self.last_us, self.values = other.last_us, other.values
        self.first_us = min(self.first_us, other.first_us)
        self.heard_s = max(self.heard_s, other.heard_s)


@dataclass(frozen=True, slots=True)
class Listed:
    """One sensor, by kind."""

    sensor_id: str
    kinds: dict[str, Seen]

    @property
    def first_us(self) -> int:
        """Of its first reading."""
        return min(seen.first_us for seen in self.kinds.values())

    @property
    def last_us(self) -> int:
        """Of its last reading."""
        return max(seen.last_us for seen in self.kinds.values())


class Directory:
    """The sensors of each kind."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self._sensors: dict[str, dict[str, Seen]] = {kind: {} for kind in kinds}
        self._good_until_s: dict[str, float] = {}
        self.connection = 0
        """Which connection of the live feed this is."""

    def hear(self, kind: str, sensor_id: str, time_us: int, values: Mapping[str, Value], now_s: float) -> None:
        """A reading has come by the live feed."""
        sensors = self._sensors.get(kind)
        if sensors is None:  # another configuration's
            return
        seen = Seen(time_us, time_us, values, now_s)
        if (known := sensors.get(sensor_id)) is not None:
            known.add(seen)
        elif len(sensors) < MAX_SENSORS:
            sensors[sensor_id] = seen

    def reconnected(self) -> None:
        """The live feed had a gap: the store has to be asked again."""
        self._good_until_s.clear()
        self.connection += 1

    def is_good(self, kind: str, now_s: float) -> bool:
        """Whether what is here can be told without asking the store."""
        return now_s < self._good_until_s.get(kind, float("-inf"))

    def is_full(self, kind: str) -> bool:
        """Whether there may be more sensors than are here."""
        return len(self._sensors[kind]) >= MAX_SENSORS

    def load(self, kind: str, stored: dict[str, Seen], now_s: float, *, is_sure: bool) -> None:
        """What the store has, when it was asked; ``is_sure`` where neither it nor the feed lacks anything."""
        known = self._sensors[kind]
        self._sensors[kind] = stored
        self._good_until_s[kind] = now_s + (SURE_FOR_S if is_sure else LIKELY_FOR_S)
        for sensor_id, seen in known.items():
            if sensor_id in stored:
                stored[sensor_id].add(seen)
            elif now_s - seen.heard_s < SURE_FOR_S and len(stored) < MAX_SENSORS:  # on its way into the store
                stored[sensor_id] = seen

    def page(
        self, kinds: Iterable[str], *, prefix: str, after: str, last_before_us: int | None, limit: int
    ) -> list[Listed]:
        """The first ``limit`` behind ``after``, by name; only those whose last reading is older, where that is said."""
        kinds = list(kinds)
        names = {name for kind in kinds for name in self._sensors[kind] if name > after and name.startswith(prefix)}
        if last_before_us is not None:
            for kind in kinds:  # of each name one comparison, because there may be all
                names -= {name for name, seen in self._sensors[kind].items() if seen.last_us >= last_before_us}
        return [self._listed(name, kinds) for name in heapq.nsmallest(limit, names)]

    def _listed(self, name: str, kinds: list[str]) -> Listed:
        return Listed(name, {kind: self._sensors[kind][name] for kind in kinds if name in self._sensors[kind]})
