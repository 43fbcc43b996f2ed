from dataclasses import replace

import pytest

from tests.faults.judge import Judgement, Row, judge
from tests.faults.reading import CONSTANT_VALUES, Reading, Sensors

NOW_US = 1_755_354_645_000_000
CLEAN = {"lost": 0, "duplicated": 0, "wrong": 0, "foreign": 0, "misplaced": 0}


def accepted(sensors: Sensors, count: int = 5) -> list[Reading]:
    readings = sensors.make(count)
    for each in readings:
        each.answer = "0x00"
    return readings


def rows_of(readings: list[Reading]) -> list[Row]:
    """As a system that works has them."""
    return [
        Row(
            each.sensor_id,
            each.time_us or NOW_US + each.number,
            tuple(CONSTANT_VALUES.values()) if each.is_constant else each.values,
        )
        for each in readings
    ]


def figures(judgement: Judgement) -> dict[str, int]:
    return {name: getattr(judgement, name) for name in CLEAN}


@pytest.fixture(
    params=[Sensors("s", 1), Sensors("s", 1, first_us=NOW_US), Sensors("s", 1, is_constant=True)],
    ids=["numbered", "timed", "constant"],
)
def readings(request: pytest.FixtureRequest) -> list[Reading]:
    sensors: Sensors = request.param
    sensors.made.clear()
    return accepted(sensors)


def test_system_that_has_everything_once_holds(readings: list[Reading]) -> None:
    judgement = judge(readings, rows_of(readings))

    assert judgement.holds
    assert (judgement.offered, judgement.accepted) == (5, 5)


def test_lost_row_is_noticed(readings: list[Reading]) -> None:
    judgement = judge(readings, rows_of(readings)[:-1])

    assert figures(judgement) == CLEAN | {"lost": 1}
    assert not judgement.holds


def test_doubled_row_is_noticed(readings: list[Reading]) -> None:
    rows = rows_of(readings)
    again = replace(rows[-1], time_us=rows[-1].time_us + 1)

    judgement = judge(readings, [*rows, again])

    assert judgement.duplicated == 1
    assert not judgement.holds


def test_value_that_was_not_sent_is_noticed(readings: list[Reading]) -> None:
    *rows, last = rows_of(readings)

    judgement = judge(readings, [*rows, replace(last, values=(last.values[0], *[None] * (len(last.values) - 1)))])

    assert judgement.wrong == 1
    assert not judgement.holds


def test_row_of_a_sensor_that_sent_nothing_is_noticed(readings: list[Reading]) -> None:
    judgement = judge(readings, [*rows_of(readings), Row("stranger", NOW_US, (1.0, False, "?"))])

    assert figures(judgement) == CLEAN | {"foreign": 1}


def test_reading_that_was_not_accepted_may_be_there_or_not(readings: list[Reading]) -> None:
    readings[-1].answer = ""

    assert judge(readings, rows_of(readings)).holds
    assert judge(readings, rows_of(readings)[:-1]).holds


def test_order_that_is_not_the_one_of_sending_is_noticed() -> None:
    readings = accepted(Sensors("s", 1))
    rows = rows_of(readings)
    rows[1], rows[2] = replace(rows[1], time_us=rows[2].time_us), replace(rows[2], time_us=rows[1].time_us)

    assert figures(judge(readings, rows)) == CLEAN | {"misplaced": 1}


def test_time_that_is_not_the_devices_is_noticed_beyond_the_shift_that_is_allowed() -> None:
    readings = accepted(Sensors("s", 1, first_us=NOW_US))
    *rows, last = rows_of(readings)
    rows.append(replace(last, time_us=last.time_us + 2))

    assert judge(readings, rows, shift_us=1).wrong == 1
    assert judge(readings, rows, shift_us=2).holds
