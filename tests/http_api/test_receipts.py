from typing import Any

import orjson
import pytest

from http_api.receipts import Receipts
from sensorflow.errors import TransientError

REJECTED = {"reason": "bad_time", "field": "time", "detail": "time: too old"}


def settle(receipts: Receipts, **outcomes: Any) -> None:
    receipts.settle(orjson.dumps(outcomes))


async def test_a_receipt_is_for_who_waits_for_it() -> None:
    receipts = Receipts()

    with receipts.expect() as (first, of_first), receipts.expect() as (second, of_second):
        settle(receipts, **{second: [22], first: [11]})

        assert (await of_first) + (await of_second) == [11, 22]


async def test_a_receipt_tells_of_each_reading_of_its_message_in_order() -> None:
    receipts = Receipts()

    with receipts.expect() as (correlation, receipt):
        settle(receipts, **{correlation: [1, REJECTED, 3]})

        assert await receipt == [1, REJECTED, 3]


async def test_a_receipt_that_comes_too_late_or_twice_is_passed_over() -> None:
    receipts = Receipts()
    with receipts.expect() as (late, _):
        pass

    with receipts.expect() as (correlation, receipt):
        settle(receipts, **{late: [1], correlation: [2], "unknown": [3]})
        settle(receipts, **{correlation: [4]})

        assert await receipt == [2]


async def test_one_that_waits_too_many_is_refused_until_another_is_done() -> None:
    receipts = Receipts(max_waiting=1)

    with (
        receipts.expect(),
        pytest.raises(TransientError, match=r"^1 messages are waiting for the disk, at most 1$"),
        receipts.expect(),
    ):
        pass
    with receipts.expect():
        pass


async def test_correlation_ids_are_short_and_never_the_same() -> None:
    receipts = Receipts()
    seen = set()

    for _ in range(1000):
        with receipts.expect() as (correlation, _receipt):
            seen.add(correlation)

    assert len(seen) == 1000
    assert all(len(each) <= 32 and set(each) <= set("0123456789abcdef") for each in seen)
