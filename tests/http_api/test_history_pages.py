from random import Random

import pytest

from http_api.history_pages import Key, Pages, Window

Row = tuple[int, str]


def answered(rows: list[Row], window: Window, step: int, limit: int, *, is_descending: bool) -> list[Row]:
    """As the store does it; with bins, a row is a bin that has readings in the window."""
    start, end, after = window.start_ns, window.end_ns, window.after
    found = sorted({(time - time % step, sensor) for time, sensor in rows if start <= time < end})
    if is_descending:
        found.reverse()
    if after is not None:
        behind = (after.time_ns, after.sensor_id)
        found = [row for row in found if (row < behind if is_descending else row > behind)]
    return found[:limit]


def walked(rows: list[Row], pages: Pages, step: int, limit: int, *, is_descending: bool) -> tuple[list[Row], int]:
    had: list[Row] = []
    asked = 0
    while not pages.is_done:
        asked += 1
        assert asked < 10_000
        found = answered(rows, pages.window(), step, limit + 1, is_descending=is_descending)
        is_cut, found = len(found) > limit, found[:limit]
        had += found
        pages.had(len(found), Key(*found[-1]) if found else None, is_cut=is_cut, wanted=limit)
    return had, asked


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_every_row_comes_once_and_in_order(seed: int, is_descending: bool) -> None:  # noqa: FBT001 - a parameter
    chance = Random(seed)  # noqa: S311 - to be repeated by its seed
    start, end = chance.randrange(-50, 500), chance.randrange(500, 3000)
    times = [
        chance.choice([chance.randrange(start - 100, end + 100), 777, end - 1, start])
        for _ in range(chance.randrange(150))
    ]
    rows = [(time, chance.choice("abcdefgh")) for time in times]
    step, limit = chance.choice([1, 1, 7, 60, 10_000]), chance.randrange(1, 20)
    span = chance.choice([None, 1, 10, 500])
    pages = Pages(start, end, is_descending=is_descending, step_ns=step, span_ns=span)

    had, _ = walked(rows, pages, step, limit, is_descending=is_descending)

    assert had == answered(rows, Window(start, end, None), step, 10**9, is_descending=is_descending)


@pytest.mark.parametrize("is_descending", [False, True])
def test_what_comes_after_a_row_comes_once(is_descending: bool) -> None:  # noqa: FBT001 - a parameter
    rows = [(time, sensor) for time in (10, 20, 20, 30) for sensor in "abc"]
    whole = answered(rows, Window(0, 100, None), 1, 100, is_descending=is_descending)

    for number, row in enumerate(whole):
        pages = Pages(0, 100, after=Key(*row), is_descending=is_descending)
        had, _ = walked(rows, pages, 1, 2, is_descending=is_descending)
        assert had == whole[number + 1 :]


def test_a_long_range_with_few_rows_takes_few_questions() -> None:
    day, years = 86_400, 50 * 366 * 86_400

    had, asked = walked([(years - 1, "a")], Pages(0, years, span_ns=day), 1, 1000, is_descending=False)

    assert had == [(years - 1, "a")]
    assert asked < 10


def test_windows_follow_how_dense_the_rows_are() -> None:
    rows = [(time, "a") for time in range(0, 100_000, 10)]

    _, asked = walked(rows, Pages(0, 100_000, span_ns=50_000), 1, 1000, is_descending=False)

    assert asked < 25
