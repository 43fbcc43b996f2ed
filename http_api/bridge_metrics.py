"""The bridge's figures, out of one status of its: so ``accepted = stored + spooled + dead_letters`` at every scrape.

What the status does not say (an older bridge, one that is gone) is not exposed, rather than exposed as 0.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

# Where it is in the status, what it is called, what it is. "stored" is no counter: what a restarted store may have lost
# is spooled again.
_COUNTERS = (
    ("counters.accepted", "readings_accepted", "Readings that the bridge took, since its spool was made."),
    ("counters.dead_letters", "readings_dead_letters", "Of these, rejected by the bridge or by the store."),
    ("counters.duplicates", "readings_duplicates", "Redelivered messages that were recognised and not stored again."),
    ("counters.live_dropped", "live_dropped", "Live readings and receipts that the bridge could not publish."),
    ("process.cpu_s", "bridge_cpu_seconds", "Processor time of the bridge."),
)
_GAUGES = (
    ("counters.stored", "readings_stored", "Accepted readings that the store has."),
    ("counters.spooled", "readings_spooled", "Accepted readings that the store does not have yet."),
    ("spool.oldest_s", "spool_oldest_seconds", "Age of the oldest reading that the store does not have yet."),
    ("spool.bytes", "spool_bytes", "Size of the spool, with what is kept after the store has it."),
    ("spool.is_full", "spool_full", "Whether the bridge takes nothing more."),
    ("room_bytes", "spool_room_bytes", "What the spool takes before it is full, by its limit or by its disk."),
    ("broker", "bridge_broker_up", "Whether the bridge is connected to the broker."),
    ("store", "bridge_store_up", "Whether the store takes what the bridge writes."),
    ("uptime_s", "bridge_uptime_seconds", "Since the bridge started."),
    ("process.memory_bytes", "bridge_memory_bytes", "Resident memory of the bridge."),
    ("process.open_files", "bridge_open_files", "Open files and connections of the bridge."),
)
_HISTOGRAMS = (
    ("commit_s", "commit_seconds", "From the arrival of readings at the bridge to their being on its disk."),
    ("commit_readings", "commit_readings", "Readings in one commit."),
    ("store_s", "store_delay_seconds", "From the commit of readings to their being in the store."),
)
_WORDS = {"connected": 1.0, "disconnected": 0.0}


def families(status: Mapping[str, Any], silent_s: float) -> Iterator[Metric]:
    """Of the last status, ``silent_s`` ago; each family is there, with or without a sample."""
    for path, name, help_ in _COUNTERS:
        yield CounterMetricFamily(f"sensorflow_{name}", help_, _number(_at(status, path)))
    for path, name, help_ in _GAUGES:
        yield GaugeMetricFamily(f"sensorflow_{name}", help_, _number(_at(status, path)))
    for path, name, help_ in _HISTOGRAMS:
        yield _histogram(name, help_, _at(status, f"since_start.{path}"))
    yield _dead_letters(_at(status, "since_start.dead_letters"))
    age = "Since the bridge was last heard; it speaks every 5 seconds."
    yield GaugeMetricFamily("sensorflow_bridge_silent_seconds", age, silent_s if status else None)


def _at(status: Any, path: str) -> Any:
    for name in path.split("."):
        status = status.get(name) if isinstance(status, dict) else None
    return status


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _WORDS.get(value)
    return float(value) if isinstance(value, int | float) else None


def _histogram(name: str, help_: str, figures: Any) -> Metric:
    family = HistogramMetricFamily(f"sensorflow_{name}", help_)
    try:
        totals = [float(total) for total in accumulate(figures["counts"])]
        bounds = [*(f"{float(bound):g}" for bound in figures["bounds"]), "+Inf"]
        family.add_metric([], list(zip(bounds, totals, strict=True)), float(figures["sum"]))
    except (KeyError, TypeError, ValueError):
        pass  # of a bridge that says it otherwise
    return family


def _dead_letters(by_reason: Any) -> Metric:
    help_ = "Readings rejected by the bridge or by the store, since the bridge started."
    family = CounterMetricFamily("sensorflow_dead_letters_by_reason", help_, labels=["reason"])
    if isinstance(by_reason, dict):
        for reason, count in by_reason.items():
            if (number := _number(count)) is not None:
                family.add_metric([reason], number)
    return family
