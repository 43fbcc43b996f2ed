"""The bridge, by its last word in the status file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sensorflow.cli.checkup.finding import Finding
from sensorflow.cli.health import STATUS_FILE_NAME, bridge_complaint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def examine(data_dir: Path, now_us: int) -> Iterator[Finding]:
    """Whether it runs, has its broker and its store, and takes readings."""
    file = data_dir / STATUS_FILE_NAME
    try:
        status: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        status = {}
    except (OSError, ValueError) as error:
        yield Finding("bridge", f"{file} cannot be read: {error}", "run this as the user that the bridge runs as")
        return
    if complaint := bridge_complaint(status, now_us):
        yield Finding("bridge", complaint, _advice(status))
    elif status["store"] != "connected":
        yield Finding(
            "bridge",
            "it has no store; readings wait in the spool",
            "see what is said of the store, and the bridge's log",
        )


def _advice(status: dict[str, Any]) -> str:
    if not status or status["state"] != "running":
        return "start it: sensorflow up, or docker compose up -d bridge"
    if status["broker"] != "connected":
        return "see what is said of the broker, and the bridge's log"
    if status["spool"]["is_full"]:
        return "bring the store back, or make room on the disk, or raise SPOOL_MAX_BYTES"
    return "if it is running, its log says what holds it up; restarting it loses nothing"
