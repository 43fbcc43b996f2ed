"""A bridge's condition, made by hand."""

from typing import Any

from bridge.spool import Depth
from bridge.status import Condition

NOW_US = 1_755_354_645_123_456


def condition(**changes: Any) -> Condition:
    """Of a bridge to which something happened; ``changes`` are to the condition or to its depth."""
    depth: dict[str, Any] = {
        "accepted": 10,
        "stored": 5,
        "spooled": 3,
        "dead_letters": 2,
        "duplicates": 1,
        "oldest_us": NOW_US - 1_500_000,
        "size_bytes": 4096,
    }
    rest: dict[str, Any] = {
        "time_us": NOW_US,
        "uptime_s": 12.34,
        "live_dropped": 4,
        "is_full": False,
        "has_broker": True,
        "has_store": True,
    }
    depth |= {name: value for name, value in changes.items() if name in depth}
    rest |= {name: value for name, value in changes.items() if name not in depth}
    return Condition(depth=Depth(**depth), **rest)
