"""What a person needs to know when everything runs: addresses, keys, and a line to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from sensorflow.credentials import bracketed, influx_url, reachable
from sensorflow.settings import kept_file

if TYPE_CHECKING:
    from sensorflow.settings import CompleteSettings

_READING = '{"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5, "sensor_id": "sensor_001"}'
_NARROWEST = 110  # the longest row; on a narrower terminal a cut key is worse than a folded line


def show(settings: CompleteSettings, *, is_running: bool) -> None:
    """Print it to standard output, with a line to try where it would be answered."""
    http = f"{bracketed(reachable(settings.http_host))}:{settings.http_port}"
    rows = {
        "HTTP API": f"http://{http}/api/v1/health",
        "WebSocket": f"ws://{http}/ws/sensor_updates?api-key={settings.api_key_ws.get_secret_value()}",
        "MQTT": f"{reachable(settings.mqtt_host)}:{settings.mqtt_port}",
        "InfluxDB 3": f"{influx_url(settings)} (database {settings.influx_database})",
        "API_KEY": settings.api_key.get_secret_value(),
        "API_KEY_WS": settings.api_key_ws.get_secret_value(),
        "MQTT user": "device",
        "MQTT password": settings.mqtt_device_password.get_secret_value(),
        "INFLUX_TOKEN": settings.influx_token.get_secret_value(),
        "kept in": str(kept_file(settings.data_dir).resolve()),
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/bold]", value)
    console = Console(highlight=False)
    console.width = max(console.width, _NARROWEST)
    console.print(table)
    if is_running:
        console.print(f"\nTry:\n{_curl(http, settings)}\n", markup=False, soft_wrap=True)


def _curl(http: str, settings: CompleteSettings) -> str:
    return (
        f"curl http://{http}/api/v1/temperature_reading -H 'X-API-Key: {settings.api_key.get_secret_value()}' "
        f"-H 'Content-Type: application/json' -d '{_READING}'"
    )
