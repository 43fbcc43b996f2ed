import asyncio

import pytest

from ws.hub import Hub

LINE = b'{"temperature":25.5}'
FRAME = b"\x81\x14" + LINE  # FIN and text, 20 bytes, no mask (RFC 6455, 5.2)


def accounted(hub: Hub, queued: int = 0) -> bool:
    return hub.offered == hub.sent + hub.dropped + queued


async def test_every_subscription_gets_every_line_as_one_text_frame() -> None:
    hub = Hub()
    subscriptions = [hub.subscribe(), hub.subscribe()]

    hub.publish([LINE, LINE])

    for subscription in subscriptions:
        assert await subscription.take() == FRAME * 2


async def test_a_long_line_has_a_long_length() -> None:
    hub = Hub()
    subscription = hub.subscribe()

    hub.publish([b"x" * 300])

    assert await subscription.take() == b"\x81\x7e\x01\x2c" + b"x" * 300


async def test_what_came_while_it_was_busy_is_taken_in_one_piece() -> None:
    hub = Hub()
    subscription = hub.subscribe()

    for _ in range(3):
        hub.publish([LINE])

    assert await subscription.take() == FRAME * 3


async def test_take_waits_for_the_next_line() -> None:
    hub = Hub()
    subscription = hub.subscribe()
    taking = asyncio.create_task(subscription.take())
    await asyncio.sleep(0)
    assert not taking.done()

    hub.publish([LINE])

    assert await taking == FRAME


async def test_who_subscribes_later_gets_nothing_earlier() -> None:
    hub = Hub()
    hub.publish([LINE])
    subscription = hub.subscribe()

    hub.publish([b"2"])

    assert await subscription.take() == b"\x81\x012"


async def test_one_large_publication_drops_nobody() -> None:
    hub = Hub(max_queued_bytes=100)
    subscription = hub.subscribe()

    hub.publish([LINE] * 1000)

    assert not subscription.is_dropped
    assert len(await subscription.take()) == 1000 * len(FRAME)


async def test_a_slow_subscription_is_dropped_and_drains_what_it_had() -> None:
    hub = Hub(max_queued_bytes=2 * len(FRAME))
    slow, healthy = hub.subscribe(), hub.subscribe()

    taken = b""
    for _ in range(5):
        hub.publish([LINE])
        taken += await healthy.take()

    assert taken == FRAME * 5
    assert slow.is_dropped
    assert not healthy.is_dropped
    assert await slow.take() == FRAME * 2
    assert await slow.take() == b""
    assert (hub.dropped_clients, hub.subscribers) == (1, 1)


async def test_frames_are_sent_once_the_next_are_taken() -> None:
    hub = Hub()
    subscription = hub.subscribe()
    hub.publish([LINE, LINE])

    await subscription.take()
    assert (hub.offered, hub.sent, hub.dropped, subscription.queued) == (2, 0, 0, 2)
    hub.publish([LINE])
    await subscription.take()

    assert (hub.offered, hub.sent, hub.dropped, subscription.queued) == (3, 2, 0, 1)


async def test_at_the_end_what_was_not_sent_counts_as_dropped() -> None:
    hub = Hub()
    subscription = hub.subscribe()
    hub.publish([LINE])
    await subscription.take()
    hub.publish([LINE, LINE])

    subscription.end()
    subscription.end()

    assert (hub.offered, hub.sent, hub.dropped, subscription.queued) == (3, 0, 3, 0)
    assert await subscription.take() == b""
    assert hub.subscribers == 0


async def test_the_end_wakes_who_waits() -> None:
    subscription = Hub().subscribe()
    taking = asyncio.create_task(subscription.take())
    await asyncio.sleep(0)

    subscription.end()

    assert await taking == b""


@pytest.mark.parametrize("seed", range(20))
async def test_every_frame_is_sent_or_dropped_or_queued(seed: int) -> None:
    import random

    chance = random.Random(seed)  # noqa: S311 - not a secret
    hub = Hub(max_queued_bytes=5 * len(FRAME))
    subscriptions = [hub.subscribe() for _ in range(5)]

    for _ in range(200):
        hub.publish([LINE] * chance.randint(1, 4))
        for subscription in subscriptions:
            if subscription.queued and chance.random() < 0.4:
                await subscription.take()
            if chance.random() < 0.005:
                subscription.end()
        assert accounted(hub, sum(each.queued for each in subscriptions))

    for subscription in subscriptions:
        subscription.end()
    assert accounted(hub)
    assert hub.sent
    assert hub.dropped
