"""The newest values of each sensor, as ``sensorflow watch`` shows them.

Pure: frames and the current time in, lines and tables out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from rich.table import Table
from rich.text import Text

from sensorflow.cli.output import printable

MAX_SENSORS = 1000
# The keys of a frame (sensorflow.reading.frame) that are no values.
_ENVELOPE = frozenset({"sensor_id", "timestamp", "kind", "id"})


@dataclass(slots=True)
class _Newest:
    count: int
    values: str
    time_us: int


class Board:
    """What each sensor said last; of more than ``MAX_SENSORS`` those that were silent longest are forgotten."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], _Newest] = {}

    def add(self, frame: dict[str, Any]) -> None:
        """Take a frame in; the last to come is the last of the board, however old its reading."""
        key = (str(frame["sensor_id"]), str(frame["kind"]))
        before = self._newest.pop(key, None)
        self._newest[key] = _Newest(before.count + 1 if before else 1, values_text(frame), int(frame["id"]))
        if len(self._newest) > MAX_SENSORS:
            del self._newest[next(iter(self._newest))]

    def table(self, now_us: int, *, rows: int) -> Table:
        """The sensors that spoke last, at most ``rows`` of them, by name."""
        shown = sorted(list(self._newest.items())[-rows:])
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("sensor", no_wrap=True)
        table.add_column("kind", no_wrap=True)
        table.add_column("values", overflow="fold")
        table.add_column("age", justify="right", no_wrap=True)
        table.add_column("count", justify="right", no_wrap=True)
        for (sensor_id, kind), newest in shown:
            age = age_text((now_us - newest.time_us) / 1e6)
            cells = (printable(sensor_id), printable(kind), newest.values, age, f"{newest.count:,}")
            table.add_row(*map(Text, cells))
        return table


def line(frame: dict[str, Any]) -> str:
    """One reading on one line."""
    head = "  ".join(str(frame[key]) for key in ("timestamp", "sensor_id", "kind"))
    return f"{printable(head)}  {values_text(frame)}"


def values_text(frame: dict[str, Any]) -> str:
    """``temperature=25.5 humidity=60.2``."""
    values = (f"{name}={_text(value)}" for name, value in frame.items() if name not in _ENVELOPE)
    return printable(" ".join(values))


def age_text(age_s: float) -> str:
    """In the largest unit that it fills: ``3 s``, ``5 min``, ``2 h``, ``41 d``."""
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if age_s >= unit_s:
            return f"{age_s / unit_s:.0f} {unit}"
    return f"{max(age_s, 0):.0f} s"


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
