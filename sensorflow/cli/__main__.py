"""``python -m sensorflow.cli``."""

from sensorflow.cli import app

app()
