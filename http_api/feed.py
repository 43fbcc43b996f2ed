"""What the broker sends us: receipts for those who wait, live readings for browsers, the bridge's status for health."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from http_api.latest import Newest
from sensorflow import topics
from sensorflow.mqtt import Connected, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterable

    from http_api.activity import Activity
    from http_api.bridge_status import BridgeStatus
    from http_api.directory import Directory
    from http_api.ingest import Ingest
    from http_api.latest import Latest
    from http_api.receipts import Receipts
    from sensorflow.mqtt import Session
    from ws.hub import Hub

BRIDGE_STATUS = topics.status("bridge")

_NOT_VALUES = ("sensor_id", "timestamp", "kind", "id")  # of a frame, see sensorflow.reading.frame


def subscriptions(client_id: str) -> list[str]:
    """The topics that :class:`Feed` understands."""
    return [topics.receipts(client_id), topics.LIVE, BRIDGE_STATUS]


@dataclass
class Feed:
    """The one consumer of the session's events. It never waits for anybody but the broker."""

    session: Session
    receipts: Receipts
    bridge: BridgeStatus
    latest: Latest
    directory: Directory
    activity: Activity
    ingest: Ingest
    hub: Hub

    async def run(self) -> None:
        """Consume for ever; cancel it to stop."""
        while True:
            lines: list[bytes] = []
            events = await self.session.events()
            for event in events:
                if isinstance(event, Connected):
                    self.latest.reconnected()
                    self.directory.reconnected()
                    self.bridge.reconnected()
                elif event.topic == topics.LIVE:
                    lines += event.payload.split(b"\n")
                elif topics.is_receipts(event.topic):
                    self.receipts.settle(event.payload)
                else:
                    self._hear(event.payload)
            if lines:
                self._remember(lines)
                self.hub.publish(lines)  # all at once: one wake-up and one write for each browser
            self.session.acknowledge([event for event in events if isinstance(event, Delivery)])

    def _hear(self, payload: bytes) -> None:
        now_s = time.monotonic()
        self.bridge.hear(payload, now_s)
        if self.bridge.is_active(now_s):
            self.ingest.bridge_lives()

    def _remember(self, lines: Iterable[bytes]) -> None:
        now_s = time.monotonic()
        for line in lines:
            message = orjson.loads(line)
            sensor_id, kind, time_us = message["sensor_id"], message["kind"], message["id"]
            for name in _NOT_VALUES:
                del message[name]
            self.latest.offer((sensor_id, kind), Newest(time_us, message, None))
            self.directory.hear(kind, sensor_id, time_us, message, now_s)
            self.activity.count(kind, 1, now_s)
