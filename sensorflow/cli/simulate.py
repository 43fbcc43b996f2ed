"""``sensorflow simulate``: sensors that are not there."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from sensorflow.cli.moments import rfc3339
from sensorflow.cli.options import DataDir, KindName, Over, duration_us, kind_named
from sensorflow.cli.output import fail
from sensorflow.cli.run import run, ways_in
from sensorflow.cli.senders import Reading
from sensorflow.cli.tally import Tally
from sensorflow.cli.walks import Walk
from sensorflow.kinds import SENSOR_ID_PATTERN, Kind
from sensorflow.settings import Common, read

if TYPE_CHECKING:
    from collections.abc import Iterator

HELP = """Play sensors: plausible values at a steady rate, over HTTP, MQTT or both.

The values of each field wander inside the bounds of the kind, of your own
kinds too; the same --seed makes the same values. Ctrl-C ends it, and prints
what became of the readings.

\b
Ten climate sensors, ten readings a second, until Ctrl-C:
  sensorflow simulate

\b
A load test: 500 devices, 2,000 readings a second for a minute:
  sensorflow simulate --over mqtt --sensors 500 --rate 2000 --duration 60

The exit code is 1 if any reading was rejected or did not get through."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate", help=HELP)(simulate)


def simulate(
    sensors: Annotated[int, typer.Option(min=1, max=100_000, help="How many sensors.")] = 10,
    rate: Annotated[float, typer.Option(min=0.001, help="Readings a second, of all sensors together.")] = 10,
    over: Annotated[Over, typer.Option(help="Which way in.")] = Over.HTTP,
    kind: KindName = "temperature_reading",
    duration: Annotated[
        int | None,
        typer.Option(parser=duration_us, metavar="30|5m|1h", help="How long; seconds without a unit (default: ever)."),
    ] = None,
    prefix: Annotated[str, typer.Option(help="What the sensor ids begin with.")] = "sim-",
    seed: Annotated[int, typer.Option(help="Another seed, other values.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="How many readings may be on their way.")] = 64,
    give_up_after: Annotated[
        float, typer.Option(min=0.1, help="End when nothing got through for so many seconds.")
    ] = 60,
    data_dir: DataDir = None,
) -> None:
    """Play sensors (see HELP)."""
    ways = ways_in(over, data_dir)
    chosen = kind_named(read(Common, data_dir=data_dir), kind)
    ids = [f"{prefix}{number:0{len(str(sensors))}d}" for number in range(1, sensors + 1)]
    if not re.fullmatch(SENSOR_ID_PATTERN, ids[-1]):
        fail(f"--prefix: the sensor id {ids[-1]!r:.80} does not match {SENSOR_ID_PATTERN}", code=2)
    _check_possible(chosen)
    count = None if duration is None else max(1, round(rate * duration / 1e6))
    readings = simulated(chosen, ids, rate=rate, seed=seed, count=count, start_us=time.time_ns() // 1000)
    run(readings, Tally(count), ways, in_flight=concurrency, give_up_after_s=give_up_after)


def simulated(
    kind: type[Kind], sensor_ids: list[str], *, rate: float, seed: int, count: int | None, start_us: int
) -> Iterator[tuple[float, Reading]]:
    """Readings of the sensors in turn, each with when to send it, in seconds after the first.

    A reading's time is the one at which it is due, even if the system cannot keep up and it is sent later.
    """
    walks = [Walk(kind, f"{seed} {sensor_id}") for sensor_id in sensor_ids]
    number = 0
    while count is None or number < count:
        sensor, due_s = number % len(walks), number / rate
        time_text = rfc3339(start_us + round(due_s * 1e6))
        yield due_s, Reading(sensor_ids[sensor], kind.kind, time_text, walks[sensor].values())
        number += 1


def _check_possible(kind: type[Kind]) -> None:
    """A user's kind may ask for texts that nobody could guess."""
    try:
        kind.model_validate(Walk(kind, "").values())
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        fail(f"cannot make up a {kind.kind}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}")
