from dataclasses import replace
from typing import Any

import pytest

from http_api import health

WELL = health.Facts(
    has_broker=True,
    has_store=True,
    is_bridge_active=True,
    bridge_has_store=True,
    is_spool_full=False,
    has_failed=False,
    spool={},
)


def test_it_is_healthy_when_nothing_is_wrong() -> None:
    assert health.status(WELL) == "healthy"


@pytest.mark.parametrize("fact", ["has_store", "bridge_has_store", "is_bridge_active"])
def test_it_is_degraded_when_something_is_away_and_readings_are_accepted(fact: str) -> None:
    change: dict[str, Any] = {fact: False}

    assert health.status(replace(WELL, **change)) == "degraded"


@pytest.mark.parametrize(("fact", "value"), [("has_broker", False), ("is_spool_full", True), ("has_failed", True)])
def test_it_is_unhealthy_when_readings_are_not_accepted(fact: str, *, value: bool) -> None:
    change: dict[str, Any] = {fact: value}

    assert health.status(replace(WELL, has_store=False, **change)) == "unhealthy"


def test_the_report_has_the_keys_that_monitoring_reads() -> None:
    report = health.report(WELL, version="1.2.3", now_us=1_755_358_245_123_456, uptime_s=3600.9)

    assert report == {
        "status": "healthy",
        "timestamp": "2025-08-16T15:30:45.123Z",
        "version": "1.2.3",
        "services": {
            "influxdb": "connected",
            "websocket_manager": "active",
            "mqtt": "connected",
            "bridge": "active",
        },
        "uptime_seconds": 3600,
        "spool": {},
    }
