"""What a person needs to know when everything runs: addresses, keys, and a line to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from sensorflow.credentials import bracketed, influx_url, reachable
from sensorflow.settings import kept_file

if TYPE_CHECKING:
    from sensorflow.settings import CompleteSettings

Rows = dict[str, str]

_READING = '{"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5, "sensor_id": "sensor_001"}'
_NARROWEST = 110  # the longest row; on a narrower terminal a cut key is worse than a folded line


def of_processes(settings: CompleteSettings) -> Rows:
    """What ``sensorflow up`` has started, or will."""
    return {
        **_http(settings),
        **_mqtt(settings),
        "InfluxDB 3": f"{influx_url(settings)} (database {settings.influx_database})",
        "INFLUX_TOKEN": settings.influx_token.get_secret_value(),
        "kept in": str(kept_file(settings.data_dir).resolve()),
    }


def of_containers(settings: CompleteSettings) -> Rows:
    """What ``docker compose up`` has started, as it is reached from outside."""
    return {
        **_http(settings),
        **_mqtt(settings),
        "Grafana": f"http://{_address(settings.grafana_host, settings.grafana_port)}",
        "Grafana user": "admin",
        "Grafana password": settings.grafana_password.get_secret_value(),
        "INFLUX_TOKEN": settings.influx_token.get_secret_value(),
    }


def show(rows: Rows, to_try: str = "") -> None:
    """Print them to standard output, and a command to try where it would be answered."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/bold]", value)
    console = Console(highlight=False)
    console.width = max(console.width, _NARROWEST)
    console.print(table)
    if to_try:
        console.print(f"\nTry:\n{to_try}\n", markup=False, soft_wrap=True)


def curl(settings: CompleteSettings) -> str:
    """A first reading."""
    return (
        f"curl http://{_address(settings.http_host, settings.http_port)}/api/v1/temperature_reading "
        f"-H 'X-API-Key: {settings.api_key.get_secret_value()}' -H 'Content-Type: application/json' -d '{_READING}'"
    )


def _http(settings: CompleteSettings) -> Rows:
    address = _address(settings.http_host, settings.http_port)
    return {
        "HTTP API": f"http://{address}/api/v1/health",
        "API_KEY": settings.api_key.get_secret_value(),
        "WebSocket": f"ws://{address}/ws/sensor_updates?api-key={settings.api_key_ws.get_secret_value()}",
        "API_KEY_WS": settings.api_key_ws.get_secret_value(),
    }


def _mqtt(settings: CompleteSettings) -> Rows:
    address = {"MQTT": _address(settings.mqtt_host, settings.mqtt_port)}
    if not settings.mqtt_shared_device:
        return address
    return {**address, "MQTT user": "device", "MQTT password": settings.mqtt_device_password.get_secret_value()}


def _address(host: str, port: int) -> str:
    return f"{bracketed(reachable(host))}:{port}"
