"""The image's start commands in a clean virtual environment: made as the Dockerfile makes it, outside containers."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.compose.outside import Outside, without_settings
from tests.compose.stack import ROOT
from tests.compose.test_dockerfile import instructions, let_through
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]  # libraries are installed, from pip's cache if it has them

READING = {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5, "sensor_id": "sensor_001"}


@pytest.fixture(scope="module")
def sensorflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, installed from the wheel and the locked libraries, without what the image does not have."""
    place = tmp_path_factory.mktemp("image")
    for name in let_through():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (place / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, place / "src" / name)
    run(sys.executable, "-m", "venv", "--without-pip", place / "venv")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    into = [*pip, "--python", place / "venv/bin/python", "install"]
    run(*into, "--require-hashes", "-r", place / "src/requirements/runtime.txt")
    run(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", place, place / "src")
    run(*into, "--no-deps", "--no-index", *place.glob("*.whl"))
    cut_off = next(rest for name, rest in instructions("builder") if name == "RUN" and rest.startswith("rm -r "))
    run("bash", "-euo", "pipefail", "-c", cut_off, cwd=next((place / "venv").glob("lib/python*/site-packages")))
    return place / "venv/bin/sensorflow"


def run(*command: object, cwd: Path | None = None) -> None:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=without_settings(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Containers(Outside):
    """The services as processes of the installed program."""

    def __init__(self, directory: Path, program: Path) -> None:
        super().__init__(directory)
        self._program = program
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, service: str, *, command: list[str] | None = None, **more: str) -> None:
        with (self.directory / f"{service}.log").open("ab") as log:
            self._processes[service] = subprocess.Popen(
                command or [str(self._program), *self.command(service)],
                cwd=self.broker_directory if service == "mosquitto" else self.directory,
                env=self.environment(service) | more,
                stdout=log,
                stderr=log,
            )

    def start_store(self) -> None:
        """The embedded store where InfluxDB would be."""
        self.start(
            "influxdb",
            command=[str(self._program), "store"],
            DATA_DIR=str(self.directory / "store"),
            INFLUX_PORT=str(self.ports[8181]),
            INFLUX_TOKEN=self.secret("bridge", "influx_token"),
        )

    @property
    def is_ready(self) -> bool:
        """Whether all see each other, by one quick question."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.ports[8000]}/api/v1/health")
        except httpx.TransportError:
            return False
        return bool(answer.json()["status"] == "healthy")

    def is_healthy(self, service: str) -> bool:
        """What its container's health check finds."""
        program, *rest = self.health_check(service)
        command = [str(self._program) if program == "sensorflow" else program, *rest]
        done = subprocess.run(
            command, env=self.environment(service), cwd=self.directory, check=False, capture_output=True
        )
        return done.returncode == 0

    def tool(self, *arguments: str, service: str = "tools") -> str:
        """What ``docker compose run`` of that service prints."""
        done = subprocess.run(
            [str(self._program), *arguments],
            cwd=ROOT,
            env=self.environment(service),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self, service: str) -> int:
        process = self._processes.pop(service)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(12)
        finally:
            process.kill()
            process.wait()

    def end_all(self) -> None:
        for service in reversed(list(self._processes)):
            self.end(service)


@pytest.fixture
def containers(tmp_path: Path, sensorflow: Path) -> Iterator[Containers]:
    made = Containers(tmp_path, sensorflow)
    made.initialize()
    made.start("mosquitto", command=made.command("mosquitto"))
    made.start_store()
    made.start("bridge")
    made.start("http_api")
    until(lambda: made.is_ready, 30)
    yield made
    made.end_all()


def rows(containers: Containers, condition: str) -> list[str]:
    query = f"SELECT sensor_id, temperature FROM sensor_readings WHERE {condition}"
    return containers.tool("query", query).splitlines()[1:]


def test_services_come_up_with_the_files_of_init_and_carry_a_reading(containers: Containers) -> None:
    url = f"127.0.0.1:{containers.ports[8000]}"
    key, key_ws = (containers.secret("http_api", name) for name in ("api_key", "api_key_ws"))

    with connect(f"ws://{url}/ws/sensor_updates?api-key={key_ws}") as browser:
        answer = httpx.post(
            f"http://{url}/api/v1/temperature_reading", json=READING, headers={"X-API-Key": key}, timeout=10
        )
        seen: Any = browser.recv(timeout=10)

    assert answer.status_code == 201
    assert '"sensor_id":"sensor_001"' in seen
    until(lambda: rows(containers, "sensor_id = 'sensor_001'") == ["sensor_001,25.5"])


def test_tools_and_simulator_find_the_services(containers: Containers) -> None:
    sent = containers.tool(*containers.services["simulator"]["command"], "--limit=50", service="simulator")
    dead = containers.tool("dead-letters", "list")

    assert "50" in sent
    until(lambda: len(rows(containers, "sensor_id = 'greensboro'")) == 50)
    assert "0 of 0" in dead


def test_health_says_which_service_is_gone(containers: Containers) -> None:
    while_up = {service: containers.is_healthy(service) for service in ("mosquitto", "bridge", "http_api")}

    codes = {service: containers.end(service) for service in ("http_api", "bridge")}

    assert while_up == {"mosquitto": True, "bridge": True, "http_api": True}
    assert codes == {"http_api": 0, "bridge": 0}
    assert not containers.is_healthy("http_api")
    assert not containers.is_healthy("bridge")
