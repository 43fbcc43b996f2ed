"""``status/http_api``: what this process says about itself, retained, with a last will."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
from mqtt5 import QoS

from sensorflow import topics
from sensorflow.mqtt import NO_MATCHING_SUBSCRIBERS, RefusedError, UnavailableError, Will
from sensorflow.reading import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sensorflow.mqtt import Session

SERVICE = "http_api"
TOPIC = topics.status(SERVICE)
EVERY_S = 5.0
RETRY_S = 0.5


def last_will(version: str) -> Will:
    """What the broker says for us when we vanish."""
    payload = orjson.dumps({"service": SERVICE, "state": "gone", "version": version})
    return Will(TOPIC, payload=payload, qos=QoS.AT_LEAST_ONCE, retain=True)


class Heartbeat:
    """Says how this process is, every five seconds while it is connected."""

    def __init__(self, session: Session, version: str, counters: Callable[[], Mapping[str, int]]) -> None:
        self._session = session
        self._version = version
        self._counters = counters
        self._started = time.monotonic()

    @property
    def uptime_s(self) -> float:
        """Since the process was built, in seconds."""
        return time.monotonic() - self._started

    async def run(self) -> None:
        """Beat for ever; cancel it to stop."""
        while True:
            is_said = await self.say("running")
            await asyncio.sleep(EVERY_S if is_said else RETRY_S)

    async def say(self, state: str) -> bool:
        """Publish one status; False where the broker does not take it."""
        try:
            await self._session.publish(TOPIC, orjson.dumps(self._status(state)), retain=True, timeout_s=1)
        except RefusedError as error:
            # Nobody has to listen; any other refusal will be seen in the readings too, and be logged there.
            return error.reason_code == NO_MATCHING_SUBSCRIBERS
        except UnavailableError:
            return False
        return True

    def _status(self, state: str) -> dict[str, Any]:
        return {
            "service": SERVICE,
            "state": state,
            "version": self._version,
            "time": timestamp(time.time_ns() // 1000),
            "uptime_s": round(self.uptime_s, 1),
            "counters": dict(self._counters()),
        }
