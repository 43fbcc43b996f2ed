"""Waiting for another process's work, without sleeping for a fixed time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], timeout_s: float = 20) -> Any:
    """Poll until it is true; its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
    return value


async def until_async(condition: Callable[[], object], timeout_s: float = 5) -> None:
    """Poll until it is true, while the event loop goes on."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - another process's work, which sets no event
            await asyncio.sleep(0.005)
