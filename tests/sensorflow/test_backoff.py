import pytest

from sensorflow.backoff import backoff_s


@pytest.mark.parametrize(("attempt", "most"), [(0, 0.1), (1, 0.2), (3, 0.8), (6, 5.0), (20, 5.0), (10**9, 5.0)])
def test_wait_doubles_up_to_its_bound_and_half_of_it_is_chance(attempt: int, most: float) -> None:
    waits = [backoff_s(attempt) for _ in range(200)]

    assert min(waits) >= most / 2
    assert max(waits) <= most
    assert len(set(waits)) > 100


def test_first_and_longest_wait_are_the_callers() -> None:
    assert 1 <= backoff_s(0, first_s=2, most_s=3) <= 2
    assert 1.5 <= backoff_s(5, first_s=2, most_s=3) <= 3
