"""Whether the store is there, asked in the background so that no request has to wait to find out."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from sensorflow.backoff import backoff_s
from sensorflow.errors import TransientError

if TYPE_CHECKING:
    from sensorflow.influx import Influx

PING_EVERY_S = 2.0
START_PATIENCE_S = 10.0

_log = logging.getLogger("http_api")


class StoreWatch:
    """Pings the store.

    Args:
        influx: Must answer or give up within about ``every_s``.
        every_s: Between two pings, while it answers.
        patience_s: For the store's own start: until then it is not missed aloud.
    """

    def __init__(self, influx: Influx, *, every_s: float = PING_EVERY_S, patience_s: float = START_PATIENCE_S) -> None:
        self._influx = influx
        self._every_s = every_s
        self._patience_s = patience_s
        self._answers: bool | None = None  # None before the first ping is over
        self._told: bool | None = None  # what the log says

    @property
    def is_connected(self) -> bool:
        """Whether it answered the last ping."""
        return self._answers is True

    @property
    def is_away(self) -> bool:
        """Whether it did not; before the first ping is over nobody knows."""
        return self._answers is False

    async def run(self) -> None:
        """Ping for ever; cancel it to stop."""
        started = time.monotonic()
        attempt = 0
        while True:
            self._answers = await self._ping()
            attempt = 0 if self._answers else attempt + 1
            self._tell(is_starting=time.monotonic() - started < self._patience_s)
            await asyncio.sleep(backoff_s(attempt, most_s=self._every_s) if attempt else self._every_s)

    async def _ping(self) -> bool:
        try:
            await asyncio.to_thread(self._influx.ping)
        except TransientError as error:
            _log.debug("ping: %s", error)
            return False
        return True

    def _tell(self, *, is_starting: bool) -> None:
        if self._answers == self._told or (self.is_away and self._told is None and is_starting):
            return
        if self.is_away:
            _log.warning("store does not answer")
        elif self._told is None:
            _log.info("store answers")
        else:
            _log.warning("store answers again")
        self._told = self._answers
