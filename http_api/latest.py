"""The newest reading of each sensor and kind, as far as it is known here. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sensorflow.reading import Value

Series = tuple[str, str]  # sensor_id, kind


@dataclass(frozen=True, slots=True)
class Newest:
    """A reading without its name. ``client_ip`` is None too where only ``live`` told of it, which does not say."""

    time_us: int
    values: Mapping[str, Value]
    client_ip: str | None


class _Entry:
    __slots__ = ("accepted_in", "checked_in", "newest")

    def __init__(self) -> None:
        self.newest: Newest | None = None
        self.checked_in = self.accepted_in = -1  # connections of the live feed

    def is_older(self, reading: Newest) -> bool:
        """Whether the reading takes the place of what is here."""
        known = self.newest
        return known is None or (reading.time_us, reading.client_ip is not None) >= (
            known.time_us,
            known.client_ip is not None,
        )


class Latest:
    """Newest readings; the least recently used series is forgotten when there are more than ``max_series``.

    What is here can be told without asking the store only where the store was asked once since the live feed was last
    connected: before that another reading may have passed us by.
    """

    def __init__(self, max_series: int = 100_000) -> None:
        self._max_series = max_series
        self._entries: OrderedDict[Series, _Entry] = OrderedDict()
        self._connection = 0

    def offer(self, series: Series, reading: Newest) -> None:
        """Take a reading of the live feed, or, with ``client_ip``, one that we have just answered 201.

        At the same time the one with ``client_ip`` counts, being the more complete.
        """
        entry = self._entry(series)
        if entry.is_older(reading):
            entry.newest = reading
            if reading.client_ip is not None:
                entry.accepted_in = self._connection

    def stored(self, series: Series, reading: Newest) -> None:
        """Take a reading of the store."""
        entry = self._entry(series)
        if entry.is_older(reading):
            entry.newest = reading

    def reconnected(self) -> None:
        """The live feed had a gap: every series has to be asked for again."""
        self._connection += 1

    @property
    def connection(self) -> int:
        """Which connection of the live feed this is; to be given to :meth:`checked`."""
        return self._connection

    def checked(self, series: Series, connection: int) -> None:
        """The store was asked during ``connection``, and what it had was taken."""
        self._entry(series).checked_in = connection

    def find(self, series: Series) -> tuple[Newest | None, bool]:
        """What is known, and whether that is surely the newest."""
        entry = self._entries.get(series)
        if entry is None:
            return None, False
        self._entries.move_to_end(series)
        return entry.newest, entry.checked_in == self._connection

    def is_accepted(self, series: Series) -> bool:
        """Whether what is known is no older than a reading that we answered 201 since the live feed was connected."""
        entry = self._entries.get(series)
        return entry is not None and entry.accepted_in == self._connection

    def _entry(self, series: Series) -> _Entry:
        entry = self._entries.get(series)
        if entry is None:
            entry = self._entries[series] = _Entry()
            if len(self._entries) > self._max_series:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(series)
        return entry
