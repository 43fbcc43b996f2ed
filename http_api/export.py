"""An answer of any length in little memory: a page of the store, its bytes, the client; then the next page.

While a client is slow the store is not asked, and no query stands open there: each page is a question of its own. What
goes wrong when the answer has begun can only be shown by breaking it off: the last chunk does not come, which every
client reports.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

from http_api.export_formats import ENCODERS, MEDIA_TYPES
from http_api.history import MAX_PAGE_ROWS
from sensorflow.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from starlette.types import Receive, Scope, Send

    from http_api.history import Walk
    from http_api.store_questions import StoreQuestions

MAX_EXPORTS = 4  # at once: each holds a page in memory, and its share of the store
# For one page to be taken by the client. The edge gives up much sooner on one that takes nothing at all.
CLIENT_TIMEOUT_S = 600.0

_log = logging.getLogger("http_api")


class Exports:
    """Those that run."""

    def __init__(self, questions: StoreQuestions) -> None:
        self.questions = questions
        self.running = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """One of ``MAX_EXPORTS``.

        Raises:
            TransientError: All are taken.
        """
        if self.running >= MAX_EXPORTS:
            raise TransientError(f"{self.running} exports are running, at most {MAX_EXPORTS} at once")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


class ExportResponse(Response):
    """All that ``walk`` finds, at most ``limit`` rows.

    Raises:
        TransientError: When called, as long as nothing was sent: no slot is free, or the store is away.
    """

    def __init__(
        self, exports: Exports, walk: Walk, schema: pa.Schema, format_: str, *, name: str, limit: int | None
    ) -> None:
        headers = {"Content-Disposition": f'attachment; filename="{name}.{format_}"'}
        super().__init__(None, 200, headers, MEDIA_TYPES[format_])
        del self.headers["content-length"]
        self._exports, self._walk, self._left, self._name = exports, walk, limit, name
        self._encoder = ENCODERS[format_](schema)
        self._is_ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if scope["http_version"] == "1.0":  # which cannot tell the end of a document from its middle
            raise HTTPException(505, "an export is sent in chunks, which HTTP/1.0 does not have")
        with self._exports.slot():
            pieces = await self._pieces()
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body"})
                return
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(pieces, send), name="export")
                watching = group.create_task(_until_gone(receive, sending), name="export's client")
                sending.add_done_callback(lambda _: watching.cancel())

    async def _send(self, pieces: list[bytes], send: Send) -> None:
        try:
            while pieces:
                async with asyncio.timeout(CLIENT_TIMEOUT_S):
                    while pieces:
                        await send({"type": "http.response.body", "body": pieces.pop(0), "more_body": True})
                pieces = await self._pieces()
        except (TransientError, TimeoutError) as error:
            _log.error("an export of %s was broken off: %s", self._name, error or "its client takes nothing")
            return
        await send({"type": "http.response.body"})

    async def _pieces(self) -> list[bytes]:
        """The bytes of the next page that has some; none at the end."""
        pieces: list[bytes] = []
        while not pieces and not self._is_ended:
            pieces = [piece for piece in await self._exports.questions.ask(self._next) if piece]
        return pieces

    def _next(self) -> list[bytes]:
        if self._walk.is_done or self._left == 0:
            self._is_ended = True
            return [self._encoder.end()]
        page = self._walk.page(MAX_PAGE_ROWS if self._left is None else self._left)
        if self._left is not None:
            self._left -= page.rows
        return [piece for batch in page.batches for piece in self._encoder.write(batch)]


async def _until_gone(receive: Receive, sending: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    sending.cancel()
