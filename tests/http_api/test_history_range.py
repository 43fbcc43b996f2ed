import pytest

from http_api.history_range import moment_ns, rfc3339, span_s
from sensorflow.errors import RejectedError

NOW_US = 1_755_354_645_123_456


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("now", NOW_US * 1000),
        ("-24h", (NOW_US - 86_400_000_000) * 1000),
        ("now-7d", (NOW_US - 7 * 86_400_000_000) * 1000),
        ("-2w", (NOW_US - 14 * 86_400_000_000) * 1000),
        ("-0s", NOW_US * 1000),
        ("2025-08-16T14:30:45.123456Z", NOW_US * 1000),
        ("2025-08-16T16:30:45.123456+02:00", NOW_US * 1000),
        ("2025-08-16T16:30:45.123456 02:00", NOW_US * 1000),  # as a plus comes that was not encoded
        ("1755354645", 1_755_354_645_000_000_000),
        ("1755354645.5", 1_755_354_645_500_000_000),
        ("1755354645123", 1_755_354_645_123_000_000),
        ("1755354645123456", NOW_US * 1000),
        ("1755354645123456789", 1_755_354_645_123_456_000),
        ("0", 0),
    ],
)
def test_a_moment_is_said_in_many_ways(text: str, expected_ns: int) -> None:
    assert moment_ns("start", text, NOW_US) == expected_ns


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-", "-5", "-24x", "--24h", "+24h", "24h", "yesterday", "2025-08-16", "2025-08-16T14:30:45", "1e9",
        "nan", "inf", "9" * 19, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "-999999999w", "' OR 1=1 --", "now()",
    ],
)  # fmt: skip
def test_what_is_no_moment_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(RejectedError) as caught:
        moment_ns("end", text, NOW_US)

    assert caught.value.errors[0].field == "end"


@pytest.mark.parametrize(
    ("text", "expected_s"), [("1s", 1), ("5m", 300), ("1h", 3600), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_a_span_has_a_unit(text: str, expected_s: int) -> None:
    assert span_s("every", text, least=1, most=366 * 86_400) == expected_s


@pytest.mark.parametrize("text", ["", "0s", "367d", "5", "m", "5 m", "-5m", "1.5h", "5M", "1" * 12 + "s", "٣s"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(RejectedError, match="every"):
        span_s("every", text, least=1, most=366 * 86_400)


@pytest.mark.parametrize(
    ("time_ns", "expected"),
    [
        (1_755_354_645_123_456_789, "2025-08-16T14:30:45.123456789Z"),
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (-(2**63) + 1, "1677-09-21T00:12:43.145224193Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
    ],
)
def test_a_parameter_has_nine_decimals(time_ns: int, expected: str) -> None:
    assert rfc3339(time_ns) == expected
