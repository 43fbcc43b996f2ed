"""What the bridge tells the others after a commit: receipts, live readings, a mirror of the dead letters.

All of it is a courtesy: the record is in the spool. What cannot be told in time is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from sensorflow import topics
from sensorflow.errors import SensorFlowError
from sensorflow.mqtt import NO_MATCHING_SUBSCRIBERS, RefusedError
from sensorflow.reading import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.intake import Commit, DeadLetter
    from sensorflow.mqtt import Session

MAX_WAITING = 20_000  # frames and dead letters, each
MAX_WAITING_BYTES = 16 * 2**20  # of both together
MAX_MESSAGE_BYTES = 128 * 1024  # half of the broker's max_packet_size
MAX_MIRRORED_BYTES = 1024
DETAIL_ELSEWHERE = "the dead letter says why"
LOG_INTERVAL_S = 10.0

_log = logging.getLogger("bridge")

Item = TypeVar("Item")


class Announcer:
    """Publishes what commits have brought, in order.

    At most ``MAX_WAITING`` live frames and as many dead letters wait for the broker, and nothing more once they are
    ``MAX_WAITING_BYTES``; what is beyond is dropped and counted in ``dropped``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._frames: list[bytes] = []
        self._dead_letters: list[DeadLetter] = []
        self._waiting_bytes = 0
        self._some = asyncio.Event()
        self._unsaid = 0
        self._said_s = float("-inf")
        self.dropped = 0

    async def announce(self, commit: Commit) -> None:
        """Send the receipts at once, and the rest soon; never waits."""
        for topic, receipts in commit.receipts.items():
            for payload, count in _receipt_messages(receipts):
                if len(payload) > MAX_MESSAGE_BYTES + len("{}"):  # an array of a device, of more than http_api sends
                    self.dropped += count
                    continue
                try:
                    await self._session.publish(topic, payload, qos=0)
                except SensorFlowError:
                    self.dropped += count  # http_api answers 202 to those
        frames = self._admit(commit.frames, len(self._frames))
        self._frames += frames
        self._waiting_bytes += sum(map(len, frames))
        self.mirror(commit.dead_letters)
        if self._frames:
            self._some.set()

    def mirror(self, dead_letters: list[DeadLetter]) -> None:
        """Publish them soon; the log says how many there are, and why the last was rejected."""
        self._log_some(dead_letters)
        admitted = self._admit(dead_letters, len(self._dead_letters))
        self._dead_letters += admitted
        self._waiting_bytes += sum(len(each.payload) for each in admitted)
        if self._dead_letters:
            self._some.set()

    async def run(self) -> None:
        """Publish, for ever."""
        while True:
            await self._some.wait()
            await self.flush()

    async def flush(self) -> None:
        """Publish what waits."""
        self._some.clear()
        frames, self._frames = self._frames, []
        dead_letters, self._dead_letters = self._dead_letters, []
        self._waiting_bytes = 0
        await asyncio.gather(
            *(self._publish(topics.LIVE, b"\n".join(some), len(some)) for some in _groups(frames)),
            *(self._publish(topics.dead_letters(each.reason), _mirror(each), 1) for each in dead_letters),
        )

    def _log_some(self, dead_letters: list[DeadLetter]) -> None:
        """Log at most once in ``LOG_INTERVAL_S``: one broken device must not fill the log."""
        self._unsaid += len(dead_letters)
        if dead_letters and time.monotonic() - self._said_s >= LOG_INTERVAL_S:
            last = dead_letters[-1]
            _log.error("dead letters: %d more, the last on %.100r: %.200r", self._unsaid, last.topic, last.detail)
            self._unsaid, self._said_s = 0, time.monotonic()

    def _admit(self, items: list[Item], waiting: int) -> list[Item]:
        room = max(0, MAX_WAITING - waiting) if self._waiting_bytes < MAX_WAITING_BYTES else 0
        self.dropped += len(items[room:])
        return items[:room]

    async def _publish(self, topic: str, payload: bytes, count: int) -> None:
        try:
            await self._session.publish(topic, payload)
        except RefusedError as error:
            if error.reason_code != NO_MATCHING_SUBSCRIBERS:
                self.dropped += count
        except SensorFlowError:
            self.dropped += count


def _receipt_messages(receipts: dict[str, list[Any]]) -> Iterator[tuple[bytes, int]]:
    """JSON objects by correlation, which is hexadecimal; with the number of receipts in each."""
    members = [b'"%b":%b' % (correlation.encode(), _outcomes(each)) for correlation, each in receipts.items()]
    return ((b"{%b}" % b",".join(some), len(some)) for some in _groups(members))


def _outcomes(outcomes: list[Any]) -> bytes:
    """In JSON; where that would be too much for a message, without saying in words why some were rejected."""
    told = orjson.dumps(outcomes)
    if len(told) < MAX_MESSAGE_BYTES - 64:  # which leaves room for the correlation
        return told
    return orjson.dumps([each | {"detail": DETAIL_ELSEWHERE} if isinstance(each, dict) else each for each in outcomes])


def _groups(parts: list[bytes]) -> Iterator[list[bytes]]:
    """The parts in order, in as few messages as their size allows."""
    start = size = 0
    for end, part in enumerate(parts):
        if end > start and size + len(part) > MAX_MESSAGE_BYTES:
            yield parts[start:end]
            start, size = end, 0
        size += len(part) + 1
    if parts:
        yield parts[start:]


def _mirror(letter: DeadLetter) -> bytes:
    return orjson.dumps(
        {
            "timestamp": timestamp(letter.time_us),
            "reason": letter.reason,
            "detail": letter.detail[:MAX_MIRRORED_BYTES],
            "topic": letter.topic,
            "payload": letter.payload[:MAX_MIRRORED_BYTES].decode(errors="replace"),
            "payload_bytes": len(letter.payload),
        }
    )
