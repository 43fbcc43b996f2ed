"""The dashboard *Sensor*: one field of one sensor of any kind, every reading, in bins of 5 minutes and of an hour.

It works for fields that no kind declares. Those that are declared have their unit and their bounds; since two kinds may
give one name different units, a column's name says its kind too, and overrides that match it do the rest: first unit
and bounds, then a short name.
"""

# ruff: noqa: S608 - the only names put into SQL are those of kinds, which load_kinds has checked

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh

from grafana.measures import measures_of
from grafana.panels import DATASOURCE, graph, limits_shown, new_dashboard, number, properties

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from sensorflow.kinds import Kinds

AnyPanel = TypeVar("AnyPanel", stat.Panel, timeseries.Panel)

MAX_READINGS = 10_000
"""Shown one by one, the newest; more are neither told apart nor drawn in good time."""

_NUMERIC = ("Float64", "Int64", "UInt64")  # as InfluxDB's information schema calls them

_FROM = 'FROM "${kind:raw}" WHERE sensor_id = ${sensor:sqlstring} AND $__timeFilter(time)'
_VALUE = '"${field:raw}"'


def sensor(kinds: Kinds) -> Dashboard:
    """For all kinds that have a table."""
    return (
        new_dashboard("sensor", "One sensor: every reading, means over 5 minutes and an hour, lowest and highest.")
        .with_variable(_kind_variable(kinds))
        .with_variable(_sensor_variable())
        .with_variable(_field_variable(kinds))
        .with_panel(_known(_values(), kinds))
        .with_panel(_presence())
        .with_panel(_known(limits_shown(_every_reading()), kinds))
        .with_panel(_known(limits_shown(_five_minutes()), kinds))
        .with_panel(_known(limits_shown(_hours()), kinds))
    )


def _variable(name: str, sql: str) -> QueryVariable:
    query: dict[str, object] = {"refId": f"variable-{name}", "query": sql, "rawQuery": True}
    return QueryVariable(name).label(name.capitalize()).datasource(DATASOURCE).query(query).definition(sql)


def _kind_variable(kinds: Kinds) -> QueryVariable:
    """Shows the kind, and stands for its table. Only tables that exist are offered."""
    cases = "\n".join(f"  WHEN '{kind.table}' THEN '{kind.kind} {kind.table}'" for kind in kinds.values())
    tables = ", ".join(f"'{kind.table}'" for kind in kinds.values())
    sql = f"""\
SELECT CASE table_name
{cases}
END AS kind
FROM information_schema.tables
WHERE table_schema = 'iox' AND table_name IN ({tables})
ORDER BY kind"""
    first = next(iter(kinds.values()))
    return (
        _variable("kind", sql)
        .regex(r"/(?<text>\S+) (?<value>\S+)/")
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .current(VariableOption(text=first.kind, value=first.table))
    )


def _sensor_variable() -> QueryVariable:
    sql = 'SELECT DISTINCT sensor_id FROM "${kind:raw}" WHERE $__timeFilter(time) ORDER BY sensor_id'
    return _variable("sensor", sql).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def _field_variable(kinds: Kinds) -> QueryVariable:
    types = ", ".join(f"'{name}'" for name in _NUMERIC)
    sql = f"""\
SELECT column_name
FROM information_schema.columns
WHERE table_schema = 'iox' AND table_name = ${{kind:sqlstring}} AND data_type IN ({types})
ORDER BY column_name"""
    variable = _variable("field", sql).refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    first = measures_of(next(iter(kinds.values())))[0].name
    return variable.current(VariableOption(text=first, value=first))


def _column(what: str) -> str:
    return f'"{what} ${{field:raw}} of ${{kind:raw}}"'


def _known(panel: AnyPanel, kinds: Kinds) -> AnyPanel:
    """Give the declared fields their unit and their bounds, and then all columns short names."""
    for kind in kinds.values():
        for measure in measures_of(kind):
            look = properties(unit=measure.grafana_unit, thresholds=measure.thresholds.build())
            panel.override_by_regexp(f"/ {measure.name} of {kind.table}$/", look)
    panel.override_by_regexp("/^every .* of /", properties(displayName="$field"))
    for what in ("newest", "min", "mean", "max"):
        panel.override_by_regexp(f"/^{what} .* of /", properties(displayName=what))
    return panel


def _values() -> stat.Panel:
    sql = f"""\
SELECT
  last_value({_VALUE} ORDER BY time) FILTER (WHERE {_VALUE} IS NOT NULL) AS {_column("newest")},
  min({_VALUE}) AS {_column("min")},
  avg({_VALUE}) AS {_column("mean")},
  max({_VALUE}) AS {_column("max")}
{_FROM}"""
    return number("$field of $sensor", sql, span=16)


def _presence() -> stat.Panel:
    sql = f"SELECT count({_VALUE}) AS readings, max(time) AS last_seen\n{_FROM}"
    return (
        number("$sensor", sql, span=8)
        .override_by_name("readings", properties(unit=units.LocaleFormat))
        .override_by_name("last_seen", properties(displayName="last seen", unit=units.DateTimeFromNow))
    )


def _every_reading() -> timeseries.Panel:
    sql = f"""\
SELECT time, {_column("every")}
FROM (
  SELECT time, {_VALUE} AS {_column("every")}
  {_FROM} AND {_VALUE} IS NOT NULL
  ORDER BY time DESC
  LIMIT {MAX_READINGS}
)
ORDER BY time"""
    panel = graph("$field: every reading", sql, span=24)
    return panel.description(f"At most the newest {MAX_READINGS:,} of the time range.")


def _five_minutes() -> timeseries.Panel:
    sql = f"""\
SELECT $__dateBin(time) AS time, avg({_VALUE}) AS {_column("mean")}
{_FROM}
GROUP BY 1
ORDER BY 1"""
    panel = graph("$field: means over 5 minutes", sql, span=12, min_interval="5m")
    return panel.description("Over longer times where more than two days are shown.")


def _hours() -> timeseries.Panel:
    sql = f"""\
SELECT
  $__dateBin(time) AS time,
  min({_VALUE}) AS {_column("min")},
  avg({_VALUE}) AS {_column("mean")},
  max({_VALUE}) AS {_column("max")}
{_FROM}
GROUP BY 1
ORDER BY 1"""
    band = {"mode": "fixed", "fixedColor": "blue"}
    return (
        graph("$field: hourly means between lowest and highest", sql, span=12, min_interval="1h")
        .description("Over longer times where more than a month is shown.")
        .fill_opacity(0)
        .override_by_regexp("/^mean /", properties(custom__lineWidth=2, color=band))
        .override_by_regexp("/^min /", properties(custom__lineWidth=0, color=band))
        .override_by_regexp(
            "/^max /", properties(custom__lineWidth=0, custom__fillBelowTo="min", custom__fillOpacity=20, color=band)
        )
    )
