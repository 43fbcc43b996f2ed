from bridge.histogram import Histogram


def test_a_value_counts_in_the_first_bound_that_it_does_not_exceed() -> None:
    histogram = Histogram((0.1, 1.0))

    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        histogram.add(value)

    assert histogram.figures() == {"bounds": [0.1, 1.0], "counts": [2, 2, 1], "sum": 8.65}
