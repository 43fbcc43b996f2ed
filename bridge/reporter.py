"""Writing the bridge's statistics to the store, beside the readings and never in their way.

What goes wrong here is logged once, and costs statistics: no reading waits for them, and nothing is tried in a hurry.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sensorflow.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol

    from bridge.stats import Stats
    from bridge.status import Condition

    class Writer(Protocol):
        """What is used of :class:`sensorflow.influx.Influx`."""

        def write(self, lines: bytes) -> None: ...


INTERVAL_S = 10.0  # beyond the deadline of a write, so that a row is made in time though the store hangs

_log = logging.getLogger("bridge")


class Reporter:
    """Makes a row each ``INTERVAL_S``, and writes it with those that wait for the store to come back."""

    def __init__(self, influx: Writer, stats: Stats, condition: Callable[[], Awaitable[Condition]]) -> None:
        self._influx, self._stats, self._condition = influx, stats, condition
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="statistics")  # a hanging store holds no other
        self._said: set[str] = set()

    async def run(self) -> None:
        """Report, for ever. Cancel it to stop: a write under way ends by its own deadline."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + INTERVAL_S, loop.time())
            await asyncio.sleep(due - loop.time())
            await self._report()

    async def _report(self) -> None:
        rows = self._stats.rows
        try:
            self._stats.end_interval(await self._condition())
            await asyncio.get_running_loop().run_in_executor(self._thread, self._influx.write, b"\n".join(rows))
        except TransientError as error:
            self._say_once("statistics wait until the store takes them: %s", error)
            return
        except PermanentError as error:
            self._say_once("the store refuses statistics, which are lost: %s", error)
        except Exception as error:  # noqa: BLE001 - a bug in what counts the readings must not stop the readings
            self._say_once("statistics are lost by a bug: %s", error)
        rows.clear()

    def _say_once(self, what: str, error: Exception) -> None:
        if what not in self._said:
            self._said.add(what)
            _log.warning(what, error)
