"""``sensorflow health``: whether one service works, for whoever restarts what does not (a container's HEALTHCHECK)."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import typer

from sensorflow.cli.output import fail, printable
from sensorflow.credentials import bracketed, reachable
from sensorflow.reading import parse_time
from sensorflow.settings import UpSettings, read

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS_FILE_NAME = "bridge-status.json"  # the bridge's, which has no port to ask at
_SILENT_AFTER_S = 15.0  # three of its heartbeats
_ANSWER_TIMEOUT_S = 3.0


class Service(StrEnum):
    """Those of ours, by their commands."""

    BRIDGE = "bridge"
    HTTP_API = "http-api"
    STORE = "store"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="One part alone, as `up` starts it", epilog="sensorflow health http-api")(health)


def health(
    service: Annotated[Service, typer.Argument(help="Which.")],
    data_dir: Annotated[Path | None, typer.Option(help="The bridge's. [DATA_DIR, default: data]")] = None,
) -> None:
    """Ask a service on this machine whether it works: 0 if so, else 1 and why not.

    What a service can bridge by itself is no reason: the bridge works while the store is away.
    """
    settings = read(UpSettings, data_dir=data_dir)
    checks: dict[Service, Callable[[], str]] = {
        Service.BRIDGE: lambda: bridge_complaint(_status(settings.data_dir), time.time_ns() // 1000),
        Service.HTTP_API: lambda: _http_complaint(settings.http_host, settings.http_port, "/api/v1/health"),
        Service.STORE: lambda: _http_complaint(settings.store_host, settings.influx_port, "/health"),
    }
    if complaint := checks[service]():
        fail(complaint)


def bridge_complaint(status: dict[str, Any], now_us: int) -> str:
    """What is wrong according to the bridge's last status; empty if nothing is."""
    if not status:
        return "the bridge has not started yet"
    silent_s = (now_us - parse_time(status["time"])) / 1e6
    if status["state"] != "running" or abs(silent_s) > _SILENT_AFTER_S:  # ahead of us: the clock was set back since
        return f"the bridge is {status['state']}, its last word is {silent_s:.0f} s old"
    if status["broker"] != "connected":
        return "the bridge has no broker"
    return "the spool is full" if status["spool"]["is_full"] else ""


def _status(data_dir: Path) -> dict[str, Any]:
    file = data_dir / STATUS_FILE_NAME
    try:
        status: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}")
    return status


def _http_complaint(host: str, port: int, path: str) -> str:
    url = f"http://{bracketed(reachable(host))}:{port}{path}"
    try:
        # No proxy, which Docker's configuration puts into the environment of every container: this is our own machine.
        with build_opener(ProxyHandler({})).open(url, timeout=_ANSWER_TIMEOUT_S):
            return ""
    except HTTPError as error:
        return f"{url} answered {error.code}: {printable(error.read(1000).decode(errors='replace'))}"
    except OSError as error:  # URLError and TimeoutError are
        return f"{url}: {getattr(error, 'reason', error)}"
