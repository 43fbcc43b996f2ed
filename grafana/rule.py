"""One alert rule, and how Grafana's file provisioning writes it.

A rule asks for a table of one number and otherwise texts, which Grafana takes as one alert a row, the texts being its
labels; a threshold decides. So the number and the labels are at hand for the summary, and nothing has to be reduced.
The SDK models the rules of Grafana's HTTP API, whose keys differ from a file's; hence a plain dictionary.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from grafana.panels import DATASOURCE

_MAX_UID = 40  # characters; Grafana's column

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


def provisioned(rule: Rule, panel_ids: dict[tuple[str, str], int]) -> dict[str, Any]:
    """As the file has it. ``panel_ids`` are by dashboard uid and panel title."""
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
