"""The command line: one typer app, put together from one module a command.

Commands import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from sensorflow.cli import dead_letters, doctor, health, keys, query, replay, services, simulate, watch

app = typer.Typer(
    name="sensorflow",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,  # they hold keys
)


def _print_version(is_wanted: bool) -> None:  # noqa: FBT001 # typer calls it so
    if is_wanted:
        typer.echo(version("sensorflow"))
        raise typer.Exit


@app.callback(epilog="Start with: sensorflow up. Settings come from flags, the environment, .env; see .env.example.")
def _main(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Sensor readings from HTTP boards and MQTT devices to disk, to InfluxDB 3 and to the browser, exactly once."""


for command in (services, doctor, health, replay, simulate, watch, query, dead_letters, keys):
    command.register(app)
