"""Plausible values for simulated sensors: each field a smooth random walk inside its bounds.

Pure: the same seed makes the same values.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sensorflow.cli.fields import Field, fields_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensorflow.kinds import Kind
    from sensorflow.reading import Value

# Where values of a unit usually are; the bounds of a kind are far wider, for they only keep out what cannot be.
_USUAL = {"°C": (5.0, 35.0), "%": (20.0, 90.0), "hPa": (980.0, 1040.0), "bar": (1.0, 6.0), "V": (3.0, 4.2)}
_UNBOUNDED = (0.0, 100.0)
_CHANGE_PROBABILITY = 0.01
# For a kind that declares no fields, such as telemetry.
_ANY_FIELDS = {
    "battery": Field("battery", float, True, (), "V", None, None),
    "temperature": Field("temperature", float, True, (), "°C", None, None),
    "is_open": Field("is_open", bool, True, (), "", None, None),
}


class Walk:
    """The values of one simulated sensor, one set after the other."""

    def __init__(self, kind: type[Kind], seed: str) -> None:
        chance = random.Random(seed)  # noqa: S311 - values to look at, not secrets
        self._steps = {name: _step(field, chance) for name, field in (fields_of(kind) or _ANY_FIELDS).items()}

    def values(self) -> dict[str, Value]:
        """The next values."""
        return {name: step() for name, step in self._steps.items()}


def usual_range(field: Field) -> tuple[float, float]:
    """Where a simulated number stays: usual for its unit and inside its bounds."""
    low, high = _USUAL.get(field.unit, _UNBOUNDED)
    bottom = low if field.low is None else max(low, field.low)
    top = high if field.high is None else min(high, field.high)
    if bottom < top:
        return bottom, top
    bottom = top - 1 if field.low is None else field.low
    return bottom, bottom + 1 if field.high is None else field.high


def _step(field: Field, chance: random.Random) -> Callable[[], Value]:
    if field.type is bool:
        return _switching((False, True), chance)
    if field.type is str:
        return _switching(field.choices or ("ok",), chance)
    return _wandering(*usual_range(field), chance)


def _switching(choices: tuple[Value, ...], chance: random.Random) -> Callable[[], Value]:
    current = choices[0]

    def step() -> Value:
        nonlocal current
        if chance.random() < _CHANGE_PROBABILITY:
            current = chance.choice(choices)
        return current

    return step


def _wandering(low: float, high: float, chance: random.Random) -> Callable[[], Value]:
    span = high - low
    current = low + span * chance.uniform(0.2, 0.8)

    def step() -> Value:
        nonlocal current
        current = min(max(current + chance.gauss(0, span / 200), low), high)
        return min(max(round(current, 2), low), high)

    return step
