import pytest

from sensorflow.cli.moments import parse_duration, rfc3339, spaced_us


@pytest.mark.parametrize(
    ("text", "us"),
    [("1h", 3_600_000_000), ("30m", 1_800_000_000), ("15s", 15_000_000), ("250ms", 250_000), ("7d", 604_800_000_000)],
)
def test_duration_is_a_number_and_its_unit(text: str, us: int) -> None:
    assert parse_duration(text) == us


def test_number_alone_is_seconds() -> None:
    assert parse_duration("90") == 90_000_000


@pytest.mark.parametrize("text", ["", "h", "1 h", "-1h", "1.5h", "1w", "0s", "\u0661s"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 1h"):
        parse_duration(text)


def test_rows_are_equally_spaced_and_the_last_one_is_at_the_end() -> None:
    times = [spaced_us(row, of=3, every_us=10, until_us=100) for row in range(3)]

    assert times == [80, 90, 100]


def test_time_is_written_with_all_its_microseconds() -> None:
    assert rfc3339(1_755_354_645_123_456) == "2025-08-16T14:30:45.123456Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"


def test_time_outside_of_the_calendar_is_refused() -> None:
    with pytest.raises(OverflowError):
        rfc3339(10**18)
