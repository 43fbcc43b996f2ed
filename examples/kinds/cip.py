"""Clean-in-place monitoring: an example of a kind of your own. Load it with ``KINDS=examples/kinds/cip.py``."""

from __future__ import annotations

from sensorflow.kinds import Kind, Text, measure


class Cip(Kind):
    """One reading of a cleaning cycle in a tank or a line."""

    table = "cip_readings"

    cip_id: Text
    status_cip: Text
    temperature: float = measure("°C", ge=-20, le=160, high=95)
    pressure: float = measure("bar", ge=0, le=40, high=8)
    concentration: float = measure("%", ge=0, le=100, high=5)
