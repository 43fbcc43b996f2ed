"""The numbers that kinds declare, as panels and alerts need them: unit, colours, words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

from sensorflow.cli.fields import fields_of, is_open

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sensorflow.kinds import Kind

_GRAFANA_UNITS = {
    "%": units.Percent,
    "°C": units.Celsius,
    "hPa": units.Hectopascals,
    "bar": units.Bars,
    "mbar": units.Millibars,
    "kPa": units.Kilopascals,
    "": units.Short,
}
_NORMAL, _ABNORMAL = "green", "red"


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of a kind.

    Args:
        unit: As the kind has it, for sentences.
        low: A value below it is not normal; None where nothing is too low.
        high: A value above it is not normal; None where nothing is too high.
    """

    name: str
    unit: str
    low: float | None
    high: float | None

    @property
    def grafana_unit(self) -> str:
        """Grafana's name of the unit; one that it does not know is a suffix."""
        return _GRAFANA_UNITS.get(self.unit, f"suffix:{self.unit}")

    @property
    def is_bounded(self) -> bool:
        """Whether there are values that are not normal."""
        return self.low is not None or self.high is not None

    @property
    def normal(self) -> str:
        """Its normal bounds in words: ``-40 to 60 °C``."""
        if self.low is None or self.high is None:
            bound = f"at least {self.low:g}" if self.low is not None else f"at most {self.high:g}"
        else:
            bound = f"{self.low:g} to {self.high:g}"
        return f"{bound} {self.unit}".strip()

    @property
    def thresholds(self) -> ThresholdsConfig:
        """Colours for Grafana: a step's colour begins at its value."""
        steps = [Threshold(value=None, color=_NORMAL if self.low is None else _ABNORMAL)]
        if self.low is not None:
            steps.append(Threshold(value=self.low, color=_NORMAL))
        if self.high is not None:
            steps.append(Threshold(value=self.high, color=_ABNORMAL))
        return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def measures_of(kind: type[Kind]) -> list[Measure]:
    """The numbers that a kind declares, in their order; texts and booleans have no scale."""
    numbers = [field for field in fields_of(kind).values() if field.type is float]
    return [_measure(field.name, field.unit, kind.model_fields[field.name].json_schema_extra) for field in numbers]


def _measure(name: str, unit: str, extra: Any) -> Measure:
    bounds = extra if isinstance(extra, dict) else {}
    return Measure(name, unit, bounds.get("low"), bounds.get("high"))


def declaring(kinds: Iterable[type[Kind]]) -> list[type[Kind]]:
    """The kinds that say which fields they have."""
    return [kind for kind in kinds if not is_open(kind)]


def undeclaring(kinds: Iterable[type[Kind]]) -> list[type[Kind]]:
    """The kinds that take any field, as ``telemetry``."""
    return [kind for kind in kinds if is_open(kind)]
