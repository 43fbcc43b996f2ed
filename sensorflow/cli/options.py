"""Options that several commands share, and what is read from them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensorflow.cli.moments import parse_duration
from sensorflow.cli.output import fail

if TYPE_CHECKING:
    from sensorflow.kinds import Kind
    from sensorflow.settings import Common


class Over(StrEnum):
    """Which way in: as a board, as a device, or every other reading each."""

    HTTP = "http"
    MQTT = "mqtt"
    BOTH = "both"


DataDir = Annotated[
    Path | None,
    typer.Option(help="Where `sensorflow up` keeps its data and the keys it made (DATA_DIR; default: data)."),
]
KindName = Annotated[str, typer.Option("--kind", help="The kind of the readings.")]


def duration_us(text: str) -> int:
    """The value of an option such as ``--every 1h``, in microseconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def kind_named(settings: Common, name: str) -> type[Kind]:
    """A kind of this site; ends the command where there is none of this name."""
    try:
        kinds = settings.load_kinds()
    except ValueError as error:
        fail(error)
    if name not in kinds:
        fail(f"no kind {name!r}; there are: {', '.join(sorted(kinds))}; more come from the setting KINDS", code=2)
    return kinds[name]
