"""What containers read in place of one file with every secret: for each service a directory of its own secrets.

In compose each directory is a volume of its own, and ``NAME_FILE`` settings name the files in it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sensorflow.credentials import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from sensorflow.settings import CompleteSettings

MQTT_PORT = 1883  # inside; where it is published is compose's affair
MQTT_SERVICES_PORT = 1884  # published nowhere
ADMIN_TOKEN_FILE = "admin_token.json"  # noqa: S105 # its name, of InfluxDB's --admin-token-file

SECRETS = {
    "bridge": {"influx_token": "influx_token", "mqtt_password": "mqtt_password_bridge"},
    "http_api": {
        "influx_token": "influx_token",
        "mqtt_password": "mqtt_password_http_api",
        "api_key": "api_key",
        "api_key_ws": "api_key_ws",
    },
    "influxdb": {ADMIN_TOKEN_FILE: "influx_token"},
    "grafana": {
        "influx_token": "influx_token",
        "admin_password": "grafana_password",
        "secret_key": "grafana_secret_key",
    },
    "tools": {"influx_token": "influx_token", "mqtt_password": "mqtt_password_operator", "api_key": "api_key"},
}
"""By service: the name of each file, and the setting that is in it."""


def write_secrets(settings: CompleteSettings, directory: Path) -> None:
    """Write every service's secrets, for the owner and the group alone: foreign images have users of their own.

    Raises:
        ValueError: InfluxDB 3 or Grafana could not use the token that was given.
    """
    # What does not begin so InfluxDB 3 refuses; and Grafana would take a $ in the file for a variable.
    if not re.fullmatch(r"apiv3_[A-Za-z0-9_.-]+", settings.influx_token.get_secret_value()):
        raise ValueError("INFLUX_TOKEN: must be apiv3_ and then letters, digits, '_', '.' or '-'")
    for service, files in SECRETS.items():
        place = directory / service
        place.mkdir(mode=0o750, parents=True, exist_ok=True)
        for name, setting in files.items():
            secret = getattr(settings, setting).get_secret_value()
            text = json.dumps({"token": secret, "name": "_admin"}) if name == ADMIN_TOKEN_FILE else secret
            write_private(place / name, text, mode=0o440)
