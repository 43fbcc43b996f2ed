"""Alert rules about the way to the store: what waits, whether the bridge is heard of, what was rejected."""

# ruff: noqa: S608 - nothing of a user's is put into SQL

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.pipeline import counted
from grafana.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_WAITING_S = 60
UNHEARD_OF_S = 120
DEAD_LETTERS_IN_MIN = 15


def pipeline_rules() -> Iterator[Rule]:
    """They ask the table ``pipeline_stats``."""
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
        range_s=86400,
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
