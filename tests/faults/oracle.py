"""The oracle: outside of the system, in a thread of its own, it sends readings and knows what each was answered.

What was answered is an obligation; :mod:`tests.faults.judge` holds the system to it.
"""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self

import uvloop

from tests.faults.board import Board
from tests.faults.reading import Reading
from tests.waiting import until

FEED_INTERVAL_S = 0.01


class Sender(Protocol):
    """A device or a board."""

    def offer(self, readings: Iterable[Reading]) -> None: ...

    @property
    def is_idle(self) -> bool: ...

    async def run(self) -> None: ...


class Oracle:
    """Runs senders until the ``with`` ends."""

    def __init__(self, *senders: Sender) -> None:
        self._senders = list(senders)
        self._loop = uvloop.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._offers = 0  # of which a sender has not seen the end yet
        self._is_feeding = True
        self._thread = threading.Thread(target=self._run, name="oracle", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(10)
        self._loop.close()

    def offer(self, sender: Sender, readings: Iterable[Reading]) -> None:
        """Have them sent; returns at once."""
        self._offers += 1
        self._loop.call_soon_threadsafe(self._hand_over, sender, readings)

    def feed(self, sender: Sender, readings: Iterator[list[Reading]]) -> None:
        """Have one list sent each ``FEED_INTERVAL_S``, whether or not the last was answered, until there is no more."""
        self._offers += 1
        asyncio.run_coroutine_threadsafe(self._feed(sender, readings), self._loop)

    def end_feeds(self) -> None:
        """Feed nothing more, from now on."""
        self._is_feeding = False

    @property
    def is_idle(self) -> bool:
        """Whether every sender has got an answer to all that it was given."""
        return self._offers == 0 and all(sender.is_idle for sender in self._senders)

    def wait(self, timeout_s: float = 30) -> None:
        """Until all of it is answered.

        Raises:
            AssertionError: It is not, in time.
        """
        until(lambda: self._works() and self.is_idle, timeout_s)

    def _hand_over(self, sender: Sender, readings: Iterable[Reading]) -> None:
        sender.offer(readings)
        self._offers -= 1

    async def _feed(self, sender: Sender, readings: Iterator[list[Reading]]) -> None:
        due = self._loop.time()
        while self._is_feeding and (some := next(readings, None)) is not None:
            sender.offer(some)
            due += FEED_INTERVAL_S
            await asyncio.sleep(due - self._loop.time())
        self._offers -= 1

    def _works(self) -> bool:
        for task in self._tasks:
            if task.done():
                task.result()  # a sender's own fault must not look like a loss
        return True

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._tasks = [self._loop.create_task(sender.run()) for sender in self._senders]
        self._loop.run_forever()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        gathered = asyncio.gather(*self._tasks, return_exceptions=True)
        gathered.add_done_callback(lambda _: self._loop.stop())


def share(readings: list[Reading], senders: list[Board]) -> Iterable[tuple[Board, list[Reading]]]:
    """Each sensor's readings to one sender, so that they stay in order."""
    by_sensor: dict[str, list[Reading]] = {}
    for each in readings:
        by_sensor.setdefault(each.sensor_id, []).append(each)
    for number, some in enumerate(by_sensor.values()):
        yield senders[number % len(senders)], some
