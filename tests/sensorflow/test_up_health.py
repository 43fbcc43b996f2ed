"""How ``sensorflow up`` learns that all is ready, from an HTTP API played by a few lines."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sensorflow import up
from sensorflow.credentials import complete
from sensorflow.settings import UpSettings, read
from sensorflow.up import health

HOST = "127.0.0.1"
TIMEOUT_S = 5


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    """The port of a server that gives these answers one after the other, the last for ever."""
    waiting = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(waiting.pop(0) if len(waiting) > 1 else waiting[0])
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def report(status: str, **services: str) -> bytes:
    body = json.dumps({"status": status, "services": services})
    return b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\r\n" + body.encode()


async def test_ready_is_when_health_says_healthy() -> None:
    async with answering(b"", b"HTTP/1.1 404 Not Found\r\n\r\nno", report("degraded"), report("healthy")) as port:
        async with asyncio.timeout(TIMEOUT_S):
            await health.wait_until_healthy(HOST, port)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            report("degraded", mqtt="connected", bridge="inactive", influxdb="disconnected"),
            "bridge is inactive, influxdb",
        ),
        (report("degraded", mqtt="connected", bridge="active"), "degraded"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", "http_api does not answer"),
    ],
)
async def test_who_is_not_ready_is_said(answer: bytes, words: str) -> None:
    async with answering(answer) as port:
        assert words in await health.missing(HOST, port)


async def test_port_where_nobody_listens_is_no_answer(free_port: Callable[[], int]) -> None:
    assert await health.missing(HOST, free_port()) == "http_api does not answer"


@pytest.mark.usefixtures("no_settings")
async def test_slow_start_is_said_and_the_table_still_comes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(up, "_READY_TIMEOUT_S", 0.1)
    waiting = [report("degraded", bridge="inactive")] * 5

    async with answering(*waiting, report("healthy")) as port, asyncio.timeout(TIMEOUT_S):
        await up._announce(complete(read(UpSettings, http_port=port)))

    assert "not ready after 0 s: bridge is inactive; still waiting" in caplog.text
    assert f"http://127.0.0.1:{port}/api/v1/temperature_reading" in capsys.readouterr().out
