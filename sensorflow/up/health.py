"""Is everything ready? http_api knows, since it sees the broker, the bridge and the store."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sensorflow.credentials import bracketed

_POLL_S = 0.05
_REQUEST_TIMEOUT_S = 2.0
_READY = frozenset({"active", "connected"})


async def wait_until_healthy(host: str, port: int) -> None:
    """Return when ``GET /api/v1/health`` says so; cancel it to stop."""
    while (await fetch(host, port)).get("status") != "healthy":  # noqa: ASYNC110 # another process knows
        await asyncio.sleep(_POLL_S)


async def missing(host: str, port: int) -> str:
    """What is not ready, in words."""
    health = await fetch(host, port)
    states = health.get("services", {})
    waiting = [f"{name} is {state}" for name, state in states.items() if state not in _READY]
    return ", ".join(waiting) or health.get("status") or "http_api does not answer"


async def fetch(host: str, port: int) -> dict[str, Any]:
    """The health report; empty when there is none. No client library: importing one takes longer than a start may."""
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET /api/v1/health HTTP/1.0\r\nHost: {bracketed(host)}:{port}\r\n\r\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
        body = json.loads(answer.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):  # TimeoutError is an OSError
        return {}
    return body if isinstance(body, dict) else {}
