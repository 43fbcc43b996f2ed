"""All of SensorFlow as real processes, as ``sensorflow up`` starts them, but each killed and started at will."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from sensorflow.influx import Influx
from sensorflow.settings import UpSettings, read
from sensorflow.up import initialize
from sensorflow.up.services import services
from tests.broker import free_port
from tests.waiting import until

ROOT = Path(__file__).parents[2]


class System:
    """One installation in one directory; ports and secrets stay the same over restarts of its parts."""

    def __init__(self, directory: Path, **more: object) -> None:
        self.directory = directory
        self.settings = initialize(
            read(
                UpSettings,
                data_dir=directory / "data",
                http_port=free_port(),
                mqtt_port=free_port(),
                influx_port=free_port(),
            )
        )
        self._services = {service.name: service for service in services(self.settings)}
        self._more = {name: str(value) for name, value in more.items()}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"http://127.0.0.1:{self.settings.http_port}"
        self.key = self.settings.api_key.get_secret_value()
        self.http = httpx.Client(base_url=self.url, headers={"X-API-Key": self.key}, timeout=15)
        self.ws_url = (
            f"ws://127.0.0.1:{self.settings.http_port}/ws/sensor_updates"
            f"?api-key={self.settings.api_key_ws.get_secret_value()}"
        )

    def start(self, *names: str) -> None:
        """Start these, or all."""
        for name in names or self._services:
            service = self._services[name]
            with (self.directory / f"{name}.log").open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    service.command,
                    cwd=service.directory or ROOT,
                    env=service.environment | self._more,
                    stdout=log,
                    stderr=log,
                )

    def kill(self, name: str) -> None:
        """As a power cut does."""
        self._end(name, signal.SIGKILL)

    def stop(self, name: str) -> int:
        """As ``sensorflow up`` does; its exit code."""
        return self._end(name, signal.SIGTERM)

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Tell it something."""
        self._processes[name].send_signal(number)

    def stop_all(self) -> None:
        """In the order in which ``sensorflow up`` does it."""
        for name in [name for name in reversed(self._services) if name in self._processes]:
            self._end(name, signal.SIGTERM)
        self.http.close()

    def wait_until(self, **parts: str) -> None:
        """Until health says so of these services; all by default."""
        wanted = parts or {"influxdb": "connected", "mqtt": "connected", "bridge": "active"}
        until(lambda: wanted.items() <= self.health().get("services", {}).items())

    def health(self) -> dict[str, Any]:
        """What health says; empty while nobody answers."""
        try:
            answer: dict[str, Any] = self.http.get("/api/v1/health").json()
        except httpx.TransportError:
            return {}
        return answer

    def post(self, kind: str, body: object) -> httpx.Response:
        """A board's POST; ``bytes`` go as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(f"/api/v1/{kind}", content=content, headers={"Content-Type": "application/json"})

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What the store answers, by the official client."""
        influx = Influx(
            f"http://127.0.0.1:{self.settings.influx_port}",
            self.settings.influx_token.get_secret_value(),
            self.settings.influx_database,
        )
        try:
            rows: list[dict[str, Any]] = influx.query(sql).to_pylist()
        finally:
            influx.close()
        return rows

    def count(self, table: str) -> int:
        """Rows in the store; 0 where there is no such table yet."""
        if not self.rows(f"SELECT table_name FROM information_schema.tables WHERE table_name = '{table}'"):
            return 0
        return int(self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """``sensorflow …``, as a person runs it beside the running system."""
        return subprocess.Popen(
            [sys.executable, "-m", "sensorflow.cli", *arguments, "--data-dir", str(self.settings.data_dir)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def log(self, name: str) -> str:
        """What it has logged."""
        return (self.directory / f"{name}.log").read_text()

    def _end(self, name: str, number: signal.Signals) -> int:
        process = self._processes.pop(name)
        process.send_signal(number)
        try:
            return process.wait(12)
        finally:
            process.kill()
            process.wait()
