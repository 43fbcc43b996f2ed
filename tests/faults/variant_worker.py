"""A bridge that is one of several workers: MQTT gives each its share of the readings (shared subscriptions).

``variant_worker.py NUMBER drained``: SIGTERM takes it out for good. It unsubscribes, takes what is in flight and what
waits for it, ships its spool, and ends its session with an expiry of 0. ``undrained`` stops as the one bridge does,
which is right for a restart: the session and its subscription stay.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

import mqtt5

from bridge import __main__ as bridge_main
from bridge import service
from bridge.service import Bridge
from bridge.timeline import Timeline
from sensorflow import mqtt, topics
from sensorflow.mqtt import Connected, Delivery, Event, Session

NUMBER, ENDING = int(sys.argv[1]), sys.argv[2]
SHARED = f"$share/bridge/{topics.READINGS}"
LANES = 8  # workers, at most
DRAIN_S = 10.0
POLL_S = 0.02

_log = logging.getLogger("worker")


class Lane(Timeline):
    """Assigns only microseconds that are ``NUMBER`` modulo ``LANES``.

    Readings of one sensor are with several workers at once, and where two get the same time the store has room for one:
    without this, 448 of 60,000 readings of one sensor in one burst were lost in one run, and none in others (2 cores).
    """

    def assign(self, series: str, fields: str, now_us: int) -> int:
        earliest_us = max(now_us, (self._newest.get(series) or 0) + 1)
        return super().assign(series, fields, earliest_us + (NUMBER - earliest_us) % LANES)


class SharedSession(Session):
    """Ours with a shared subscription, which can be given up.

    It logs how many messages were delivered again to a session that is resumed, once the first new one, which the
    broker sends after them, is acknowledged.
    """

    def __init__(self, *, client_id: str, **more: Any) -> None:
        super().__init__(**more | {"client_id": f"{client_id}-{NUMBER}", "subscriptions": [SHARED]})
        self.ends_with_us = False
        self._delivered = self._acknowledged = 0
        self._redelivered: int | None = None
        self._resumed_s = 0.0

    async def drain(self) -> None:
        """Give the subscription up, and return when the broker has nothing more for us.

        Mosquitto answers in order. So what it has written before an UNSUBACK is all that it had, when our PUBACKs for
        everything else were before the UNSUBSCRIBE.
        """
        self._subscriptions = []  # so that the next connection, if need be, does not subscribe again
        is_empty = False
        while not is_empty:
            await _until(lambda: self._acknowledged == self._delivered and self.is_connected)
            delivered = self._delivered
            connection = cast("WorkerConnection", self._connection)
            is_empty = await connection.unsubscribe() and self._delivered == delivered

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        deliveries = list(deliveries)
        super().acknowledge(deliveries)
        self._acknowledged += len(deliveries)
        if self._redelivered is not None and deliveries:
            self._redelivered += sum(each.duplicate for each in deliveries)
            if not deliveries[-1].duplicate:
                after_s = time.monotonic() - self._resumed_s
                _log.warning("redelivered %d by %f, %f s after CONNACK", self._redelivered, time.time(), after_s)
                self._redelivered = None

    def _arrive(self, event: Event, size: int) -> bool:
        if isinstance(event, Connected):
            self._redelivered = 0 if event.session_present else None
            self._resumed_s = time.monotonic()
        else:
            self._delivered += 1
        return super()._arrive(event, size)


class WorkerConnection(mqtt._Connection):
    """Ours, and UNSUBSCRIBE."""

    _session: SharedSession

    async def unsubscribe(self) -> bool:
        """False when the connection was lost before the UNSUBACK came."""
        self._unsubscribed = asyncio.get_running_loop().create_future()
        self.send(mqtt5.UnsubscribePacket(self._next_packet_id(), [SHARED]).write())
        await asyncio.wait([self._unsubscribed, self.lost], return_when=asyncio.FIRST_COMPLETED)
        return self._unsubscribed.done()

    async def close(self) -> None:
        if not self._session.ends_with_us or self._transport is None:
            await super().close()
            return
        self.send(mqtt5.DisconnectPacket(session_expiry_interval=0).write())
        self._transport.close()
        await asyncio.wait([self.lost], timeout=1)

    def _receive(self, packet: mqtt5.Packet, size: int) -> None:
        if isinstance(packet, mqtt5.UnsubAckPacket):
            self._unsubscribed.set_result(None)
        else:
            super()._receive(packet, size)


class Worker(Bridge):
    """Ours, but that it leaves nothing behind when it is told to stop.

    Where that takes longer than ``DRAIN_S`` it ends with 1, and keeps its session and its spool: start it again.
    """

    async def run(self, stopping: asyncio.Event) -> None:
        is_drained, drained = True, asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().run(drained), name="bridge")
            await stopping.wait()
            try:
                async with asyncio.timeout(DRAIN_S):
                    await self._drain()
            except TimeoutError:
                is_drained = False
            drained.set()
        if not is_drained:
            sys.exit(f"not drained within {DRAIN_S:g} s")

    async def _drain(self) -> None:
        session = cast("SharedSession", self._session)
        await session.drain()
        while (await self._condition()).depth.spooled:  # noqa: ASYNC110 - nothing says when a chunk is shipped
            await asyncio.sleep(POLL_S)
        session.ends_with_us = True


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the session has no event for it
        await asyncio.sleep(POLL_S)


BRIDGES = {"drained": Worker, "undrained": Bridge}


if __name__ == "__main__":
    for module, name, ours in (
        (mqtt, "_Connection", WorkerConnection),
        (service, "Timeline", Lane),
        (bridge_main, "Session", SharedSession),
        (bridge_main, "Bridge", BRIDGES[ENDING]),
    ):
        setattr(module, name, ours)
    bridge_main.main()
