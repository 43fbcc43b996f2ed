"""The fan-out of live frames to bounded subscriptions. No I/O: who holds a subscription does that.

The rule that keeps it simple: the hub never waits. Every frame offered to a subscription is sent or dropped in the
end, and counted as such; ``offered = sent + dropped + queued`` at each instant.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from websockets.frames import Frame, Opcode

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_QUEUED_BYTES = 2**20


class Subscription:
    """What one client has still to be sent.

    Holds ``max_queued_bytes`` and one publication beyond. A client that has not caught up with that when more comes
    ``is_dropped``: it gets what is queued, and nothing after it.
    """

    def __init__(self, hub: Hub, max_queued_bytes: int) -> None:
        self.is_dropped = False
        self._hub = hub
        self._max_queued_bytes = max_queued_bytes
        self._is_open = True
        self._chunks: list[bytes] = []  # shared by all subscriptions
        self._queued_bytes = 0
        self._queued_frames = 0
        self._taken_frames = 0
        self._wake_up = asyncio.Event()

    async def take(self) -> bytes:
        """All that is queued; wait until there is something. Empty when nothing more will come.

        Taking again says that what was taken before has been sent.
        """
        self._settle_taken(is_sent=True)
        if not self._chunks and self._is_open:
            self._wake_up.clear()
            await self._wake_up.wait()
        chunks, self._chunks = self._chunks, []
        self._taken_frames, self._queued_frames, self._queued_bytes = self._queued_frames, 0, 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def end(self) -> None:
        """Nothing more is wanted. What is queued, and what was taken and not sent, is dropped."""
        self._settle_taken(is_sent=False)
        self._hub.dropped += self._queued_frames
        self._chunks.clear()
        self._queued_frames = self._queued_bytes = 0
        self._leave()

    def offer(self, chunk: bytes, frames: int) -> None:
        """Queue some frames, in one piece; for the hub."""
        if self._queued_bytes >= self._max_queued_bytes:
            self.is_dropped = True
            self._hub.dropped += frames
            self._leave()
            return
        self._chunks.append(chunk)
        self._queued_bytes += len(chunk)
        self._queued_frames += frames
        self._wake_up.set()

    @property
    def queued(self) -> int:
        """Frames not yet known to be sent."""
        return self._queued_frames + self._taken_frames

    def _settle_taken(self, *, is_sent: bool) -> None:
        if is_sent:
            self._hub.sent += self._taken_frames
        else:
            self._hub.dropped += self._taken_frames
        self._taken_frames = 0

    def _leave(self) -> None:
        self._is_open = False
        self._wake_up.set()
        self._hub.leave(self)


class Hub:
    """All subscriptions, and what became of the frames."""

    def __init__(self, max_queued_bytes: int = MAX_QUEUED_BYTES) -> None:
        self.offered = 0
        self.sent = 0
        self.dropped = 0
        self.dropped_clients = 0
        self._max_queued_bytes = max_queued_bytes
        self._subscriptions: set[Subscription] = set()

    def subscribe(self) -> Subscription:
        """From now on; :meth:`Subscription.end` ends it."""
        subscription = Subscription(self, self._max_queued_bytes)
        self._subscriptions.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Offer it nothing more."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self.dropped_clients += subscription.is_dropped

    def publish(self, lines: Sequence[bytes]) -> None:
        """Offer each line, as a frame of its own, to all; encoded once, however many there are."""
        if not self._subscriptions:
            return
        chunk = b"".join([Frame(Opcode.TEXT, line).serialize(mask=False) for line in lines])
        self.offered += len(lines) * len(self._subscriptions)
        for subscription in list(self._subscriptions):
            subscription.offer(chunk, len(lines))

    @property
    def subscribers(self) -> int:
        """How many are subscribed."""
        return len(self._subscriptions)

    def counters(self) -> dict[str, int]:
        """For the status of the process that this is part of."""
        return {
            "ws_clients": self.subscribers,
            "ws_offered": self.offered,
            "ws_sent": self.sent,
            "ws_dropped": self.dropped,
            "ws_dropped_clients": self.dropped_clients,
        }
