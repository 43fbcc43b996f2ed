"""``sensorflow replay``: the rows of a CSV file as readings."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from sensorflow.cli.moments import rfc3339, spaced_us
from sensorflow.cli.options import DataDir, KindName, Over, duration_us, kind_named
from sensorflow.cli.output import fail
from sensorflow.cli.rows import RowReader, match_columns, parse_mapping
from sensorflow.cli.run import run, ways_in
from sensorflow.cli.senders import Reading
from sensorflow.cli.tally import Tally
from sensorflow.errors import FieldError, RejectedError
from sensorflow.kinds import SENSOR_ID_PATTERN
from sensorflow.reading import parse_time
from sensorflow.settings import Common, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Row = dict[str, str | None]
    TimeOf = Callable[[int, Row], int]

HELP = """Send the rows of a CSV file as readings, over HTTP, MQTT or both.

Each row becomes one reading with a time of its own, so the same file can be
sent again: nothing is stored twice. The time comes from --time-column, with
--time-zone where it has no offset, as in most spreadsheets; for a file
without usable dates --every spaces the rows equally, and --until
says when the last one was taken. Without --until that is now, which makes
new readings of the same rows at every run.

\b
A year of hourly weather, half over HTTP and half over MQTT:
  sensorflow replay examples/data/greensboro_hourly.csv \\
    --sensor-id greensboro --every 1h --over both \\
    --map temperature=temperature_c \\
    --map humidity=relative_humidity_pct --map pressure=pressure_hpa

\b
A log of several sensors with its own times, an hour of it each second:
  sensorflow replay log.csv --kind telemetry --sensor-column device \\
    --time-column at --speed 3600

The exit code is 1 if any row was rejected or did not get through. What was
accepted over MQTT and then found wrong is a dead letter: see
`sensorflow dead-letters list`."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay", help=HELP)(replay)


def replay(
    file: Annotated[Path, typer.Argument(help="A CSV file (UTF-8, commas) whose first line names the columns.")],
    over: Annotated[Over, typer.Option(help="Which way in; both: every other row each.")] = Over.HTTP,
    kind: KindName = "temperature_reading",
    sensor_id: Annotated[str | None, typer.Option(help="The sensor of all rows.")] = None,
    sensor_column: Annotated[str | None, typer.Option(help="The column that holds each row's sensor id.")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="Which column holds a field (default: of the same name)."),
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(help="The column of the times: RFC 3339 with offset, or an epoch in s, ms, us or ns.")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            metavar="Europe/Lisbon|UTC",
            help="Where the clock was that showed times without an offset; of two equal ones the first is meant.",
        ),
    ] = None,
    every_us: Annotated[
        int | None,
        typer.Option("--every", parser=duration_us, metavar="1h|30m|15s|250ms", help="The time between two rows."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="When the last row of the file was taken, RFC 3339 (default: now, rounded down to --every)."),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Seconds of the file per second: 1 as it was, 3600 an hour; 0 all at once.")
    ] = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="How many readings may be on their way.")] = 32,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Send only so many rows, from the first; their times stay the same.")
    ] = None,
    give_up_after: Annotated[
        float, typer.Option(min=0.1, help="End when nothing got through for so many seconds.")
    ] = 60,
    data_dir: DataDir = None,
) -> None:
    """Send the rows of a file (see HELP)."""
    if (sensor_id is None) == (sensor_column is None):
        fail("name the sensor: either --sensor-id or --sensor-column", code=2)
    if (time_column is None) == (every_us is None):
        fail("say when the rows were taken: either --time-column or --every", code=2)
    if time_zone is not None and time_column is None:
        fail("--time-zone is for --time-column", code=2)
    if sensor_id is not None and not re.fullmatch(SENSOR_ID_PATTERN, sensor_id):
        fail(f"--sensor-id: {sensor_id!r:.80} does not match {SENSOR_ID_PATTERN}", code=2)
    ways = ways_in(over, data_dir)
    chosen = kind_named(read(Common, data_dir=data_dir), kind)
    try:
        header, count = _survey(file)
        columns = match_columns(chosen, header, parse_mapping(mapping or []), sensor=sensor_column, time=time_column)
        reader = RowReader(chosen, columns, sensor_id or "", zone=_zone(time_zone))
        time_of = _spaced(count, every_us, until) if every_us else lambda _, row: reader.time_us(row)
    except (ValueError, RejectedError) as error:
        fail(error, code=2)
    total = min(count, limit or count)
    tally = Tally(total)
    readings = _scheduled(_readings(file, total, kind, reader, time_of, tally), speed)
    run(readings, tally, ways, in_flight=concurrency, give_up_after_s=give_up_after)


def _survey(file: Path) -> tuple[list[str], int]:
    """The names of the columns and the number of rows.

    Raises:
        ValueError: The file cannot be read as CSV; the message says why.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text)
            header = list(rows.fieldnames or [])
            count = sum(1 for _ in rows)
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]  # its position is that in a chunk, and says nothing
        raise ValueError(f"{file}: not UTF-8 (byte {byte:#04x}); save it as CSV UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{file}: {error}") from error
    if not count:
        raise ValueError(f"{file}: no rows below the line that names the columns")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise ValueError(f"{file}: two columns are called {twice[0]!r}")
    return header, count


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"--time-zone: {name!r} is not an IANA time zone such as Europe/Lisbon") from None


def _spaced(count: int, every_us: int, until: str | None) -> TimeOf:
    until_us = parse_time(until) if until else time.time_ns() // 1000 // every_us * every_us
    try:
        rfc3339(spaced_us(0, of=count, every_us=every_us, until_us=until_us))
    except OverflowError:
        raise ValueError(f"--every: the first of {count} rows is outside of the calendar") from None
    return lambda number, _: spaced_us(number, of=count, every_us=every_us, until_us=until_us)


def _readings(
    file: Path, total: int, kind: str, reader: RowReader, time_of: TimeOf, tally: Tally
) -> Iterator[tuple[int, Reading]]:
    """The good rows with their times in microseconds; the others are counted with what is wrong."""
    with file.open(newline="", encoding="utf-8-sig") as text:
        rows = csv.DictReader(text)
        for number, row in zip(range(total), rows, strict=False):
            try:
                _check_width(row)
                time_us = time_of(number, row)
                time_text, origin = rfc3339(time_us), f"line {rows.line_num}"
                yield time_us, Reading(reader.sensor_id(row), kind, time_text, reader.values(row), origin)
            except RejectedError as error:
                tally.start()
                tally.reject(f"line {rows.line_num}: {error}")


def _check_width(row: Row) -> None:
    """The csv module keeps the cells beyond the last column under the key None."""
    if None in row:
        raise RejectedError("bad_row", FieldError("", f"more cells than the {len(row) - 1} columns"))


def _scheduled(readings: Iterator[tuple[int, Reading]], speed: float) -> Iterator[tuple[float, Reading]]:
    """When to send each, in seconds after the first; as they come where the speed is 0."""
    first_us: int | None = None
    for time_us, reading in readings:
        first_us = time_us if first_us is None else first_us
        yield ((time_us - first_us) / 1e6 / speed if speed else 0.0), reading
