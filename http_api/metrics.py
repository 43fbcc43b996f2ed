"""What ``/metrics`` says: of this process as it counts, of the rest as it is at the moment of the scrape.

Names end in their unit, as Prometheus wants it (prometheus.io/docs/practices/naming); docs/operations.md says what each
means. Labels are bounded: by routes, statuses and kinds, never by what a client sends.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client import exposition as text
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from http_api import bridge_metrics, health
from http_api.bridge_status import STALE_AFTER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

TEXT, OPENMETRICS = text.CONTENT_TYPE_PLAIN_0_0_4, "application/openmetrics-text; version=1.0.0; charset=utf-8"

# A POST takes 5 ms on a quiet machine, and at most 2 s for its receipt and 4 s for its PUBACK.
_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_WEBSOCKET_COUNTERS = {
    "ws_offered": ("frames_offered", "Live readings offered to browsers, one for each of them."),
    "ws_sent": ("frames_sent", "Live readings sent to browsers."),
    "ws_dropped": ("frames_dropped", "Live readings that a browser did not get."),
    "ws_dropped_clients": ("clients_dropped", "Browsers that fell behind and were cut off."),
}

# Otherwise each counter and histogram has a sibling with the time at which it was made.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # the library types it not


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known at the moment of a scrape, all of it read without a pause.

    Args:
        readings: By kind and outcome.
        hub: :meth:`ws.hub.Hub.counters`.
        bridge: Its last status, whole; empty before the first.
        bridge_silent_s: Since that.
    """

    health: health.Facts
    readings: Mapping[tuple[str, str], int]
    refused: int
    hub: Mapping[str, int]
    bridge: Mapping[str, Any]
    bridge_silent_s: float


class Metrics:
    """All that this process tells Prometheus; whoever measures is given its histogram."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._registry = CollectorRegistry()
        self.requests = Histogram(
            "sensorflow_http_request_seconds",
            "From a request's head to the beginning of its answer.",
            ["method", "route", "status"],
            registry=self._registry,
            buckets=_SECONDS,
        )
        self.pubacks = self._histogram("puback", "From the publication of a reading to the broker's PUBACK.")
        self.receipts = self._histogram("receipt", "From the publication to the bridge's receipt, where one came.")
        ProcessCollector(registry=self._registry)

    def expose(self, facts: Callable[[], Facts]) -> None:
        """Ask for these, too, at each scrape."""
        self._registry.register(_AtScrape(self._version, facts))

    def exposition(self, media_type: str) -> bytes:
        """All of it, in ``TEXT`` or in ``OPENMETRICS``."""
        if media_type == OPENMETRICS:
            return bytes(openmetrics.generate_latest(self._registry))  # type: ignore[no-untyped-call] # as above
        return text.generate_latest(self._registry)

    def _histogram(self, name: str, help_: str) -> Histogram:
        return Histogram(f"sensorflow_{name}_seconds", help_, registry=self._registry, buckets=_SECONDS)


class _AtScrape(Collector):
    def __init__(self, version: str, facts: Callable[[], Facts]) -> None:
        self._version, self._facts = version, facts

    def collect(self) -> Iterator[Metric]:
        facts = self._facts()
        known = facts.health
        labels = {"version": self._version, "python": platform.python_version()}
        build = GaugeMetricFamily("sensorflow_build_info", "Of this http_api; always 1.", labels=list(labels))
        build.add_metric(list(labels.values()), 1)
        yield build
        yield _gauge("accepting", "Whether a POST would be accepted.", health.status(known) != "unhealthy")
        yield _gauge("broker_up", "Whether http_api is connected to the broker.", known.has_broker)
        yield _gauge("store_up", "Whether the store answers http_api.", known.has_store)
        yield _gauge("bridge_up", "Whether the bridge runs and was heard lately.", known.is_bridge_active)
        yield _readings(facts.readings)
        refused = "Requests that never reached the application: late, too large, unreadable, too many."
        yield CounterMetricFamily("sensorflow_http_refused", refused, facts.refused)
        yield _gauge("websocket_clients", "Browsers that are connected.", facts.hub["ws_clients"])
        for key, (name, help_) in _WEBSOCKET_COUNTERS.items():
            yield CounterMetricFamily(f"sensorflow_websocket_{name}", help_, facts.hub[key])
        # Old figures would pass for those of now; since when it is silent is told all the same.
        said = facts.bridge if facts.bridge_silent_s <= STALE_AFTER_S else dict.fromkeys(facts.bridge)
        yield from bridge_metrics.families(said, facts.bridge_silent_s)


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(f"sensorflow_{name}", help_, float(value))


def _readings(counts: Mapping[tuple[str, str], int]) -> Metric:
    labels = ["kind", "outcome"]
    family = CounterMetricFamily("sensorflow_http_readings", "Readings that came over HTTP.", labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
