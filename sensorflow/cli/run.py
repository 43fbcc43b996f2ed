"""One run of readings into the system, as replay and simulate make it: progress, Ctrl-C, summary, exit code."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sensorflow.cli.dispatch import Dispatch
from sensorflow.cli.options import Over
from sensorflow.cli.output import stderr
from sensorflow.cli.senders import open_http, open_mqtt
from sensorflow.errors import PermanentError
from sensorflow.settings import BoardSettings, DeviceSettings, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sensorflow.cli.senders import Reading, Sender
    from sensorflow.cli.tally import Tally

    WayIn = Callable[..., AbstractAsyncContextManager[Sender]]

_REFRESH_S = 0.2


def ways_in(over: Over, data_dir: Path | None) -> list[WayIn]:
    """How to open each sender, with the settings that it needs; ends the command where one is missing."""
    ways: list[WayIn] = []
    if over is not Over.MQTT:
        ways.append(partial(open_http, read(BoardSettings, data_dir=data_dir)))
    if over is not Over.HTTP:
        ways.append(partial(open_mqtt, read(DeviceSettings, data_dir=data_dir)))
    return ways


def run(
    readings: Iterator[tuple[float, Reading]],
    tally: Tally,
    ways: list[WayIn],
    *,
    in_flight: int,
    give_up_after_s: float,
) -> NoReturn:
    """Send them all, print the summary and end the command: with 0 where every one of them was taken, else with 1."""
    started = time.monotonic()
    error = None
    try:
        asyncio.run(_send(readings, tally, ways, in_flight, give_up_after_s))
    except PermanentError as caught:
        error = caught
    typer.echo("\n".join(tally.lines(time.monotonic() - started)))
    if error:
        typer.echo(f"sensorflow: {error}", err=True)
    raise typer.Exit(1 if error or tally.rejected or tally.unanswered else 0)


async def _send(
    readings: Iterator[tuple[float, Reading]],
    tally: Tally,
    ways: list[WayIn],
    in_flight: int,
    give_up_after_s: float,
) -> None:
    async with AsyncExitStack() as stack:
        senders = [await stack.enter_async_context(open_(max_in_flight=in_flight)) for open_ in ways]
        dispatch = Dispatch(senders, tally, in_flight=in_flight, give_up_after_s=give_up_after_s)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, dispatch.stop)
        await stack.enter_async_context(_progress(tally))
        await dispatch.run(readings)


@asynccontextmanager
async def _progress(tally: Tally) -> AsyncIterator[None]:
    """A bar and the rate while it runs; nothing where nobody looks."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn())
    console = stderr()
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as bar:
        task = asyncio.create_task(_refresh(bar, tally), name="progress")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _refresh(bar: Progress, tally: Tally) -> None:
    """The rate is that of the last moments; the summary says the mean."""
    shown = bar.add_task("", total=tally.total, rate="")
    rate, before, then = 0.0, 0, time.monotonic()
    while True:
        await asyncio.sleep(_REFRESH_S)
        now = time.monotonic()
        rate += 0.3 * ((tally.done - before) / (now - then) - rate)
        before, then = tally.done, now
        text = f"{rate:,.0f}/s, {tally.rejected:,} rejected"
        bar.update(shown, completed=tally.done, rate=text, refresh=True)
