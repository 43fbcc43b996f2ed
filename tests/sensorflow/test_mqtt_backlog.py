"""A session that is resumed with more waiting for it than it takes at once: the SUBACK comes behind all of that."""

import asyncio

import pytest

from sensorflow import mqtt
from tests.broker import Broker
from tests.sensorflow.test_mqtt import bridge, numbered, publish, running, take

WAITING = 500


async def test_backlog_that_nobody_takes_yet_is_no_reason_to_connect_again(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_PENDING_EVENTS", 10)
    monkeypatch.setattr(mqtt, "CONNECT_TIMEOUT_S", 0.3)
    async with running(bridge(broker)):
        pass
    await publish(broker, (number.rjust(10_000) for number in numbered(WAITING)))  # more than one read of the socket
    resumed = bridge(broker)

    async with running(resumed):
        for _ in range(10):
            await asyncio.sleep(0.1)  # three times what an answer may take
            assert resumed.is_connected

        deliveries = await take(resumed, WAITING)

    assert [int(each.payload) for each in deliveries] == list(range(WAITING))
    assert len({each.connection for each in deliveries}) == 1
