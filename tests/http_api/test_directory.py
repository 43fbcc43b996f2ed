import pytest

from http_api import directory as directory_module
from http_api.directory import Directory, Seen


def seen(first_us: int, last_us: int, value: float, heard_s: float = float("-inf")) -> Seen:
    return Seen(first_us, last_us, {"v": value}, heard_s)


def names(directory: Directory, *kinds: str, prefix: str = "", after: str = "", limit: int = 10) -> list[str]:
    found = directory.page(kinds or ("k",), prefix=prefix, after=after, last_before_us=None, limit=limit)
    return [each.sensor_id for each in found]


def test_it_is_good_after_the_store_was_asked_until_the_feed_has_a_gap() -> None:
    directory = Directory(["k"])
    assert not directory.is_good("k", 0)

    directory.load("k", {}, 0, is_sure=True)
    assert directory.is_good("k", 599)
    assert not directory.is_good("k", 600)

    directory.reconnected()
    assert not directory.is_good("k", 1)


def test_it_is_good_for_a_moment_where_the_store_lacks_something() -> None:
    directory = Directory(["k"])

    directory.load("k", {}, 0, is_sure=False)

    assert directory.is_good("k", 4)
    assert not directory.is_good("k", 5)


def test_the_feed_goes_on_from_what_the_store_has() -> None:
    directory = Directory(["k"])
    directory.load("k", {"a": seen(10, 20, 1.0)}, 0, is_sure=True)

    directory.hear("k", "a", 30, {"v": 2.0}, 1)
    directory.hear("k", "a", 25, {"v": 9.0}, 2)  # late
    directory.hear("k", "a", 5, {"v": 9.0}, 3)  # very late

    (listed,) = directory.page(["k"], prefix="", after="", last_before_us=None, limit=9)
    assert (listed.first_us, listed.last_us, listed.kinds["k"].values) == (5, 30, {"v": 2.0})


def test_what_was_heard_lately_outlives_an_answer_that_does_not_have_it_yet() -> None:
    directory = Directory(["k"])
    directory.hear("k", "new", 50, {"v": 1.0}, 100)
    directory.hear("k", "both", 60, {"v": 2.0}, 100)

    directory.load("k", {"both": seen(10, 55, 0.0)}, 101, is_sure=True)

    new, both = reversed(directory.page(["k"], prefix="", after="", last_before_us=None, limit=9))
    assert (new.sensor_id, new.first_us, both.first_us, both.last_us) == ("new", 50, 10, 60)
    assert both.kinds["k"].values == {"v": 2.0}


def test_what_the_store_has_forgotten_is_forgotten_here_too() -> None:
    directory = Directory(["k"])
    directory.hear("k", "gone", 50, {"v": 1.0}, 0)

    directory.load("k", {}, 600, is_sure=True)

    assert names(directory) == []


def test_pages_are_by_name() -> None:
    directory = Directory(["k", "m"])
    for name in ("c", "a", "hall-2", "hall-1"):
        directory.hear("k", name, 1, {}, 0)
    directory.hear("m", "b", 2, {}, 0)
    directory.hear("m", "a", 7, {}, 0)

    assert names(directory, "k", "m", limit=3) == ["a", "b", "c"]
    assert names(directory, "k", "m", after="c") == ["hall-1", "hall-2"]
    assert names(directory, "k", prefix="hall-") == ["hall-1", "hall-2"]
    assert names(directory, "m") == ["a", "b"]
    quiet = directory.page(["k", "m"], prefix="", after="", last_before_us=2, limit=9)
    assert [each.sensor_id for each in quiet] == ["c", "hall-1", "hall-2"]


def test_of_too_many_the_new_ones_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_module, "MAX_SENSORS", 2)
    directory = Directory(["k"])

    for name in "abc":
        directory.hear("k", name, 1, {}, 0)

    assert names(directory) == ["a", "b"]
    assert directory.is_full("k")
    directory.load("k", {"x": seen(1, 1, 0.0), "y": seen(1, 1, 0.0)}, 1, is_sure=True)
    assert names(directory) == ["x", "y"]


def test_one_that_was_heard_of_in_any_kind_is_not_silent() -> None:
    directory = Directory(["k", "m"])
    directory.hear("k", "both", 1, {}, 0)
    directory.hear("m", "both", 5, {}, 0)
    directory.hear("k", "silent", 4, {}, 0)

    (listed,) = directory.page(["k", "m"], prefix="", after="", last_before_us=5, limit=9)
    assert (listed.sensor_id, listed.last_us) == ("silent", 4)
    quiet = directory.page(["k"], prefix="", after="", last_before_us=5, limit=9)
    assert [each.sensor_id for each in quiet] == ["both", "silent"]
