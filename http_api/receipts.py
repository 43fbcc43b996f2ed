"""Who waits for which receipt. Pure but for asyncio's futures."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from sensorflow.errors import FieldError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Receipts:
    """Readings on their way to the bridge's disk, by correlation id.

    Args:
        max_waiting: Of so many requests at once; more are refused.
    """

    def __init__(self, max_waiting: int = 2000) -> None:
        self._max_waiting = max_waiting
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._numbers = itertools.count(1)

    @contextmanager
    def expect(self) -> Iterator[tuple[str, asyncio.Future[int]]]:
        """A new correlation id, and the future id of its reading; a RejectedError where the bridge rejected it.

        Raises:
            TransientError: Too many are waiting.
        """
        if len(self._waiting) >= self._max_waiting:
            raise TransientError(f"{len(self._waiting)} readings are waiting for the disk, at most {self._max_waiting}")
        correlation = f"{next(self._numbers):x}"
        receipt: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[correlation] = receipt
        try:
            yield correlation, receipt
        finally:
            del self._waiting[correlation]
            if receipt.done() and not receipt.cancelled():
                receipt.exception()  # it may have come too late for anybody to look

    def settle(self, payload: bytes) -> None:
        """Take one message of the bridge: ``{correlation: [id or {"reason", "detail"}]}``.

        Those that nobody waits for any more are passed over: they were answered with 202.
        """
        outcomes: dict[str, list[Any]] = orjson.loads(payload)
        for correlation, outcome in outcomes.items():
            receipt = self._waiting.get(correlation)
            if receipt is None or receipt.done():
                continue
            if isinstance(outcome[0], int):
                receipt.set_result(outcome[0])
            else:
                receipt.set_exception(_rejected(outcome[0]))


def _rejected(outcome: dict[str, str]) -> RejectedError:
    return RejectedError(outcome["reason"], FieldError("", outcome["detail"]))
