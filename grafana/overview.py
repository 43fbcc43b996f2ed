"""The dashboard *Overview*: for each kind, who reports, who fell silent, the newest values, and how they developed."""

# ruff: noqa: S608 - the only names put into SQL are those of kinds, which load_kinds has checked

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import Row
from grafana_foundation_sdk.models import units

from grafana.measures import declaring, measures_of, undeclaring
from grafana.panels import graph, limits_shown, link_to_sensor, new_dashboard, number, properties, rows, steps

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard
    from grafana_foundation_sdk.builders.stat import Panel as Stat
    from grafana_foundation_sdk.builders.table import Panel as Table
    from grafana_foundation_sdk.builders.timeseries import Panel as Graph
    from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

    from grafana.measures import Measure
    from sensorflow.kinds import Kind, Kinds

SILENT_AFTER_MIN = 15
"""A sensor without a reading for as long is silent, here and to the alert."""

_MAX_LINES = 25  # more cannot be told apart by their colours
_MAX_ROWS = 500


def overview(kinds: Kinds) -> Dashboard:
    """Of all kinds. What an open kind has is folded away: its table may not exist before its first reading."""
    dashboard = new_dashboard("overview", "All sensors: who reports, who is silent, the newest values.")
    for kind in declaring(kinds.values()):
        dashboard.with_row(Row(kind.kind))
        dashboard.with_panel(_counts(kind)).with_panel(_silent(kind)).with_panel(_newest(kind))
        for measure in measures_of(kind):
            dashboard.with_panel(_trend(kind, measure))
    for kind in undeclaring(kinds.values()):
        dashboard.with_row(Row(kind.kind).with_panel(_counts(kind)).with_panel(_silent(kind)).with_panel(_seen(kind)))
    return dashboard


def _counts(kind: type[Kind]) -> Stat:
    silent = f"seen < $__timeTo() - interval '{SILENT_AFTER_MIN} minutes'"
    sql = f"""\
SELECT
  count(*) FILTER (WHERE NOT {silent}) AS active,
  count(*) FILTER (WHERE {silent}) AS silent
FROM (SELECT sensor_id, max(time) AS seen FROM {kind.table} WHERE $__timeFilter(time) GROUP BY sensor_id)"""
    return (
        number(f"{kind.kind}: sensors", sql, span=5, height=6)
        .description(f"Silent: no reading for {SILENT_AFTER_MIN} minutes, but one in this time range.")
        .override_by_name("active", properties(color={"mode": "fixed", "fixedColor": "green"}))
        .override_by_name("silent", properties(thresholds=steps((None, "green"), (1, "red")).build()))
    )


def _silent(kind: type[Kind]) -> Table:
    sql = f"""\
SELECT sensor_id, max(time) AS last_seen, date_part('epoch', $__timeTo()) - date_part('epoch', max(time)) AS silent_for
FROM {kind.table}
WHERE $__timeFilter(time)
GROUP BY sensor_id
HAVING max(time) < $__timeTo() - interval '{SILENT_AFTER_MIN} minutes'
ORDER BY last_seen, sensor_id
LIMIT {_MAX_ROWS}"""
    return (
        _sensors(rows(f"{kind.kind}: silent sensors", sql, span=19, height=6), kind)
        .no_value("None is silent")
        .override_by_name("silent_for", properties(displayName="silent for", unit=units.DurationSeconds))
    )


def _newest(kind: type[Kind]) -> Table:
    values = "".join(
        f'  last_value("{each.name}" ORDER BY time) FILTER (WHERE "{each.name}" IS NOT NULL) AS "{each.name}",\n'
        for each in measures_of(kind)
    )
    sql = f"""\
SELECT
  sensor_id,
{values}  count(*) AS readings,
  max(time) AS last_seen
FROM {kind.table}
WHERE $__timeFilter(time)
GROUP BY sensor_id
ORDER BY sensor_id
LIMIT {_MAX_ROWS}"""
    panel = _sensors(rows(f"{kind.kind}: newest values", sql, span=24, height=8), kind)
    for measure in measures_of(kind):
        panel.override_by_name(measure.name, _look(measure))
    return panel.no_value("No sensor reported in this time range")


def _seen(kind: type[Kind]) -> Table:
    sql = f"""\
SELECT sensor_id, count(*) AS readings, max(time) AS last_seen
FROM {kind.table}
WHERE $__timeFilter(time)
GROUP BY sensor_id
ORDER BY sensor_id
LIMIT {_MAX_ROWS}"""
    panel = _sensors(rows(f"{kind.kind}: sensors and their readings", sql, span=24, height=8), kind)
    return panel.no_value("No sensor reported in this time range")


def _trend(kind: type[Kind], measure: Measure) -> Graph:
    sql = f"""\
SELECT $__dateBin(time) AS time, sensor_id, avg("{measure.name}") AS "{measure.name}"
FROM {kind.table}
WHERE $__timeFilter(time) AND sensor_id IN (
  SELECT sensor_id FROM {kind.table} WHERE $__timeFilter(time)
  GROUP BY sensor_id ORDER BY max(time) DESC, sensor_id LIMIT {_MAX_LINES}
)
GROUP BY 1, sensor_id
ORDER BY 1, sensor_id"""
    panel = (
        graph(f"{kind.kind}: {measure.name}", sql, span=8)
        .description(f"Means; of the {_MAX_LINES} sensors that reported last.")
        .unit(measure.grafana_unit)
        .thresholds(measure.thresholds)
        .display_name("${__field.labels.sensor_id}")
        .override_by_field_type(
            "number", properties(links=link_to_sensor(kind.table, "${__field.labels.sensor_id}", measure.name))
        )
    )
    return limits_shown(panel) if measure.is_bounded else panel


def _sensors(panel: Table, kind: type[Kind]) -> Table:
    """How all tables of sensors show their name and when they were seen."""
    return panel.override_by_name(
        "sensor_id", properties(displayName="sensor", links=link_to_sensor(kind.table, "${__value.text}"))
    ).override_by_name("last_seen", properties(displayName="last seen", unit=units.DateTimeFromNow))


def _look(measure: Measure) -> list[DynamicConfigValue]:
    look = properties(unit=measure.grafana_unit, thresholds=measure.thresholds.build())
    return look + properties(custom__cellOptions={"type": "color-text"}) if measure.is_bounded else look
