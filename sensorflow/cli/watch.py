"""``sensorflow watch``: readings in the terminal as they come."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated, Any

import aiomqtt
import orjson
import typer
from rich.live import Live

from sensorflow import topics
from sensorflow.backoff import backoff_s
from sensorflow.cli import board
from sensorflow.cli.options import DataDir  # noqa: TC001 - typer reads the annotations
from sensorflow.cli.output import fail, stdout
from sensorflow.errors import PermanentError
from sensorflow.settings import OperatorSettings, read

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from rich.table import Table

HELP = """Show readings as they come, over MQTT, until Ctrl-C.

On a terminal it is a table of the sensors with their last values; --lines
prints a line a reading instead, as it does by itself in a pipe.

\b
  sensorflow watch
  sensorflow watch --sensor greenhouse- --lines
  sensorflow watch --json --count 100 > readings.jsonl

It connects again by itself when the broker was away; what passed meanwhile
is not shown."""
_MAX_QUEUED_MESSAGES = 1000  # a terminal that cannot keep up loses what comes then, and paho says so
_REFRESHES_PER_S = 4
_REFUSED = frozenset({0x86, 0x87})  # MQTT 5, 3.2.2.2: bad user name or password, not authorized


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch", help=HELP)(watch)


def watch(
    *,
    sensor: Annotated[str, typer.Option(metavar="PREFIX", help="Only sensors whose id begins so.")] = "",
    lines: Annotated[bool, typer.Option("--lines", help="A line a reading, no table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line a reading, as JSON.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many readings.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Show readings as they come (see HELP)."""
    settings = read(OperatorSettings, data_dir=data_dir)
    has_table = sys.stdout.isatty() and not (lines or as_json)
    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(
                _tabulate(settings, sensor, count) if has_table else _print(settings, sensor, count, as_json=as_json)
            )
        except PermanentError as error:
            fail(error)


async def _print(settings: OperatorSettings, prefix: str, count: int | None, *, as_json: bool) -> None:
    async with aclosing(_readings(settings, prefix, count, lambda text: typer.echo(text, err=True))) as readings:
        async for raw, frame in readings:
            typer.echo(raw if as_json else board.line(frame))


async def _tabulate(settings: OperatorSettings, prefix: str, count: int | None) -> None:
    console, newest = stdout(), board.Board()

    def table() -> Table:
        return newest.table(time.time_ns() // 1000, rows=max(console.height - 4, 1))

    # Live refreshes from a thread of its own, so the ages go on even while nothing comes; print() scrolls above it.
    with Live(get_renderable=table, console=console, refresh_per_second=_REFRESHES_PER_S):
        async with aclosing(_readings(settings, prefix, count, console.print)) as readings:
            async for _, frame in readings:
                newest.add(frame)


async def _readings(
    settings: OperatorSettings, prefix: str, count: int | None, say: Callable[[str], None]
) -> AsyncGenerator[tuple[bytes, dict[str, Any]], None]:
    """Frames of the sensors that are meant, raw and parsed; ends after ``count``."""
    seen = 0
    async with aclosing(_frames(settings, say)) as frames:
        async for raw in frames:
            frame = orjson.loads(raw)
            if not frame["sensor_id"].startswith(prefix):
                continue
            yield raw, frame
            seen += 1
            if seen == count:
                return


async def _frames(settings: OperatorSettings, say: Callable[[str], None]) -> AsyncGenerator[bytes, None]:
    """Every frame of ``live``, over as many connections as it takes.

    Raises:
        PermanentError: The broker does not let us in.
    """
    address = f"MQTT {settings.mqtt_host}:{settings.mqtt_port}"
    attempt = 0
    while True:
        try:
            async with _client(settings) as client:
                await client.subscribe(topics.LIVE, qos=1)
                say(f"connected to {address}, waiting for readings")
                attempt = 0
                async for message in client.messages:
                    for raw in bytes(message.payload).split(b"\n"):
                        yield raw
        except aiomqtt.MqttCodeError as error:
            if getattr(error.rc, "value", None) in _REFUSED:
                raise PermanentError(f"{address} does not let user {settings.mqtt_username!r} in: {error}") from error
            say(f"{address}: {error}; trying again")
        except aiomqtt.MqttError as error:
            say(f"{address}: {error}; trying again")
        await asyncio.sleep(backoff_s(attempt))
        attempt += 1


def _client(settings: OperatorSettings) -> aiomqtt.Client:
    return aiomqtt.Client(
        settings.mqtt_host,
        settings.mqtt_port,
        username=settings.mqtt_username,
        password=settings.mqtt_password.get_secret_value(),
        protocol=aiomqtt.ProtocolVersion.V5,
        keepalive=settings.mqtt_keepalive_s,
        tls_context=settings.ssl_context,
        max_queued_incoming_messages=_MAX_QUEUED_MESSAGES,
    )
