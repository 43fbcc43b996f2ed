"""The file of alert rules that Grafana reads.

No summary may hold ``${`` or ``$$``: Grafana expands those when it reads the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.pipeline_rules import pipeline_rules
from grafana.rule import provisioned
from grafana.sensor_rules import sensor_rules

if TYPE_CHECKING:
    from sensorflow.kinds import Kinds

FOLDER = "SensorFlow"


def provisioning(kinds: Kinds, panel_ids: dict[tuple[str, str], int]) -> dict[str, object]:
    """The file's content. ``panel_ids`` are by dashboard uid and panel title."""
    groups = {"Sensors": sensor_rules(kinds), "Pipeline": pipeline_rules()}
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": name,
                "folder": FOLDER,
                "interval": "1m",
                "rules": [provisioned(rule, panel_ids) for rule in rules],
            }
            for name, rules in groups.items()
        ],
    }
