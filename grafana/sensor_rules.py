"""Alert rules about sensors: who fell silent, and whose values are not normal."""

# ruff: noqa: S608 - the only names put into SQL are those of kinds, which load_kinds has checked

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.measures import measures_of
from grafana.overview import SILENT_AFTER_MIN
from grafana.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grafana.measures import Measure
    from sensorflow.kinds import Kind, Kinds

NEWEST_OF_H = 2
"""How old a sensor's newest reading may be to be judged; sensors that report once an hour are common."""


def sensor_rules(kinds: Kinds) -> Iterator[Rule]:
    """For each kind, and each of its measures that has bounds."""
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
        range_s=86400,
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
