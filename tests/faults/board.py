"""A board that speaks HTTP over one kept connection, one request at a time, in the fewest bytes that are HTTP."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Iterable

from tests.faults.reading import Reading

ACCEPTED = ("201", "202")
ANSWER_TIMEOUT_S = 15.0
RETRY_S = 0.05


class Board:
    """Sends readings in the order in which they were offered, each again until it is accepted.

    Args:
        answers: Counts the status codes; ``none`` where a request was never answered.
        tries: At most so many for one reading; without a ``time`` each could make another row.
    """

    def __init__(self, port: int, key: str, *, tries: int = 1000) -> None:
        self.answers: Counter[str] = Counter()
        self.unanswered: list[Reading] = []
        self._port, self._key, self._tries = port, key, tries
        self._waiting: deque[Reading] = deque()
        self._some = asyncio.Event()
        self._is_busy = False

    def offer(self, readings: Iterable[Reading]) -> None:
        """Send these. Not bounded: what is offered is what the trial has made."""
        self._waiting.extend(readings)
        self._some.set()

    @property
    def is_idle(self) -> bool:
        """Whether all that was offered is accepted, or given up after so many tries."""
        return not self._waiting and not self._is_busy

    async def run(self) -> None:
        """Send, for ever."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    await self._send_all(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(RETRY_S)

    async def _send_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            while not self._waiting:
                self._some.clear()
                await self._some.wait()
            reading = self._waiting.popleft()
            self._is_busy = True
            try:
                await self._send(reading, reader, writer)
            finally:
                if reading.answer not in ACCEPTED and reading.sent < self._tries:
                    self._waiting.appendleft(reading)
                self._is_busy = False

    async def _send(self, reading: Reading, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = reading.payload(sensor_id=reading.sensor_id)
        writer.write(
            f"POST /api/v1/{reading.kind} HTTP/1.1\r\nHost: a\r\nX-API-Key: {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        reading.sent += 1
        answer = "none"
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                answer = head.split(b" ", 2)[1].decode()
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length[15:]))
        finally:
            self.answers[answer] += 1
            if answer == "none":
                self.unanswered.append(reading)
        if answer in ACCEPTED:
            reading.answer = answer
        else:
            await asyncio.sleep(RETRY_S)
        if b"\r\nconnection: close" in head.lower():
            raise ConnectionResetError
