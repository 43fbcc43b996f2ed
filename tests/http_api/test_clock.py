from http_api.clock import Clock


def test_the_clock_gives_now() -> None:
    assert Clock().next_us(1000) == 1000


def test_the_clock_strictly_increases_when_the_systems_clock_stands_still_or_goes_back() -> None:
    clock = Clock()

    assert [clock.next_us(now_us) for now_us in (1000, 1000, 400, 1001, 5000)] == [1000, 1001, 1002, 1003, 5000]
