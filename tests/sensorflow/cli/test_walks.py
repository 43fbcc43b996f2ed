from itertools import pairwise
from typing import Literal

import pytest

from sensorflow.cli.fields import fields_of
from sensorflow.cli.walks import Walk, usual_range
from sensorflow.kinds import Kind, Telemetry, TemperatureReading, measure


class Tank(Kind):
    level: float = measure("%", ge=0, le=100)
    tiny: float = measure("V", ge=0.001, le=0.0015)
    depth: float = measure("m", le=-5)
    height: float | None = measure("m", ge=8000)
    is_full: bool
    mode: Literal["fill", "drain"]


@pytest.mark.parametrize("kind", [TemperatureReading, Telemetry, Tank])
def test_values_are_always_within_the_bounds_of_their_kind(kind: type[Kind]) -> None:
    walk = Walk(kind, "seed")

    for _ in range(500):
        kind.model_validate(walk.values())


def test_values_move_in_small_steps() -> None:
    walk = Walk(TemperatureReading, "seed")
    temperatures = [float(walk.values()["temperature"]) for _ in range(500)]

    steps = [abs(after - before) for before, after in pairwise(temperatures)]
    assert 0 < max(steps) < 1


def test_same_seed_makes_the_same_values_and_another_one_others() -> None:
    assert Walk(Telemetry, "a").values() == Walk(Telemetry, "a").values()
    assert Walk(Telemetry, "a").values() != Walk(Telemetry, "b").values()


def test_range_is_usual_for_the_unit_and_inside_the_bounds() -> None:
    assert usual_range(fields_of(TemperatureReading)["temperature"]) == (5, 35)
    assert usual_range(fields_of(Tank)["tiny"]) == (0.001, 0.0015)
    assert usual_range(fields_of(Tank)["depth"]) == (-6, -5)
    assert usual_range(fields_of(Tank)["height"]) == (8000, 8001)


def test_field_says_what_it_may_hold() -> None:
    fields = fields_of(Tank)

    assert (fields["level"].type, fields["level"].unit, fields["level"].low, fields["level"].high) == (
        float,
        "%",
        0,
        100,
    )
    assert (fields["mode"].type, fields["mode"].choices) == (str, ("fill", "drain"))
    assert fields["is_full"].type is bool
