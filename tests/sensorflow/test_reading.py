import json
import string
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensorflow import reading
from sensorflow.errors import RejectedError
from sensorflow.kinds import Telemetry, TemperatureReading, parse_one
from sensorflow.reading import TimeWindow, Value, fields_text, line, parse_fields, parse_time, series, split_line
from store.line_protocol import parse

MOMENT_US = 1_755_354_645_123_456  # 2025-08-16T14:30:45.123456Z
NOW_US = MOMENT_US + 5_000_000

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
texts = st.text(st.characters(exclude_characters="\x7f", min_codepoint=0x20, exclude_categories=["Cs"]), max_size=30)
traps = st.sampled_from(
    ["", "\\", '"', '\\"', "x,client_ip=", ',client_ip="1.2.3.4"', " 17", "a=b,c", "true", "1.0", "#"]
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
field_sets = st.dictionaries(names, numbers | st.booleans() | texts | traps, min_size=1, max_size=8)
addresses = st.none() | st.sampled_from(["10.0.0.7", "2001:db8::1", "::", "1.2"])


@pytest.mark.parametrize(
    "value",
    [
        1_755_354_645_123_456,
        1_755_354_645_123_456.0,
        1_755_354_645_123_456_789,
        1_755_354_645.123456,
        "2025-08-16T14:30:45.123456Z",
        "2025-08-16T14:30:45.123456+00:00",
        "2025-08-16T23:30:45.123456+09:00",
        "2025-08-16 14:30:45.123456789Z",
    ],
)
def test_one_moment_in_any_unit_is_the_same_microsecond(value: float | str) -> None:
    assert parse_time(value) == MOMENT_US


@pytest.mark.parametrize(
    ("value", "time_us"),
    [
        (0, 0),
        (1_755_354_645, 1_755_354_645_000_000),
        (1_755_354_645_123, 1_755_354_645_123_000),
        (1_755_354_645_123.456, 1_755_354_645_123_456),
        (4_999_999_999, 4_999_999_999_000_000),
        (5_000_000_000, 5_000_000_000_000),
        (4_999_999_999_999, 4_999_999_999_999_000),
        (5_000_000_000_000, 5_000_000_000_000),
        (4_999_999_999_999_999, 4_999_999_999_999_999),
        (5_000_000_000_000_000, 5_000_000_000_000),
        (-1, -1_000_000),
        (-5_000_000_000, -5_000_000_000_000),
        ("1970-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200_000_000),
        ("9999-12-31T23:59:59.999999-23:59", 253_402_387_139_999_999),
    ],
)
def test_unit_is_told_by_magnitude(value: float | str, time_us: int) -> None:
    assert parse_time(value) == time_us


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("", "time: '' is not RFC 3339"),
        ("yesterday", "time: 'yesterday' is not RFC 3339"),
        ("2025-13-01T00:00:00Z", "time: '2025-13-01T00:00:00Z' is not RFC 3339"),
        ("2025-08-16T14:30:45", "time: '2025-08-16T14:30:45' has no offset; end it with Z or +hh:mm"),
        ("2025-08-16", "time: '2025-08-16' has no offset; end it with Z or +hh:mm"),
        (float("inf"), "time: inf is not below 2**63 ns since 1970"),
        (float("nan"), "time: nan is not below 2**63 ns since 1970"),
        (2**63, "time: 9223372036854775808 is not below 2**63 ns since 1970"),
        (-(2**63), "time: -9223372036854775808 is not below 2**63 ns since 1970"),
    ],
)
def test_what_is_no_time_is_rejected_with_its_value(value: float | str, detail: str) -> None:
    with pytest.raises(RejectedError) as caught:
        parse_time(value)

    assert caught.value.reason == "bad_time"
    assert str(caught.value) == detail


@pytest.mark.parametrize("value", [10**400, -(10**4000), 1e308, "9" * 10_000])
def test_time_beyond_all_bounds_is_rejected_in_few_words(value: float | str) -> None:
    with pytest.raises(RejectedError) as caught:
        parse_time(value)

    assert len(str(caught.value)) < 200


def test_window_is_inclusive_and_its_error_names_the_bounds() -> None:
    window = TimeWindow(past_s=10, future_s=5)

    window.check(NOW_US - 10_000_000, NOW_US)
    window.check(NOW_US + 5_000_000, NOW_US)
    for time_us in (NOW_US - 10_000_001, NOW_US + 5_000_001):
        with pytest.raises(RejectedError, match="at most 10 s back and 5 s ahead") as caught:
            window.check(time_us, NOW_US)
        assert caught.value.reason == "bad_time"


def test_window_is_400_days_back_and_10_minutes_ahead_unless_told() -> None:
    TimeWindow().check(NOW_US - 400 * 86_400_000_000, NOW_US)
    TimeWindow().check(NOW_US + 600_000_000, NOW_US)

    for years in (1970, 2106):
        moment = int(datetime(years, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
        with pytest.raises(RejectedError):
            TimeWindow().check(moment, NOW_US)


def test_line_is_influx_line_protocol_with_every_number_a_float() -> None:
    fields = fields_text({"temperature": 25.5, "count": 3, "is_on": True, "note": 'a "b" \\'})

    text = line(series("telemetry", "s-1"), fields, MOMENT_US, "10.0.0.7")

    assert text == (
        r'telemetry,sensor_id=s-1 temperature=25.5,count=3.0,is_on=true,note="a \"b\" \\",client_ip="10.0.0.7" '
        + str(MOMENT_US)
    )


@given(values=field_sets, time_us=st.integers(-(2**53), 2**53), client_ip=addresses)
@example(values={"a": "x,client_ip="}, time_us=5, client_ip=None)
@example(values={"a": "x,client_ip=", "b": "1.2.3.4"}, time_us=5, client_ip=None)
@example(values={"a": 'x",client_ip="1.2.3.4'}, time_us=5, client_ip=None)
def test_line_is_taken_apart_into_what_it_was_made_of(
    values: dict[str, Value], time_us: int, client_ip: str | None
) -> None:
    fields = fields_text(values)

    parts = split_line(line("t,sensor_id=s", fields, time_us, client_ip))

    assert parts == ("t,sensor_id=s", fields, time_us, client_ip)
    assert parse_fields(fields) == values


@given(values=field_sets, time_us=st.integers(-(2**53), 2**53), client_ip=addresses)
def test_store_reads_from_a_line_what_was_written(
    values: dict[str, Value], time_us: int, client_ip: str | None
) -> None:
    text = line(series("telemetry", "a.B-9_"), fields_text(values), time_us, client_ip)

    parsed = parse(text, precision="us", now_us=0)

    assert parsed.errors == []
    (rows,) = parsed.rows
    assert (rows.shape.table, rows.shape.tags, rows.tags, rows.times) == (
        "telemetry",
        ("sensor_id",),
        [["a.B-9_"]],
        [time_us],
    )
    expected = values | ({"client_ip": client_ip} if client_ip else {})
    found = dict(zip([name for name, _ in rows.shape.fields], [column[0] for column in rows.fields], strict=True))
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected.items()
    }


@given(st.dictionaries(names, numbers | st.booleans() | texts, min_size=1, max_size=5))
def test_whatever_a_kind_lets_through_is_one_line(values: dict[str, Value]) -> None:
    try:
        accepted = parse_one(Telemetry, json.dumps(values).encode()).values()
    except RejectedError:
        return

    assert "\n" not in fields_text(accepted)
    assert accepted == values


def test_frame_has_the_keys_that_browsers_know_first() -> None:
    values = parse_one(TemperatureReading, b'{"pressure": 1012.5, "humidity": 60.2, "temperature": 25.5}').values()

    frame = reading.frame("temperature_reading", "sensor_001", MOMENT_US, values)

    assert frame == (
        b'{"temperature":25.5,"humidity":60.2,"pressure":1012.5,"sensor_id":"sensor_001",'
        b'"timestamp":"2025-08-16T14:30:45.123Z","kind":"temperature_reading","id":1755354645123456}'
    )


@given(field_sets)
def test_frame_never_holds_a_newline(values: dict[str, Value]) -> None:
    frame = reading.frame("telemetry", "s", MOMENT_US, values)

    assert b"\n" not in frame
    assert {**values, "id": MOMENT_US}.items() <= json.loads(frame).items()


def test_record_has_the_keys_that_firmware_knows_in_their_order_and_the_sites_time() -> None:
    values: dict[str, Any] = {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5}

    record = reading.record(
        "temperature_reading", "sensor_001", MOMENT_US, values, "192.168.1.100", ZoneInfo("Asia/Tokyo")
    )

    assert list(record.items()) == [
        ("id", MOMENT_US),
        ("temperature", 25.5),
        ("humidity", 60.2),
        ("pressure", 1012.5),
        ("date_recorded", "2025-08-16"),
        ("time_recorded", "23:30:45"),
        ("sensor_id", "sensor_001"),
        ("client_ip", "192.168.1.100"),
        ("kind", "temperature_reading"),
        ("timestamp", "2025-08-16T14:30:45.123Z"),
    ]


@pytest.mark.parametrize(
    ("zone", "date", "time"),
    [
        ("UTC", "2025-08-16", "14:30:45"),
        ("Pacific/Auckland", "2025-08-17", "02:30:45"),
        ("America/Los_Angeles", "2025-08-16", "07:30:45"),
        ("Asia/Kathmandu", "2025-08-16", "20:15:45"),
    ],
)
def test_record_is_dated_where_the_site_is(zone: str, date: str, time: str) -> None:
    record = reading.record("k", "s", MOMENT_US, {}, None, ZoneInfo(zone))

    assert (record["date_recorded"], record["time_recorded"]) == (date, time)


@given(st.integers(0, 4_000_000_000_000_000))
def test_timestamp_is_the_millisecond_in_which_the_reading_was(time_us: int) -> None:
    text = reading.timestamp(time_us)

    assert len(text) == len("2025-08-16T15:30:45.123Z")
    assert set(text) <= set(string.digits + "-:.TZ")
    assert parse_time(text) == time_us // 1000 * 1000
