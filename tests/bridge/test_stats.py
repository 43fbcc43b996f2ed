from typing import Any

import pytest

from bridge import stats as stats_module
from bridge.intake import DeadLetter
from bridge.stats import FIELDS, MAX_SAMPLES, Latencies, Stats, percentile
from sensorflow.reading import parse_fields
from tests.bridge.conditions import NOW_US, condition

MEASURED = [name for name in FIELDS if name.startswith(("commit_", "store_"))]


@pytest.fixture
def stats() -> Stats:
    return Stats()


def row(stats: Stats, **changes: Any) -> dict[str, Any]:
    """The fields of the row that it makes now."""
    stats.end_interval(condition(**changes))
    series, _, rest = stats.rows[-1].decode().partition(" ")
    fields, _, time_us = rest.rpartition(" ")
    assert (series, time_us) == ("pipeline_stats,service=bridge", str(NOW_US))
    return parse_fields(fields)


def test_row_holds_every_declared_field_and_nothing_but_floats(stats: Stats) -> None:
    stats.commits.add(0.001)
    stats.store.add(0.5)

    fields = row(stats)

    assert tuple(fields) == FIELDS
    assert {type(value) for value in fields.values()} == {float}


def test_row_says_how_the_bridge_is(stats: Stats) -> None:
    fields = row(stats, is_full=True, has_broker=False)

    assert fields == {
        "uptime_s": 12.3,
        "accepted": 10,
        "stored": 5,
        "spooled": 3,
        "dead_letters": 2,
        "duplicates": 1,
        "live_dropped": 4,
        "spool_bytes": 4096,
        "spool_oldest_s": 1.5,
        "spool_is_full": 1,
        "broker_connected": 0,
        "commits": 0,
    }


@pytest.mark.parametrize("oldest_us", [None, NOW_US + 5_000_000], ids=["nothing waits", "the clock was set back"])
def test_nothing_is_older_than_now(stats: Stats, oldest_us: int | None) -> None:
    assert row(stats, oldest_us=oldest_us)["spool_oldest_s"] == 0


def test_latencies_are_in_milliseconds_and_of_one_interval(stats: Stats) -> None:
    for took_s in (0.004, 0.001, 0.002):
        stats.commits.add(took_s)
    stats.store.add(1.25)

    first, second = row(stats), row(stats)

    assert first["commits"] == 3
    assert [first[name] for name in MEASURED] == [2, 4, 4, 1250, 1250, 1250]
    assert second["commits"] == 0
    assert not second.keys() & set(MEASURED)


def test_of_many_latencies_the_last_are_kept_and_the_longest_is_known() -> None:
    latencies = Latencies()

    for took_s in [9.0, *[2.0] * MAX_SAMPLES, *[0.5] * MAX_SAMPLES]:
        latencies.add(took_s)

    assert latencies.count == 2 * MAX_SAMPLES + 1
    assert latencies.fields("x") == {"x_ms_p50": 500, "x_ms_p99": 500, "x_ms_max": 9000}


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [([7], 0.5, 7), ([7], 0.99, 7), ([1, 2], 0.5, 1), ([1, 2, 3], 0.5, 2), (range(1, 101), 0.99, 99), ([1, 2], 0, 1)],
)
def test_percentile_is_one_of_the_values(values: list[float], part: float, expected: float) -> None:
    assert percentile(values, part) == expected


def test_rows_of_a_day_wait_and_of_more_the_oldest_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats_module, "MAX_ROWS", 3)
    stats = Stats()

    for number in range(5):
        stats.end_interval(condition(time_us=number))

    assert [each.rpartition(b" ")[2] for each in stats.rows] == [b"2", b"3", b"4"]


def test_what_is_said_since_the_start_is_not_cleared_by_a_row(stats: Stats) -> None:
    stats.committed(0.003, 20)
    stats.stored(0.2)
    stats.buried([DeadLetter(NOW_US, "bad_json", "no", "sensors/a/b", b"", None)])
    row(stats)
    stats.committed(9.0, 1)

    said = stats.since_start()

    assert sum(said["commit_s"]["counts"]) == 2
    assert said["commit_s"]["counts"][-1] == 1
    assert said["commit_readings"]["sum"] == 21
    assert said["store_s"]["sum"] == 0.2
    assert said["dead_letters"] == {"bad_json": 1}
