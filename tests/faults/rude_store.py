"""What stands before the store in R7 and answers wrongly, on purpose; what it lets through, the real store answers."""

import asyncio
import random
import threading
from collections import Counter
from types import TracebackType
from typing import Self

FAULTS = ("500", "429", "timeout after commit", "reset in the body")
PARTIAL = "400 partial"
TOO_LATE_S = 0.2  # more than the hurried bridge waits
_MAX_BYTES = 16 * 2**20
_ANSWERS = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}",
    "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}",
}


class RudeStore:
    """Forwards to ``target_port``. Four writes of five meet one of the ``FAULTS``, in an order that a seed decides.

    ``counts`` says how often each has happened, and how many answers of the real store were ``PARTIAL``.
    """

    def __init__(self, target_port: int) -> None:
        self.counts: Counter[str] = Counter()
        self.is_polite = False
        self._target_port = target_port
        self._random = random.Random(7)  # noqa: S311 - an order, not a secret
        self._deck: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()  # which asyncio itself would forget
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rude store", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_MAX_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, request after request."""
        try:
            while head := await _head(reader):
                body = await reader.readexactly(_length(head))
                is_write = b"/write" in head.partition(b"\r\n")[0]
                fault = self._next_fault() if is_write and not self.is_polite else ""
                if not await self._answer(writer, head, body, fault):
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, head: bytes, body: bytes, fault: str) -> bool:
        """Whether the connection goes on."""
        self.counts[fault] += 1
        if fault in _ANSWERS:
            writer.write(_ANSWERS[fault])
        elif fault == "reset in the body":
            await self._forward(head, body[: len(body) // 2])
            writer.transport.abort()
        else:
            answer = await self._forward(head, body)
            if fault:
                await asyncio.sleep(TOO_LATE_S)
                writer.transport.abort()
            else:
                self.counts[PARTIAL] += answer.startswith(b"HTTP/1.1 400")
                writer.write(answer)
        return not writer.transport.is_closing()

    def _next_fault(self) -> str:
        if not self._deck:
            self._deck = [*FAULTS, ""]
            self._random.shuffle(self._deck)
        return self._deck.pop()

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        """The real store's whole answer; empty if it was sent only a part of the request, and then no more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._target_port, limit=_MAX_BYTES)
        try:
            writer.write(head + body)
            await writer.drain()
            if len(body) < _length(head):
                return b""
            answer = await _head(reader)
            return answer + await reader.readexactly(_length(answer))
        finally:
            writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Up to the empty line; empty at the end of the connection."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _length(head: bytes) -> int:
    """The body's, as the head says it; both sides here always do."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    assert b"transfer-encoding" not in head.lower(), head
    return 0
