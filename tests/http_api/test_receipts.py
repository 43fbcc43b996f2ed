import gc

import orjson
import pytest

from http_api.receipts import Receipts
from sensorflow.errors import RejectedError, TransientError


def settle(receipts: Receipts, **outcomes: object) -> None:
    receipts.settle(orjson.dumps({correlation: [outcome] for correlation, outcome in outcomes.items()}))


async def test_a_receipt_is_for_who_waits_for_it() -> None:
    receipts = Receipts()

    with receipts.expect() as (first, first_id), receipts.expect() as (second, second_id):
        settle(receipts, **{second: 22, first: 11})

        assert (await first_id, await second_id) == (11, 22)


async def test_a_rejection_is_raised_with_its_reason() -> None:
    receipts = Receipts()

    with receipts.expect() as (correlation, receipt):
        settle(receipts, **{correlation: {"reason": "bad_time", "detail": "time: too old"}})

        with pytest.raises(RejectedError, match=r"^time: too old$") as rejected:
            await receipt
    assert rejected.value.reason == "bad_time"


async def test_a_receipt_that_comes_too_late_or_twice_is_passed_over() -> None:
    receipts = Receipts()
    with receipts.expect() as (late, _):
        pass

    with receipts.expect() as (correlation, receipt):
        settle(receipts, **{late: 1, correlation: 2, "unknown": 3})
        settle(receipts, **{correlation: 4})

        assert await receipt == 2


async def test_one_that_waits_too_many_is_refused_until_another_is_done() -> None:
    receipts = Receipts(max_waiting=1)

    with (
        receipts.expect(),
        pytest.raises(TransientError, match=r"^1 readings are waiting for the disk, at most 1$"),
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


async def test_a_rejection_that_nobody_looked_at_is_not_reported_by_asyncio(
    caplog: pytest.LogCaptureFixture,
) -> None:
    receipts = Receipts()
    with receipts.expect() as (correlation, receipt):
        settle(receipts, **{correlation: {"reason": "bad_time", "detail": "late"}})

    del receipt
    gc.collect()

    assert not caplog.records
