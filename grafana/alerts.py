"""The alert rules, as Grafana's file provisioning reads them.

Each asks for a table of one number and otherwise texts, which Grafana takes as one alert a row, the texts being its
labels; a threshold decides. So the number and the labels are at hand for the summary, and nothing has to be reduced.
The SDK models the rules of Grafana's HTTP API, whose keys differ from a file's; hence plain dictionaries.

No summary may hold ``${`` or ``$$``: Grafana expands those when it reads the file.
"""

# ruff: noqa: S608 - the only names put into SQL are those of kinds, which load_kinds has checked

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from grafana.measures import Measure, measures_of
from grafana.overview import SILENT_AFTER_MIN
from grafana.panels import DATASOURCE
from grafana.pipeline import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sensorflow.kinds import Kind, Kinds

NEWEST_OF_H = 2
"""How old a sensor's newest reading may be to be judged; sensors that report once an hour are common."""
MAX_WAITING_S = 60
UNHEARD_OF_S = 120
DEAD_LETTERS_IN_MIN = 15

FOLDER = "SensorFlow"
_MAX_UID = 40  # characters; Grafana's column
_DAY_S = 86400

State = Literal["Alerting", "KeepLast", "OK"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Args:
        name: Part of its uid, unique.
        range_s: How far back the query may look.
        evaluator: What of the number is bad: Grafana's type, and its parameters.
        pending: How long it must be bad.
        no_data: What a query without rows means.
        error: What a query that fails means.
        panel: Dashboard and title of the panel that shows it.
    """

    name: str
    title: str
    sql: str
    range_s: int
    evaluator: tuple[str, list[float]]
    pending: str
    severity: Literal["warning", "critical"]
    summary: str
    description: str
    panel: tuple[str, str]
    no_data: State = "OK"
    error: State = "KeepLast"


def provisioning(kinds: Kinds, panel_ids: dict[tuple[str, str], int]) -> dict[str, object]:
    """The file's content. ``panel_ids`` are by dashboard uid and panel title."""
    groups = {"Sensors": _sensor_rules(kinds), "Pipeline": _pipeline_rules()}
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": name,
                "folder": FOLDER,
                "interval": "1m",
                "rules": [_provisioned(rule, panel_ids) for rule in rules],
            }
            for name, rules in groups.items()
        ],
    }


def _sensor_rules(kinds: Kinds) -> Iterator[Rule]:
    for kind in kinds.values():
        yield _silent(kind)
        for measure in measures_of(kind):
            if measure.is_bounded:
                yield _out_of_bounds(kind, measure)


def _silent(kind: type[Kind]) -> Rule:
    """No data means that no sensor reported for a day: each had its alert, or there is none yet."""
    return Rule(
        name=f"silent-{kind.table}",
        title=f"Sensor silent ({kind.kind})",
        sql=f"""\
SELECT sensor_id, date_part('epoch', $__timeTo()) - date_part('epoch', max(time)) AS silent_s
FROM {kind.table}
WHERE $__timeFilter(time)
GROUP BY sensor_id
ORDER BY sensor_id""",
        range_s=_DAY_S,
        evaluator=("gt", [SILENT_AFTER_MIN * 60]),
        pending="0s",
        severity="warning",
        summary=(
            f"{{{{ $labels.sensor_id }}}} has sent no {kind.kind} for {{{{ humanizeDuration $values.A.Value }}}}"
            f" (limit: {SILENT_AFTER_MIN} min)"
        ),
        description=(
            "Look at the sensor's power and network. If many fell silent at once, look at the dashboard Pipeline: the"
            " broker, the bridge or the store may be the cause. Wrong readings do not count: sensorflow dead-letters"
            " list shows them. The alert ends by itself a day after the last reading."
        ),
        panel=("sensorflow-overview", f"{kind.kind}: silent sensors"),
    )


def _out_of_bounds(kind: type[Kind], measure: Measure) -> Rule:
    return Rule(
        name=f"{kind.table}-{measure.name}",
        title=f"{measure.name.capitalize()} out of bounds ({kind.kind})",
        sql=f"""\
SELECT sensor_id, last_value("{measure.name}" ORDER BY time) AS "{measure.name}"
FROM {kind.table}
WHERE $__timeFilter(time) AND "{measure.name}" IS NOT NULL
GROUP BY sensor_id
ORDER BY sensor_id""",
        range_s=NEWEST_OF_H * 3600,
        evaluator=_outside(measure),
        pending="2m",
        severity="warning",
        summary=(
            f"{measure.name} of {{{{ $labels.sensor_id }}}} is"
            f' {{{{ printf "%.4g" $values.A.Value }}}} {measure.unit}, normal is {measure.normal}'
        ),
        description=(
            f"The newest reading of kind {kind.kind} is outside of the normal bounds for 2 minutes. Look at the"
            " dashboard Sensor whether it drifted or jumped: a jump is often a broken sensor or cable. The bounds"
            " stand in the kind (low and high)."
        ),
        panel=("sensorflow-overview", f"{kind.kind}: {measure.name}"),
    )


def _outside(measure: Measure) -> tuple[str, list[float]]:
    limits = [limit for limit in (measure.low, measure.high) if limit is not None]
    if len(limits) == 2:
        return "outside_range", limits
    return ("gt" if measure.low is None else "lt"), limits


def _pipeline_rules() -> Iterator[Rule]:
    yield Rule(
        name="waiting",
        title="Pipeline lagging: readings wait for the store",
        sql="""\
SELECT service, last_value(spool_oldest_s ORDER BY time) AS spool_oldest_s
FROM pipeline_stats
WHERE $__timeFilter(time)
GROUP BY service
ORDER BY service""",
        range_s=300,
        evaluator=("gt", [MAX_WAITING_S]),
        pending="2m",
        severity="critical",
        summary=(
            "The oldest reading has waited for {{ humanizeDuration $values.A.Value }} to be stored"
            f" (limit: {MAX_WAITING_S} s)"
        ),
        description=(
            "Nothing is lost: readings wait in the bridge's spool. Look at the log of the bridge for why the store"
            " does not take them, at the store's health and disk, and at the dashboard Pipeline for whether the"
            " backlog shrinks."
        ),
        panel=("sensorflow-pipeline", "Age of the oldest reading not yet stored"),
    )
    # No row and no answer are what this rule is about, so here they count as the fault.
    yield Rule(
        name="unheard-of",
        title="Pipeline lagging: no word from the bridge",
        sql="""\
SELECT service, date_part('epoch', $__timeTo()) - date_part('epoch', max(time)) AS unheard_of_s
FROM pipeline_stats
WHERE $__timeFilter(time)
GROUP BY service
ORDER BY service""",
        range_s=_DAY_S,
        evaluator=("gt", [UNHEARD_OF_S]),
        pending="1m",
        severity="critical",
        summary=f"The bridge has written nothing about itself for more than {UNHEARD_OF_S} s: it or the store is down",
        description=(
            "Look first whether the store answers (sensorflow health store), then the bridge (sensorflow health"
            " bridge), then their logs. While the bridge is down the broker keeps what devices send with QoS 1, and"
            " HTTP boards are answered 202 or 503."
        ),
        panel=("sensorflow-pipeline", "The bridge"),
        no_data="Alerting",
        error="Alerting",
    )
    yield Rule(
        name="dead-letters",
        title="Dead letters rising",
        sql=f"""\
{counted("dead_letters")}
SELECT service, sum(dead_letters) AS dead_letters
FROM steps
GROUP BY service
ORDER BY service""",
        range_s=DEAD_LETTERS_IN_MIN * 60,
        evaluator=("gt", [0]),
        pending="0s",
        severity="warning",
        summary=(
            f'{{{{ printf "%.0f" $values.A.Value }}}} readings were rejected in the last {DEAD_LETTERS_IN_MIN} minutes'
            " (limit: 0)"
        ),
        description=(
            "They are kept with their reason: sensorflow dead-letters list. Often one device sends a wrong field, unit"
            " or time; when it is put right, sensorflow dead-letters replay takes them in."
        ),
        panel=("sensorflow-pipeline", "Dead letters, duplicates, dropped live frames"),
    )


def _provisioned(rule: Rule, panel_ids: dict[tuple[str, str], int]) -> dict[str, Any]:
    kind, parameters = rule.evaluator
    return {
        "uid": _uid(rule.name),
        "title": rule.title,
        "condition": "B",
        "for": rule.pending,
        "noDataState": rule.no_data,
        "execErrState": rule.error,
        "dashboardUid": rule.panel[0],
        "panelId": panel_ids[rule.panel],
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.summary, "description": rule.description},
        "data": [
            {
                "refId": "A",
                "datasourceUid": DATASOURCE.uid,
                "relativeTimeRange": {"from": rule.range_s, "to": 0},
                "model": {"refId": "A", "rawSql": rule.sql, "format": "table", "rawQuery": True, "editorMode": "code"},
            },
            {
                "refId": "B",
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "B",
                    "type": "threshold",
                    "expression": "A",
                    "conditions": [{"evaluator": {"type": kind, "params": parameters}}],
                },
            },
        ],
    }


def _uid(name: str) -> str:
    uid = f"sensorflow-{name}"
    if len(uid) <= _MAX_UID:
        return uid
    return f"{uid[: _MAX_UID - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
