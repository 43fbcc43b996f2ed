"""Who waits for which receipt. Pure but for asyncio's futures."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from sensorflow.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Receipts:
    """Messages on their way to the bridge's disk, by correlation id.

    Args:
        max_waiting: At once; more are refused.
    """

    def __init__(self, max_waiting: int = 2000) -> None:
        self._max_waiting = max_waiting
        self._waiting: dict[str, asyncio.Future[list[Any]]] = {}
        self._numbers = itertools.count(1)

    @contextmanager
    def expect(self) -> Iterator[tuple[str, asyncio.Future[list[Any]]]]:
        """A new correlation id, and what will have become of each reading of its message, in their order.

        An outcome is the reading's id, or an object with ``reason``, ``field`` and ``detail`` where it was rejected.
        Where the message was rejected as a whole there is one outcome.

        Raises:
            TransientError: Too many are waiting.
        """
        if len(self._waiting) >= self._max_waiting:
            raise TransientError(f"{len(self._waiting)} messages are waiting for the disk, at most {self._max_waiting}")
        correlation = f"{next(self._numbers):x}"
        receipt: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting[correlation] = receipt
        try:
            yield correlation, receipt
        finally:
            del self._waiting[correlation]

    def settle(self, payload: bytes) -> None:
        """Take one message of the bridge: ``{correlation: [outcome, …]}``.

        Those that nobody waits for any more are passed over: they were answered with 202.
        """
        told: dict[str, list[Any]] = orjson.loads(payload)
        for correlation, outcomes in told.items():
            receipt = self._waiting.get(correlation)
            if receipt is not None and not receipt.done():
                receipt.set_result(outcomes)
