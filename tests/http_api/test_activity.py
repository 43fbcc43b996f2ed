from http_api.activity import Activity


def test_readings_are_counted_by_kind_for_a_minute_and_an_hour() -> None:
    activity = Activity(("a", "b"))

    activity.count("a", 5, 100.2)
    activity.count("a", 1, 100.9)
    activity.count("b", 2, 150.0)

    assert activity.within(60, 159.9) == {"a": 6, "b": 2}
    assert activity.within(60, 160.0) == {"a": 0, "b": 2}
    assert activity.within(3600, 3699.0) == {"a": 6, "b": 2}
    assert activity.within(3600, 3700.0) == {"a": 0, "b": 2}
    assert activity.totals == {"a": 6, "b": 2}


def test_what_is_kept_is_an_hour() -> None:
    activity = Activity(("a",))

    for second in range(10_000):
        activity.count("a", 1, second)

    assert activity.within(100_000, 10_000) == {"a": 3600}
    assert activity.within(3600, 9_999) == {"a": 3600}


def test_kinds_of_another_configuration_are_left_out() -> None:
    activity = Activity(("a",))

    activity.count("zzz", 1, 0.0)

    assert activity.within(60, 0.0) == {"a": 0}
