"""How commands speak: results on standard output, errors as one line on standard error.

What comes from devices is shown with every character escaped that a terminal could act on.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.console import Console

_PIPE_WIDTH = 10_000  # columns; a program that reads our tables wants its lines whole


def stdout() -> Console:
    """The terminal, or the pipe in which no line is wrapped or coloured."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)


def stderr() -> Console:
    """Where progress is shown; it stays out of a result that is piped on."""
    return Console(stderr=True)


def fail(message: object, *, code: int = 1) -> NoReturn:
    """End the command with one line on standard error; ``code`` 2 says that it was called wrongly."""
    typer.echo(f"sensorflow: {message}", err=True)
    raise typer.Exit(code)


def printable(text: str) -> str:
    r"""The text with control, formatting and bidirectional characters as escapes such as ``\x1b``."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
