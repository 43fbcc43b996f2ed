"""Who takes a long answer slowly, and who does not take it."""

from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from http_api.edge import SEND_TIMEOUT_S, Connection, Edge


class Transport:
    """What a connection asks of asyncio's."""

    def __init__(self) -> None:
        self.unsent_bytes, self.is_aborted = 0, False

    def get_extra_info(self, _: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.is_aborted = True


class Clock:
    """Of the event loop."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def time(self) -> float:
        return self.now_s


async def _app(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.fixture
async def connection() -> Connection:
    config = uvicorn.Config(_app, interface="asgi3", log_config=None)
    config.load()
    connection = Edge().protocol()(config, ServerState(), {})
    connection.connection_made(Transport())  # type: ignore[arg-type] # all that is needed of one
    return connection


async def test_a_client_that_takes_nothing_is_given_up(connection: Connection) -> None:
    transport: Any = connection.transport
    transport.unsent_bytes = 1000
    now_s = connection.loop.time()

    connection.check_progress(now_s)
    connection.check_progress(now_s + SEND_TIMEOUT_S - 1)
    assert not transport.is_aborted

    connection.check_progress(now_s + SEND_TIMEOUT_S + 1)
    assert transport.is_aborted


async def test_a_client_that_takes_piece_after_piece_is_not(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport: Any = connection.transport
    transport.unsent_bytes = 1000  # each time that it is looked at
    clock = Clock(connection.loop.time())
    monkeypatch.setattr(connection, "loop", clock)

    for _ in range(20):
        clock.now_s += 1
        connection.check_progress(clock.now_s)
        connection.resume_writing()

    assert not transport.is_aborted
