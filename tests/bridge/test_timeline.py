import pytest

from bridge import timeline
from bridge.timeline import Timeline
from sensorflow.errors import RejectedError
from sensorflow.reading import line

SERIES = "t,sensor_id=s"


def test_reading_is_placed_at_its_own_time_once() -> None:
    placed = Timeline()

    assert placed.place(SERIES, "a=1.0", 5) == (5, False)
    assert placed.place(SERIES, "a=1.0", 5) == (5, True)
    assert placed.place("t,sensor_id=other", "a=1.0", 5) == (5, False)


def test_different_readings_at_one_time_are_moved_apart_and_each_is_known_again() -> None:
    placed = Timeline()

    assert [placed.place(SERIES, f"a={number}.0", 5) for number in range(1000)] == [
        (5 + number, False) for number in range(1000)
    ]
    assert placed.place(SERIES, "a=999.0", 5) == (1004, True)


def test_crowd_at_one_time_costs_each_reading_but_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    placed, steps = Timeline(), 0
    look_up = placed._placed.get

    def counted(key: tuple[str, int]) -> int | None:
        nonlocal steps
        steps += 1
        return look_up(key)

    monkeypatch.setattr(placed._placed, "get", counted)
    for number in range(2000):
        placed.place(SERIES, f"a={number}.0", 5)

    assert steps < 4 * 2000


def test_time_that_is_free_again_in_a_crowd_is_found() -> None:
    placed = Timeline()
    for number in range(3):
        placed.place(SERIES, f"a={number}.0", 5)
    placed.forget(f"{SERIES} a=1.0 6")

    assert placed.place(SERIES, "a=7.0", 5) == (6, False)
    assert placed.place(SERIES, "a=2.0", 5) == (7, True)


def test_more_readings_at_one_time_than_can_be_moved_apart_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MAX_SHIFT_US", 3)
    placed = Timeline()
    for number in range(3):
        placed.place(SERIES, f"a={number}.0", 5)

    with pytest.raises(RejectedError, match="3 different readings at 5 us already, at most that many"):
        placed.place(SERIES, "a=3.0", 5)


def test_assigned_time_is_after_the_last_assigned_and_never_one_that_is_taken() -> None:
    placed = Timeline()
    placed.place(SERIES, "a=1.0", 11)

    assert [placed.assign(SERIES, "a=1.0", now_us) for now_us in (10, 10, 3, 20)] == [10, 12, 13, 20]


def test_timeline_goes_on_from_the_lines_of_the_spool() -> None:
    restarted = Timeline([line(SERIES, "a=1.0", 5, None), line(SERIES, 'a="x,client_ip="', 7, "10.0.0.7")])

    assert restarted.place(SERIES, "a=1.0", 5) == (5, True)
    assert restarted.place(SERIES, 'a="x,client_ip="', 7) == (7, True)
    assert restarted.place(SERIES, "a=2.0", 5) == (6, False)
    assert restarted.assign(SERIES, "a=1.0", 1) == 8


def test_at_least_the_last_capacity_readings_are_known_and_at_most_twice_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "CAPACITY", 10)
    placed = Timeline()

    for time_us in range(100):
        placed.place(SERIES, "a=1.0", time_us)
        for known_us in range(max(0, time_us - 9), time_us + 1):
            assert placed.place(SERIES, "a=1.0", known_us) == (known_us, True)

    assert placed.place(SERIES, "a=1.0", 79) == (79, False)


def test_reading_that_was_rejected_later_is_forgotten() -> None:
    placed = Timeline()
    placed.place(SERIES, "a=1.0", 5)

    placed.forget(line(SERIES, "a=1.0", 5, "10.0.0.7"))

    assert placed.place(SERIES, "a=1.0", 5) == (5, False)
