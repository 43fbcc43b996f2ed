"""``sensorflow query``: SQL from the command line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sensorflow.cli.options import DataDir  # noqa: TC001 - typer reads the annotations
from sensorflow.cli.output import fail, stdout
from sensorflow.cli.results import Format, table, write
from sensorflow.errors import PermanentError, TransientError
from sensorflow.settings import QuerySettings, read

HELP = """Ask the store in SQL, and print the answer.

\b
  sensorflow query "SELECT * FROM sensor_readings ORDER BY time DESC LIMIT 9"
  sensorflow query "SELECT count(*) AS n FROM sensor_readings" --format json
  sensorflow query - < report.sql > report.csv

On a terminal the answer is a table, in a pipe or a file it is CSV; --format
says otherwise. Times are UTC unless the query converts them; like InfluxDB,
the answer does not say which zone they are in. The exit code is 1 if the
store refuses the query or is away."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("query", help=HELP)(query)


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT; - reads it from standard input.")],
    style: Annotated[Format | None, typer.Option("--format", help="How to print the answer.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the answer.")] = 60,
    data_dir: DataDir = None,
) -> None:
    """Ask the store (see HELP)."""
    from sensorflow.influx import Influx  # noqa: PLC0415 - half a second that no other command should wait for

    settings = read(QuerySettings, data_dir=data_dir)
    text = sys.stdin.read() if sql == "-" else sql
    if not text.strip():
        fail("no SQL", code=2)
    token = settings.influx_token.get_secret_value()
    store = Influx(settings.influx_host, token, settings.influx_database, timeout_s=timeout)
    try:
        result = store.query(text)
    except TransientError as error:
        fail(f"{error}; is `sensorflow up` running?")
    except PermanentError as error:
        fail(error)
    finally:
        store.close()
    if (style or (Format.TABLE if sys.stdout.isatty() else Format.CSV)) is Format.TABLE:
        stdout().print(table(result))
    else:
        write(result, sys.stdout, style or Format.CSV)
