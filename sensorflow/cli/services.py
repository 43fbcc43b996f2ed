"""``up`` and ``init``, and the parts of SensorFlow one by one: ``bridge``, ``http-api``, ``store``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sensorflow.settings import UpSettings

_ONE_PART = "One part alone, as `up` starts it"
_DataDir = Annotated[
    Path | None,
    typer.Option(help="Where everything is kept: secrets, spool, data. [DATA_DIR, default: data]", file_okay=False),
]
_HttpPort = Annotated[
    int | None, typer.Option(help="Port of the HTTP API and the WebSocket. [HTTP_PORT, default: 8000]")
]
_HttpHost = Annotated[
    str | None, typer.Option(help="Its address; 0.0.0.0 lets other machines in. [HTTP_HOST, default: 127.0.0.1]")
]
_MqttPort = Annotated[int | None, typer.Option(help="Port of the MQTT broker. [MQTT_PORT, default: 1883]")]
_MqttHost = Annotated[
    str | None, typer.Option(help="Its address; 0.0.0.0 lets other machines in. [MQTT_HOST, default: 127.0.0.1]")
]
_InfluxPort = Annotated[int | None, typer.Option(help="Port of the embedded store. [INFLUX_PORT, default: 8181]")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(epilog="sensorflow up --http-host 0.0.0.0 --mqtt-host 0.0.0.0 --data-dir /srv/sensorflow")(up)
    app.command(epilog="sensorflow init --data-dir /srv/sensorflow")(init)
    app.command(rich_help_panel=_ONE_PART)(bridge)
    app.command("http-api", rich_help_panel=_ONE_PART)(http_api)
    app.command(rich_help_panel=_ONE_PART)(store)


def up(
    data_dir: _DataDir = None,
    http_port: _HttpPort = None,
    http_host: _HttpHost = None,
    mqtt_port: _MqttPort = None,
    mqtt_host: _MqttHost = None,
    influx_port: _InfluxPort = None,
) -> None:
    """Start everything: Mosquitto, store, bridge and HTTP API.

    Makes keys where none are given, prints them with the addresses when all is ready, and runs until Ctrl-C. What it
    made, and the ports it used, it keeps in DATA_DIR/sensorflow.env, where the other commands find them.
    """
    from sensorflow import up as supervisor  # noqa: PLC0415 # `--help` must not wait for it

    settings = _read(
        data_dir=data_dir,
        http_port=http_port,
        http_host=http_host,
        mqtt_port=mqtt_port,
        mqtt_host=mqtt_host,
        influx_port=influx_port,
    )
    supervisor.run(settings)


def init(
    data_dir: _DataDir = None,
    containers: Annotated[
        Path | None,
        typer.Option(help="Lay all out for compose.yaml: each service's secrets below here.", file_okay=False),
    ] = None,
) -> None:
    """Make the keys and the broker's files without starting anything, and print the keys.

    Run it again at any time: what is there stays.
    """
    from sensorflow import up as supervisor  # noqa: PLC0415 # `--help` must not wait for it
    from sensorflow.up import table  # noqa: PLC0415 # as above

    settings = _read(data_dir=data_dir)
    try:
        if containers:
            completed = supervisor.initialize_containers(settings, containers)
            table.show(table.of_containers(completed), table.curl(completed))
        else:
            table.show(table.of_processes(supervisor.initialize(settings)))
    except (OSError, ValueError) as error:
        sys.exit(f"sensorflow init: {error}")


def bridge() -> None:
    """The bridge: MQTT to disk, and on to InfluxDB 3. Settings: see .env.example."""
    _run("bridge")


def http_api() -> None:
    """The HTTP API and the WebSocket gateway. Settings: see .env.example."""
    _run("http_api")


def store() -> None:
    """The embedded store: DuckDB behind InfluxDB 3's wire protocol. Settings: see .env.example."""
    _run("store")


def _read(**flags: object) -> UpSettings:
    from sensorflow.log import start_logging  # noqa: PLC0415 # `--help` must not wait for it
    from sensorflow.settings import UpSettings, read  # noqa: PLC0415 # as above

    settings = read(UpSettings, **flags)
    start_logging(settings.log_level, settings.log_format)
    return settings


def _run(module: str) -> None:
    """By name, not by import: nothing here depends on a service."""
    runpy.run_module(module, run_name="__main__", alter_sys=True)
