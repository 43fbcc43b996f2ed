from http_api.latest import Latest, Newest

SERIES = ("s-1", "vat")


def reading(time_us: int, client_ip: str | None = None) -> Newest:
    return Newest(time_us, {"level": float(time_us)}, client_ip)


def test_the_newest_by_time_is_kept() -> None:
    latest = Latest()

    for time_us in (2, 3, 1):
        latest.offer(SERIES, reading(time_us))

    assert latest.find(SERIES)[0] == reading(3)


def test_at_the_same_time_the_one_with_an_address_is_kept() -> None:
    latest = Latest()

    for client_ip in (None, "192.0.2.1", None):
        latest.offer(SERIES, reading(1, client_ip))

    assert latest.find(SERIES)[0] == reading(1, "192.0.2.1")


def test_a_series_of_which_only_the_feed_told_is_not_sure() -> None:
    latest = Latest()

    latest.offer(SERIES, reading(1))

    assert latest.find(SERIES) == (reading(1), False)
    assert latest.find(("s-2", "vat")) == (None, False)


def test_a_series_that_was_checked_is_sure_until_the_feed_has_a_gap() -> None:
    latest = Latest()
    latest.checked(SERIES, latest.connection)
    assert latest.find(SERIES) == (None, True)
    latest.offer(SERIES, reading(1))
    assert latest.find(SERIES) == (reading(1), True)

    latest.reconnected()

    assert latest.find(SERIES) == (reading(1), False)


def test_a_check_that_a_gap_overtook_counts_for_nothing() -> None:
    latest = Latest()
    connection = latest.connection

    latest.reconnected()
    latest.checked(SERIES, connection)

    assert latest.find(SERIES) == (None, False)


def test_the_least_recently_used_series_is_forgotten() -> None:
    latest = Latest(max_series=2)
    latest.offer(("a", "vat"), reading(1))
    latest.offer(("b", "vat"), reading(2))
    latest.find(("a", "vat"))

    latest.offer(("c", "vat"), reading(3))

    assert [latest.find((name, "vat"))[0] for name in "abc"] == [reading(1), None, reading(3)]


def test_an_accepted_reading_counts_until_the_feed_has_a_gap_with_all_that_come_after_it() -> None:
    latest = Latest()
    latest.offer(SERIES, reading(5))
    assert not latest.is_accepted(SERIES)
    latest.offer(SERIES, reading(4, "192.0.2.1"))  # late: what is known is not of our own
    assert not latest.is_accepted(SERIES)

    latest.offer(SERIES, reading(5, "192.0.2.1"))
    assert latest.is_accepted(SERIES)
    latest.offer(SERIES, reading(6))
    assert latest.is_accepted(SERIES)

    latest.reconnected()
    assert not latest.is_accepted(SERIES)


def test_what_the_store_tells_is_not_accepted_by_us() -> None:
    latest = Latest()

    latest.stored(SERIES, reading(5, "192.0.2.1"))

    assert latest.find(SERIES) == (reading(5, "192.0.2.1"), False)
    assert not latest.is_accepted(SERIES)
