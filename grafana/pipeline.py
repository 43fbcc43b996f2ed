"""The dashboard *Pipeline*: what the bridge says about itself in the table ``pipeline_stats``, a row each 10 seconds.

Its counters are totals. A rate is the sum of their steps over the seconds these took; where a counter is smaller than
in the row before, it began anew, and the step is what it has counted since. Only ``stored`` falls otherwise: by what a
store that was restarted is sent again, which counts when it is there.
"""

# ruff: noqa: S608 - the only names put into SQL are those of kinds, which load_kinds has checked

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import GraphDrawStyle, VisibilityMode
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

from grafana.panels import graph, new_dashboard, number, properties, steps

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard, ThresholdsConfig
    from grafana_foundation_sdk.builders.stat import Panel as Stat
    from grafana_foundation_sdk.builders.timeseries import Panel as Graph
    from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

_INTERVAL = "10s"
_LATENCIES = ("avg({}_ms_p50) AS median", "max({}_ms_p99) AS p99", "max({}_ms_max) AS slowest")


def pipeline() -> Dashboard:
    """Of all bridges together."""
    return (
        new_dashboard("pipeline", "From the broker to the store: rates, latencies, what waits, what was rejected.")
        .with_panel(_now())
        .with_panel(_in_range())
        .with_panel(_rates())
        .with_panel(_losses())
        .with_panel(_latency("commit", "Arrived to durable", "From taking readings to their being on the disk."))
        .with_panel(
            _latency("store", "Accepted to stored", "From readings being accepted to their being in the store.")
        )
        .with_panel(_oldest())
        .with_panel(_spool())
    )


def counted(*counters: str) -> str:
    """A WITH clause: ``steps`` has ``time``, ``elapsed_s`` and by how much each counter grew in that time."""
    of_service = "OVER (PARTITION BY service ORDER BY time)"
    before = "".join(f",\n    {name}, lag({name}) {of_service} AS {name}_before" for name in counters)
    grown = "".join(
        f",\n    CASE WHEN {name} >= {name}_before THEN {name} - {name}_before ELSE {_since_anew(name)} END AS {name}"
        for name in counters
    )
    return f"""\
WITH pairs AS (
  SELECT
    time, service,
    date_part('epoch', time) - date_part('epoch', lag(time) {of_service}) AS elapsed_s{before}
  FROM pipeline_stats
  WHERE $__timeFilter(time)
), steps AS (
  SELECT
    time, service, elapsed_s{grown}
  FROM pairs
  WHERE elapsed_s > 0
)"""


def _since_anew(counter: str) -> str:
    return "0.0" if counter == "stored" else counter


def _now() -> Stat:
    newest = ",\n".join(
        f"  last_value({name} ORDER BY time) AS {name}"
        for name in ("broker_connected", "spool_oldest_s", "spool_bytes", "spool_is_full", "uptime_s")
    )
    sql = f"""\
SELECT
  date_part('epoch', $__timeTo()) - date_part('epoch', max(time)) AS heard_of,
{newest}
FROM pipeline_stats
WHERE $__timeFilter(time)
HAVING count(*) > 0"""
    return (
        number("The bridge", sql, span=14)
        .override_by_name("heard_of", _seconds("last heard of", steps((None, "green"), (30, "orange"), (120, "red"))))
        .override_by_name("broker_connected", _flag("broker", ("away", "red"), ("connected", "green")))
        .override_by_name("spool_oldest_s", _seconds("oldest waiting", steps((None, "green"), (60, "red"))))
        .override_by_name("spool_bytes", properties(displayName="spool", unit=units.BytesIEC))
        .override_by_name("spool_is_full", _flag("spool has room", ("yes", "green"), ("no", "red")))
        .override_by_name("uptime_s", properties(displayName="up for", unit=units.DurationSeconds))
    )


def _in_range() -> Stat:
    counters = ("accepted", "dead_letters", "duplicates", "live_dropped")
    sums = ",\n".join(f"  sum({name}) AS {name}" for name in counters)
    sql = f"{counted(*counters)}\nSELECT\n{sums}\nFROM steps\nHAVING count(*) > 0"
    bad = steps((None, "green"), (1, "red"))
    panel = number("In this time range", sql, span=10)
    for name, shown in (("accepted", "accepted"), ("duplicates", "sent twice")):
        panel.override_by_name(name, properties(displayName=shown, unit=units.LocaleFormat))
    for name, shown in (("dead_letters", "dead letters"), ("live_dropped", "live frames dropped")):
        panel.override_by_name(name, properties(displayName=shown, unit=units.LocaleFormat, thresholds=bad.build()))
    return panel


def _rates() -> Graph:
    sql = f"""\
{counted("accepted", "stored")}
SELECT
  $__dateBin(time) AS time,
  sum(accepted) / sum(elapsed_s) AS accepted,
  sum(stored) / sum(elapsed_s) AS stored
FROM steps
GROUP BY 1
ORDER BY 1"""
    panel = graph("Readings per second", sql, span=12, min_interval=_INTERVAL).unit("suffix:readings/s")
    return panel.axis_soft_min(0)


def _losses() -> Graph:
    counters = ("dead_letters", "duplicates", "live_dropped")
    sums = ",\n".join(f"  sum({name}) AS {name}" for name in counters)
    sql = f"{counted(*counters)}\nSELECT\n  $__dateBin(time) AS time,\n{sums}\nFROM steps\nGROUP BY 1\nORDER BY 1"
    return (
        graph("Dead letters, duplicates, dropped live frames", sql, span=12, min_interval=_INTERVAL)
        .description("Dead letters are kept, with their reason: sensorflow dead-letters list.")
        .draw_style(GraphDrawStyle.BARS)
        .show_points(VisibilityMode.NEVER)
        .fill_opacity(60)
        .axis_soft_min(0)
        .override_by_name("dead_letters", properties(displayName="dead letters", color=_fixed("red")))
        .override_by_name("duplicates", properties(color=_fixed("blue")))
        .override_by_name("live_dropped", properties(displayName="live frames dropped", color=_fixed("orange")))
    )


def _latency(what: str, title: str, description: str) -> Graph:
    columns = ",\n".join(f"  {column.format(what)}" for column in _LATENCIES)
    sql = f"""\
SELECT
  $__dateBin(time) AS time,
{columns}
FROM pipeline_stats
WHERE $__timeFilter(time) AND {what}_ms_p50 IS NOT NULL
GROUP BY 1
ORDER BY 1"""
    panel = graph(title, sql, span=12, min_interval=_INTERVAL).unit(units.Milliseconds).axis_soft_min(0)
    return panel.description(f"{description} A point of several rows has their worst p99.")


def _oldest() -> Graph:
    sql = """\
SELECT $__dateBin(time) AS time, max(spool_oldest_s) AS "oldest waiting"
FROM pipeline_stats
WHERE $__timeFilter(time)
GROUP BY 1
ORDER BY 1"""
    panel = graph("Age of the oldest reading not yet stored", sql, span=12, min_interval=_INTERVAL)
    return panel.unit(units.DurationSeconds).axis_soft_min(0)


def _spool() -> Graph:
    sql = """\
SELECT $__dateBin(time) AS time, max(spooled) AS "readings waiting", max(spool_bytes) AS "size of the spool"
FROM pipeline_stats
WHERE $__timeFilter(time)
GROUP BY 1
ORDER BY 1"""
    return (
        graph("Spool", sql, span=12, min_interval=_INTERVAL)
        .axis_soft_min(0)
        .unit(units.LocaleFormat)
        .override_by_name("size of the spool", properties(unit=units.BytesIEC, custom__axisPlacement="right"))
    )


def _seconds(name: str, colours: ThresholdsConfig) -> list[DynamicConfigValue]:
    return properties(displayName=name, unit=units.DurationSeconds, thresholds=colours.build())


def _flag(name: str, zero: tuple[str, str], one: tuple[str, str]) -> list[DynamicConfigValue]:
    results = {
        str(value): ValueMappingResult(text=text, color=color) for value, (text, color) in enumerate((zero, one))
    }
    return properties(displayName=name, mappings=[ValueMap(options=results)])


def _fixed(color: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": color}
