"""``sensorflow doctor``: looks at every part from outside, and says what is wrong and what to do about it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import orjson
import typer

from sensorflow.cli.checkup import bridge, spool, web
from sensorflow.cli.checkup.finding import Finding
from sensorflow.cli.options import DataDir  # noqa: TC001 - typer reads the annotations
from sensorflow.cli.output import printable
from sensorflow.settings import BoardSettings, Common, OperatorSettings, QuerySettings, read

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

HELP = """Look for what is wrong, and say what to do about it.

\b
  sensorflow doctor
  docker compose run --rm tools doctor

Looks at settings, broker, bridge, spool, store, HTTP API, clocks and disk, and
changes nothing. One line for each finding; the exit code is 1 if one of
them has to be put right, and 0 if there are none, or notes only."""
PARTS = ("settings", "disk", "clock", "bridge", "spool", "broker", "store", "http_api")

Model = TypeVar("Model", bound=Common)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", help=HELP)(doctor)


def doctor(
    *, as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False, data_dir: DataDir = None
) -> None:
    """Look for what is wrong (see HELP)."""
    findings = list(examine(data_dir))
    has_faults = any(finding.is_fault for finding in findings)
    if as_json:
        typer.echo(orjson.dumps({"is_well": not has_faults, "looked_at": PARTS, "findings": [*map(asdict, findings)]}))
    else:
        for finding in findings:
            typer.echo(line(finding))
        typer.echo(f"looked at {', '.join(PARTS)}: {_summary(findings)}")
    raise typer.Exit(1 if has_faults else 0)


def examine(data_dir: Path | None) -> Iterator[Finding]:
    """All findings, part by part; what a part needs and is not set is a finding too, and the others go on."""
    now_s = time.time()
    yield from web.examine_clock(now_s)
    common = yield from _settings(Common, data_dir)
    if common is None:
        return
    yield from _kinds(common)
    place = common.data_dir
    yield from spool.examine_disk(place)
    of_bridge = list(bridge.examine(place, int(now_s * 1e6)))
    yield from of_bridge
    yield from spool.examine(place)
    if operator := (yield from _settings(OperatorSettings, data_dir)):
        from sensorflow.cli.checkup import broker  # noqa: PLC0415 - paho is no need of --help

        yield from broker.examine(operator, is_bridge_running=not of_bridge)
    if query := (yield from _settings(QuerySettings, data_dir)):
        yield from web.examine_store(query)
    if board := (yield from _settings(BoardSettings, data_dir)):
        yield from web.examine_http_api(board)


def line(finding: Finding) -> str:
    """As a person reads it."""
    mark = "" if finding.is_fault else "note: "
    return printable(f"{mark}{finding.part}: {finding.what} -> {finding.advice}")


def _settings(model: type[Model], data_dir: Path | None) -> Generator[Finding, None, Model | None]:
    try:
        return read(model, data_dir=data_dir)
    except SystemExit as error:
        for complaint in str(error).splitlines():
            yield Finding("settings", complaint, "put it right in the environment or .env; see .env.example")
    return None


def _kinds(common: Common) -> Iterator[Finding]:
    try:
        common.load_kinds()
    except SystemExit as error:
        yield Finding("settings", str(error), "put KINDS right, or the file that it names")


def _summary(findings: list[Finding]) -> str:
    faults = sum(finding.is_fault for finding in findings)
    if faults:
        return f"{faults} to put right"
    return "all well" if not findings else "all well, but see the notes"
