"""The audit log: which keys were made, changed and used, and what was refused. One JSON object a line.

A line names keys and the public part of a secret, never a secret, and no path's query.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from pathlib import Path

FILE = "audit.jsonl"


def line(event: str, **fields: object) -> str:
    """One event of now; a field that is None is left out."""
    said = {name: value for name, value in fields.items() if value is not None}
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return orjson.dumps({"time": now, "event": event} | said, default=str).decode()


def append(directory: Path, event: str, **fields: object) -> None:
    """Add one line to the file: one write, so that it does not mix with those of others."""
    descriptor = os.open(directory / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, (line(event, **fields) + "\n").encode())
    finally:
        os.close(descriptor)
