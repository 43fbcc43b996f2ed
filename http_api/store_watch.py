"""Whether the store is there, asked in the background so that health never waits for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sensorflow.backoff import backoff_s
from sensorflow.errors import TransientError

if TYPE_CHECKING:
    from sensorflow.influx import Influx

PING_EVERY_S = 2.0

_log = logging.getLogger("http_api")


class StoreWatch:
    """Pings the store; ``influx`` must answer or give up within about ``PING_EVERY_S``."""

    def __init__(self, influx: Influx) -> None:
        self._influx = influx
        self.is_connected = False

    async def run(self) -> None:
        """Ping for ever; cancel it to stop."""
        was_connected = True
        attempt = 0
        while True:
            await self._ping()
            attempt = 0 if self.is_connected else attempt + 1
            if self.is_connected != was_connected:
                _log.warning("store %s", "answers again" if self.is_connected else "does not answer")
            was_connected = self.is_connected
            await asyncio.sleep(backoff_s(attempt, most_s=PING_EVERY_S) if attempt else PING_EVERY_S)

    async def _ping(self) -> None:
        try:
            await asyncio.to_thread(self._influx.ping)
        except TransientError as error:
            _log.debug("ping: %s", error)
            self.is_connected = False
        else:
            self.is_connected = True
