"""Whether readings are accepted, and what is away. Pure: it decides from facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sensorflow.reading import timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known at this moment.

    Args:
        has_failed: The broker did not take the last reading, and nothing has spoken for it since.
        bridge_has_store: The bridge's own view, which differs from ``has_store`` when its token is wrong, say.
    """

    has_broker: bool
    has_store: bool
    is_bridge_active: bool
    bridge_has_store: bool
    is_spool_full: bool
    has_failed: bool
    spool: dict[str, Any]


def status(facts: Facts) -> str:
    """``healthy``; ``degraded``: readings are accepted but something is away; ``unhealthy``: they are not."""
    if not facts.has_broker or facts.is_spool_full or facts.has_failed:
        return "unhealthy"
    if facts.has_store and facts.bridge_has_store and facts.is_bridge_active:
        return "healthy"
    return "degraded"


def report(facts: Facts, *, version: str, now_us: int, uptime_s: float) -> dict[str, Any]:
    """The answer of ``/api/v1/health``; monitoring out there reads these keys."""
    return {
        "status": status(facts),
        "timestamp": timestamp(now_us),
        "version": version,
        "services": {
            "influxdb": _connected(is_so=facts.has_store),
            # It lives in this process; what can fail is its feed.
            "websocket_manager": _active(is_so=facts.has_broker),
            "mqtt": _connected(is_so=facts.has_broker),
            "bridge": _active(is_so=facts.is_bridge_active),
        },
        "uptime_seconds": int(uptime_s),
        "spool": facts.spool,
    }


def _connected(*, is_so: bool) -> str:
    return "connected" if is_so else "disconnected"


def _active(*, is_so: bool) -> str:
    return "active" if is_so else "inactive"
