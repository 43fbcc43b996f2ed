"""Sends readings when they are due, a bounded number at a time, and tries again while there is hope."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from itertools import count, cycle
from typing import TYPE_CHECKING

from sensorflow.backoff import backoff_s
from sensorflow.cli.senders import RetryAfterError
from sensorflow.errors import PermanentError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sensorflow.cli.senders import Reading, Sender
    from sensorflow.cli.tally import Tally

_DRAIN_S = 3.0  # more than http_api waits for a receipt


class GaveUpError(PermanentError):
    """Nothing got through for too long."""


class Dispatch:
    """One run of readings through the senders, in turn.

    Args:
        in_flight: How many readings may be on their way at once; the next is taken when one of them is answered.
        give_up_after_s: For how long a reading may wait, with no success of any other either, until the run fails.
    """

    def __init__(self, senders: Sequence[Sender], tally: Tally, *, in_flight: int, give_up_after_s: float) -> None:
        self._senders = cycle(senders)
        self._tally = tally
        self._in_flight = in_flight
        self._give_up_after_s = give_up_after_s
        self._stop = asyncio.Event()
        self._waiting: dict[int, float] = {}  # when each reading in flight was first tried, oldest first
        self._last_success = time.monotonic()
        self._trouble = "no answer"

    async def run(self, readings: Iterator[tuple[float, Reading]]) -> None:
        """Send each reading its number of seconds after now, or as soon as possible after that.

        Raises:
            GaveUpError: Nothing got through for too long.
            PermanentError: No reading will ever get through.
        """
        start = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                guards = [group.create_task(guard(), name=guard.__name__) for guard in (self._lose_hope, self._drain)]
                async with asyncio.TaskGroup() as workers:
                    for number in range(self._in_flight):
                        workers.create_task(self._work(readings, start), name=f"sender {number}")
                for guard in guards:
                    guard.cancel()
        except* PermanentError as group:
            raise _first(group) from None

    def stop(self) -> None:
        """Take no further readings; those in flight have a few seconds left for their answers."""
        self._stop.set()

    async def _work(self, readings: Iterator[tuple[float, Reading]], start: float) -> None:
        for due_s, reading in readings:  # all workers share the iterator: who is free takes the next
            if not await self._is_due(start + due_s):
                return
            with self._one_more_in_flight():
                await self._deliver(next(self._senders), reading)

    async def _is_due(self, moment: float) -> bool:
        """Wait for it; False where there is no point any more."""
        if not self._stop.is_set() and (wait_s := moment - time.monotonic()) > 0:
            with suppress(TimeoutError):
                # Not wait_for: on Python 3.11 it swallows a cancellation that comes just as it ends.
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
        return not self._stop.is_set()

    @contextmanager
    def _one_more_in_flight(self) -> Iterator[None]:
        self._tally.start()
        number = self._tally.started
        self._waiting[number] = time.monotonic()
        try:
            yield
        finally:
            del self._waiting[number]

    async def _deliver(self, sender: Sender, reading: Reading) -> None:
        for attempt in count():
            try:
                self._tally.answer(await sender.send(reading))
            except RejectedError as error:
                origin = f"{reading.origin}: " if reading.origin else ""
                self._tally.reject(f"{origin}{reading.sensor_id} at {reading.time}: {error}")
            except TransientError as error:
                self._trouble = str(error)
                at_least_s = error.retry_after_s if isinstance(error, RetryAfterError) else 0
                await asyncio.sleep(at_least_s + backoff_s(attempt))
                continue
            self._last_success = time.monotonic()
            return

    async def _lose_hope(self) -> None:
        while True:
            now = time.monotonic()
            oldest = next(iter(self._waiting.values()), now)
            left_s = max(oldest, self._last_success) + self._give_up_after_s - now
            if left_s <= 0:
                raise GaveUpError(f"gave up after {self._give_up_after_s:g} s without any success: {self._trouble}")
            await asyncio.sleep(left_s)

    async def _drain(self) -> None:
        await self._stop.wait()
        await asyncio.sleep(_DRAIN_S)
        raise GaveUpError(f"stopped; no answer within {_DRAIN_S:g} s: {self._trouble}")


def _first(group: BaseExceptionGroup[PermanentError]) -> PermanentError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, PermanentError):
        raise TypeError(f"not ours: {error!r}")
    return error
