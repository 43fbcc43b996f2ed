import re
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from sensorflow.cli.moments import rfc3339
from sensorflow.cli.rows import Columns, RowReader, match_columns, parse_mapping
from sensorflow.errors import RejectedError
from sensorflow.kinds import Kind, Telemetry, TemperatureReading, Text

CLIMATE = ["temperature", "humidity", "pressure"]


class Valve(Kind):
    is_open: bool
    position: float | None = None
    mode: Literal["auto", "hand"] = "auto"
    note: Text | None = None


def values(kind: type[Kind], row: dict[str, str | None], **mapping: str) -> dict[str, float | bool | str]:
    return RowReader(kind, match_columns(kind, list(row), mapping, sensor=None, time=None), "s").values(row)


def test_fields_are_found_by_their_names() -> None:
    columns = match_columns(TemperatureReading, ["at", *CLIMATE], {}, sensor=None, time="at")

    assert columns == Columns({name: name for name in CLIMATE}, None, "at")


def test_mapping_names_the_columns_that_are_called_otherwise() -> None:
    row: dict[str, str | None] = {"t": "1.5", "humidity": "60", "pressure": "1e3"}

    assert values(TemperatureReading, row, temperature="t") == {"temperature": 1.5, "humidity": 60, "pressure": 1000}


def test_missing_column_is_named_with_those_that_are_there() -> None:
    wanted = "field temperature: no column 'temperature'; the columns are: t, rh; name it with --map temperature=COLUMN"

    with pytest.raises(ValueError, match=re.escape(wanted)):
        match_columns(TemperatureReading, ["t", "rh"], {}, sensor=None, time=None)


@pytest.mark.parametrize(
    ("sensor", "time", "message"),
    [("who", None, "--sensor-column: no column 'who'"), (None, "at", "--time-column: no column 'at'")],
)
def test_missing_column_of_sensor_or_time_is_named(sensor: str | None, time: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match_columns(TemperatureReading, CLIMATE, {}, sensor=sensor, time=time)


def test_field_that_the_kind_has_not_is_named_with_those_that_it_has() -> None:
    with pytest.raises(ValueError, match="has no field 'temp'; its fields: temperature, humidity, pressure"):
        match_columns(TemperatureReading, CLIMATE, {"temp": "humidity"}, sensor=None, time=None)


def test_optional_fields_may_have_no_column_and_no_value() -> None:
    assert values(Valve, {"is_open": "True"}) == {"is_open": True}
    assert values(Valve, {"is_open": "0", "position": ""}) == {"is_open": False}


def test_cells_become_what_their_fields_hold() -> None:
    row: dict[str, str | None] = {"is_open": " false ", "position": "12", "mode": "1", "note": "7"}

    assert values(Valve, row) == {"is_open": False, "position": 12.0, "mode": "1", "note": "7"}


def test_telemetry_takes_every_column_and_tells_numbers_booleans_and_texts_apart() -> None:
    header = ["who", "at", "rpm", "on", "mode", "gap"]
    columns = match_columns(Telemetry, header, {}, sensor="who", time="at")
    row: dict[str, str | None] = {"who": "s", "at": "0", "rpm": "-1.5e3", "on": "TRUE", "mode": "eco", "gap": ""}

    assert RowReader(Telemetry, columns, "").values(row) == {"rpm": -1500, "on": True, "mode": "eco"}


def test_telemetry_with_a_mapping_takes_only_what_it_names() -> None:
    assert values(Telemetry, {"RPM (1/min)": "5", "other": "6"}, rpm="RPM (1/min)") == {"rpm": 5}


@pytest.mark.parametrize("column", ["RPM (1/min)", "time", ""])
def test_telemetry_column_that_cannot_be_a_field_asks_for_another_name(column: str) -> None:
    with pytest.raises(ValueError, match="a field cannot be called"):
        match_columns(Telemetry, [column], {}, sensor=None, time=None)


@pytest.mark.parametrize("text", ["warm", "nan", "inf", "1e999", "1,5", "1_000", "0x10", "\u0661"])
def test_number_that_is_none_is_rejected_with_its_column_and_value(text: str) -> None:
    row: dict[str, str | None] = {"t": text, "humidity": "1", "pressure": "1"}

    with pytest.raises(RejectedError, match=re.escape(f"column t: {text!r} is not a finite number")):
        values(TemperatureReading, row, temperature="t")


def test_missing_measurement_does_not_turn_a_telemetry_column_to_text() -> None:
    with pytest.raises(RejectedError, match="column rpm: 'NaN' is not a finite number"):
        values(Telemetry, {"rpm": "NaN"})


@pytest.mark.parametrize("text", ["", "  ", None])
def test_empty_cell_of_a_required_field_is_rejected(text: str | None) -> None:
    with pytest.raises(RejectedError, match="column pressure: '' is empty; pressure is required"):
        values(TemperatureReading, {"temperature": "1", "humidity": "1", "pressure": text})


@pytest.mark.parametrize("text", ["maybe", "2"])
def test_boolean_that_is_none_is_rejected(text: str) -> None:
    with pytest.raises(RejectedError, match="is neither true nor false"):
        values(Valve, {"is_open": text})


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2025-08-16T14:30:45+02:00", 1_755_347_445_000_000),
        ("1755354645", 1_755_354_645_000_000),
        ("1755354645.25", 1_755_354_645_250_000),
        ("1755354645123456789", 1_755_354_645_123_456),
    ],
)
def test_time_is_rfc_3339_or_an_epoch(text: str, time_us: int) -> None:
    assert RowReader(Telemetry, Columns({}, None, "at"), "s").time_us({"at": text}) == time_us


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "9" * 40])
def test_time_that_is_none_is_rejected_with_its_column_and_value(text: str) -> None:
    with pytest.raises(RejectedError, match=f"column at: '{text}' is"):
        RowReader(Telemetry, Columns({}, None, "at"), "s").time_us({"at": text})


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-07-23 08:00:00", "2026-07-23T06:00:00.000000Z"),
        ("2026-11-23 08:00", "2026-11-23T07:00:00.000000Z"),
        ("2026-11-23", "2026-11-22T23:00:00.000000Z"),
        ("2026-10-25 02:30:00", "2026-10-25T00:30:00.000000Z"),  # comes twice: the first is meant
        ("2026-11-23T08:00:00+05:00", "2026-11-23T03:00:00.000000Z"),
        ("1755354645", "2025-08-16T14:30:45.000000Z"),
    ],
)
def test_time_without_an_offset_is_of_the_zone_that_is_given(text: str, utc: str) -> None:
    reader = RowReader(Telemetry, Columns({}, None, "at"), "s", zone=ZoneInfo("Europe/Berlin"))

    assert rfc3339(reader.time_us({"at": text})) == utc


def test_time_that_no_clock_of_the_zone_showed_is_rejected() -> None:
    reader = RowReader(Telemetry, Columns({}, None, "at"), "s", zone=ZoneInfo("Europe/Berlin"))

    with pytest.raises(RejectedError, match="column at: '2026-03-29 02:30' was skipped by the clocks of Europe/Berlin"):
        reader.time_us({"at": "2026-03-29 02:30"})


def test_time_without_an_offset_or_a_zone_asks_for_the_zone() -> None:
    wanted = "column at: '2026-11-23 08:00:00' has no offset; say where its clock was with --time-zone"

    with pytest.raises(RejectedError, match=wanted):
        RowReader(Telemetry, Columns({}, None, "at"), "s").time_us({"at": "2026-11-23 08:00:00"})


@pytest.mark.parametrize("text", ["0001-01-01 00:00", "9999-12-31 23:30"])
def test_time_that_its_zone_moves_out_of_the_calendar_is_rejected(text: str) -> None:
    zone = ZoneInfo("Asia/Tokyo" if text.startswith("0") else "America/New_York")

    with pytest.raises(RejectedError, match="is outside of the years 1 to 9999"):
        RowReader(Telemetry, Columns({}, None, "at"), "s", zone=zone).time_us({"at": text})


@pytest.mark.parametrize("text", ["", "a/b", "#", "x" * 65, None])
def test_sensor_id_that_is_none_is_rejected_before_it_is_near_a_topic(text: str | None) -> None:
    with pytest.raises(RejectedError, match="is not a sensor id"):
        RowReader(Telemetry, Columns({}, "who", None), "").sensor_id({"who": text})


def test_mapping_is_field_equals_column() -> None:
    assert parse_mapping(["a=b=c", "d=e f"]) == {"a": "b=c", "d": "e f"}


@pytest.mark.parametrize(("pairs", "message"), [(["a"], "is not FIELD=COLUMN"), (["a=b", "a=c"], "mapped twice")])
def test_mapping_that_is_none_is_refused(pairs: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_mapping(pairs)
