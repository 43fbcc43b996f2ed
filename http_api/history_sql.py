"""The queries of history, as text and parameters. Pure.

Into the text go only names that a kind declares or the store itself has told, functions of a list, and numbers that
were made here; whatever a client says goes through parameters, and those stand in WHERE, where alone InfluxDB 3
promises them. So that there are few texts, LIMIT and the length of IN are rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from http_api.history_range import rfc3339

if TYPE_CHECKING:
    from http_api.history_pages import Window

Aggregate = Literal["avg", "min", "max", "first", "last", "sum", "count", "median"]
AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)
OF_NUMBERS = frozenset({"avg", "sum", "median"})
MAX_SENSOR_IDS = 128
LIMITS = (2, 11, 101, 1_001, 10_001, 50_001)

_ORDERED = {"first": "first_value", "last": "last_value"}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows, and what of them.

    Args:
        table: A declared one.
        columns: Of the table, and there; never a client's words.
        are_chosen: Whether a client has chosen the columns: rows without any of them are then left out.
        sensor_ids: At most ``MAX_SENSOR_IDS``; empty for all.
        prefix: Of the sensors' names; empty for all.
        every_s: Length of a bin in seconds, None for the readings themselves.
    """

    table: str
    columns: tuple[str, ...]
    are_chosen: bool = False
    sensor_ids: tuple[str, ...] = ()
    prefix: str = ""
    every_s: int | None = None
    aggregate: Aggregate = "avg"
    is_descending: bool = False


def statement(selection: Selection, window: Window, rows: int) -> tuple[str, dict[str, str]]:
    """A query and its parameters; it gives ``time``, ``sensor_id`` and the columns, and at least ``rows`` if there are.

    Sorted by time and then sensor, which together are no two rows the same.
    """
    conditions, parameters = _conditions(selection, window)
    rest = _rest(selection, window, parameters)
    limit = next(limit for limit in LIMITS if limit >= rows)
    direction = " DESC" if selection.is_descending else ""
    names = ["time", "sensor_id", *map(_quoted, selection.columns)]
    if selection.every_s is None:
        source = f'"{selection.table}"'
        conditions += rest
    else:
        binned = [
            f"date_bin(INTERVAL '{selection.every_s:d} seconds', time) AS time",
            "sensor_id",
            *(f"{_aggregated(selection.aggregate, name)} AS {_quoted(name)}" for name in selection.columns),
        ]
        inner = ["SELECT", ", ".join(binned), f'FROM "{selection.table}"', *_where(conditions), "GROUP BY 1, 2"]
        source = f"({' '.join(inner)}) AS binned"
        conditions = rest
    parts = ["SELECT", ", ".join(names), "FROM", source, *_where(conditions)]
    parts += [f"ORDER BY time{direction}, sensor_id{direction} LIMIT {limit:d}"]
    return " ".join(parts), parameters


def _conditions(selection: Selection, window: Window) -> tuple[list[str], dict[str, str]]:
    conditions = ["time >= $start", "time < $end"]
    parameters = {"start": rfc3339(window.start_ns), "end": rfc3339(window.end_ns)}
    if ids := selection.sensor_ids:
        padded = [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))]
        named = {f"sensor_{number}": sensor_id for number, sensor_id in enumerate(padded)}
        conditions.append(f"sensor_id IN ({', '.join('$' + name for name in named)})")
        parameters |= named
    if selection.prefix:
        conditions.append("starts_with(sensor_id, $prefix)")
        parameters["prefix"] = selection.prefix
    if selection.are_chosen:
        conditions.append(f"({' OR '.join(f'{_quoted(name)} IS NOT NULL' for name in selection.columns)})")
    return conditions, parameters


def _rest(selection: Selection, window: Window, parameters: dict[str, str]) -> list[str]:
    """What comes after the last row of the page before."""
    if window.after is None:
        return []
    parameters["after_time"], parameters["after_sensor"] = rfc3339(window.after.time_ns), window.after.sensor_id
    side = "<" if selection.is_descending else ">"
    return [f"(time {side} $after_time OR (time = $after_time AND sensor_id {side} $after_sensor))"]


def _aggregated(aggregate: Aggregate, name: str) -> str:
    column = _quoted(name)
    if aggregate in _ORDERED:
        return f"{_ORDERED[aggregate]}({column} ORDER BY time) FILTER (WHERE {column} IS NOT NULL)"
    return f"{aggregate}({column})"


def _where(conditions: list[str]) -> list[str]:
    return ["WHERE", " AND ".join(conditions)] if conditions else []


def _quoted(name: str) -> str:
    return f'"{name}"'
