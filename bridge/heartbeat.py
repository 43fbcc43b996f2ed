"""Saying how the bridge is: to the broker, where http_api listens, and in a file, for whoever is on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bridge.status import status
from sensorflow import topics
from sensorflow.mqtt import RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from bridge.status import Condition
    from sensorflow.mqtt import Session

HEARTBEAT_S = 5.0
RETRY_S = 0.1
PUBLISH_TIMEOUT_S = 2.0

_log = logging.getLogger("bridge")


class Heartbeat:
    """Says it at each change and at least every ``HEARTBEAT_S``.

    Args:
        file: Holds the last status, whole at any time. Where it cannot be written the log says so, and that is all.
    """

    def __init__(self, session: Session, condition: Callable[[], Awaitable[Condition]], file: Path) -> None:
        self._session, self._condition, self._file = session, condition, file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="status")  # one, so that the last word stays the last
        self._changed = asyncio.Event()
        self._is_file_written = True

    def wake(self) -> None:
        """Something changed."""
        self._changed.set()

    async def run(self) -> None:
        """Beat, for ever."""
        while True:
            self._changed.clear()
            has_broker = self._session.is_connected
            is_said = await self.say("running")
            await self._wait_for_change(HEARTBEAT_S if is_said else RETRY_S, has_broker=has_broker)

    async def say(self, state: str) -> bool:
        """Say how we are; False where the broker is there and has not taken it."""
        condition = await self._condition()
        text = status(condition, state)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, text)
        if not condition.has_broker:
            return True  # to all who can hear it
        try:
            await self._session.publish(topics.status("bridge"), text, retain=True, timeout_s=PUBLISH_TIMEOUT_S)
        except RefusedError:
            return True  # nobody listens; what is retained is there all the same
        except UnavailableError:
            return False
        return True

    async def _wait_for_change(self, most_s: float, *, has_broker: bool) -> None:
        """Return when the broker came or went, which has to be looked for, or when something else changed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + most_s
        while loop.time() < until and not self._changed.is_set() and self._session.is_connected == has_broker:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._changed.wait()

    def _write(self, text: bytes) -> None:
        """Write beside it and rename; not synced, since after a power cut nothing in it is true any more."""
        beside = self._file.with_suffix(".new")
        try:
            beside.write_bytes(text)
            beside.replace(self._file)
        except OSError as error:
            if self._is_file_written:
                _log.warning("the status file cannot be written: %s", error)
            self._is_file_written = False
        else:
            self._is_file_written = True
