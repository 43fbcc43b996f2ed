"""How the bridge is at one moment, and the status that says so. No I/O, and no clock but the times passed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import orjson

from sensorflow.reading import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.spool import Depth

VERSION = version("sensorflow")


@dataclass(frozen=True, slots=True)
class Condition:
    """What is told of the bridge, in the status and in the row of statistics.

    Args:
        depth: All of it from one moment, so that its sum holds.
        live_dropped: Since the process started.
        is_full: Whether the spool takes nothing more.
        process: What the process takes of the machine (:func:`bridge.footprint.footprint`).
        since_start: What it has measured (:meth:`bridge.stats.Stats.since_start`).
    """

    time_us: int
    uptime_s: float
    depth: Depth
    live_dropped: int
    is_full: bool
    has_broker: bool
    has_store: bool
    process: Mapping[str, float] = field(default_factory=dict)
    since_start: Mapping[str, Any] = field(default_factory=dict)

    @property
    def oldest_s(self) -> float:
        """Age of the oldest reading that the store may lack; 0 without one."""
        oldest_us = self.depth.oldest_us
        return round(max(0, self.time_us - oldest_us) / 1e6, 3) if oldest_us else 0

    @property
    def counters(self) -> dict[str, int]:
        """Numbers of readings; ``accepted = stored + spooled + dead_letters``, always."""
        depth = self.depth
        return {
            "accepted": depth.accepted,
            "stored": depth.stored,
            "spooled": depth.spooled,
            "dead_letters": depth.dead_letters,
            "duplicates": depth.duplicates,
            "live_dropped": self.live_dropped,
        }


def status(condition: Condition, state: str) -> bytes:
    """The JSON object of ``status/bridge`` and of the status file."""
    depth = condition.depth
    return orjson.dumps(
        {
            "service": "bridge",
            "state": state,
            "version": VERSION,
            "time": timestamp(condition.time_us),
            "uptime_s": round(condition.uptime_s, 1),
            "broker": _connected(condition.has_broker),
            "store": _connected(condition.has_store),
            "spool": {
                "readings": depth.spooled,
                "bytes": depth.size_bytes,
                "oldest_s": condition.oldest_s,
                "is_full": condition.is_full,
            },
            "counters": condition.counters,
            "room_bytes": depth.room_bytes,
            "process": condition.process,
            "since_start": condition.since_start,
        }
    )


def last_will() -> bytes:
    """What the broker publishes in our name when we are gone without a word."""
    return orjson.dumps({"service": "bridge", "state": "gone"})


def _connected(is_there: bool) -> str:  # noqa: FBT001 - a word for a fact, not a switch
    return "connected" if is_there else "disconnected"
