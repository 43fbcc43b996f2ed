"""``sensorflow up`` as a person starts it: real processes, from the first line to the last."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from sensorflow.settings import is_setting
from sensorflow.up import broker
from tests.broker import free_port

pytestmark = pytest.mark.e2e
READY_TIMEOUT_S = 30
END_TIMEOUT_S = 10
PARTS = ("bridge", "http_api", "store", "ws")
KEY = "0123456789abcdef"


class Up:
    """One ``sensorflow up`` on ports of its own; what it prints goes to files in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {"http": free_port(), "mqtt": free_port(), "influx": free_port()}
        self.out, self.log = directory / "out", directory / "log"

    def start(self, **environment: str) -> None:
        """Return at once."""
        clean = {name: value for name, value in os.environ.items() if not is_setting(name)}
        flags = [word for name, port in self.ports.items() for word in (f"--{name}-port", str(port))]
        with self.out.open("w") as out, self.log.open("w") as log:
            self.process = psutil.Popen(
                [sys.executable, "-P", "-m", "sensorflow.cli", "up", *flags],
                cwd=self.directory,
                env=clean | environment,
                stdout=out,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        self.wait_for(lambda: "Try:" in self.out.read_text() and self.out.read_text().endswith("\n\n"))

    def wait_for(self, condition: Callable[[], object], timeout_s: float = READY_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"not in {timeout_s} s:\n{self.out.read_text()}\n{self.log.read_text()}")
            time.sleep(0.02)

    def child(self, name: str) -> psutil.Process:
        return next(child for child in self.process.children() if name in (child.name(), child.cmdline()[-1]))

    def end(self) -> int:
        """Its exit code, after SIGTERM; nothing may be left."""
        children = self.process.children(recursive=True)
        self.process.terminate()
        code = int(self.process.wait(END_TIMEOUT_S))
        assert [child for child in children if child.is_running()] == []
        return code

    def destroy(self) -> None:
        """Whatever state it is in."""
        if self.process.poll() is None:
            everyone = [*self.process.children(recursive=True), self.process]
            for each in everyone:
                each.kill()
            psutil.wait_procs(everyone, END_TIMEOUT_S)

    def printed(self) -> dict[str, str]:
        """The table: what stands after each name."""
        rows = re.findall(r"^(\S+(?: \S+)*?)  +(\S.*?) *$", self.out.read_text(), re.MULTILINE)
        return dict(rows)

    def post(self, key: str) -> httpx.Response:
        reading = {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5, "sensor_id": "sensor_001"}
        url = f"http://127.0.0.1:{self.ports['http']}/api/v1/temperature_reading"
        return httpx.post(url, json=reading, headers={"X-API-Key": key}, timeout=10)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    supervisor = Up(tmp_path)
    yield supervisor
    supervisor.destroy()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    supervisor = Up(tmp_path_factory.mktemp("up"))
    for name in PARTS:  # directories that happen to be called like our packages
        (supervisor.directory / name).mkdir()
        (supervisor.directory / name / "__init__.py").write_text("raise RuntimeError")
    supervisor.start(INFLUX_TOKEN="apiv3_0123456789", MQTT_PASSWORD_OPERATOR=KEY)
    try:
        supervisor.wait_until_ready()
        yield supervisor
    finally:
        supervisor.destroy()


def test_printed_curl_line_works(running: Up) -> None:
    line = running.out.read_text().split("Try:\n")[1].splitlines()[0]

    words = shlex.split(line)
    headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
    answer = httpx.post(words[1], headers=headers, content=words[words.index("-d") + 1], timeout=10)

    assert words[0] == "curl"
    assert answer.status_code == 201, answer.text
    assert answer.json()["sensor_id"] == "sensor_001"


def test_table_shows_addresses_and_keys_that_are_kept(running: Up) -> None:
    printed = running.printed()
    lines = Path(printed["kept in"]).read_text().splitlines()[1:]
    kept = dict(line.split("=", 1) for line in lines)

    assert printed["HTTP API"] == f"http://127.0.0.1:{running.ports['http']}/api/v1/health"
    assert httpx.get(printed["HTTP API"], timeout=10).json()["status"] == "healthy"
    assert printed["MQTT"] == f"127.0.0.1:{running.ports['mqtt']}"
    assert printed["API_KEY"] == kept["API_KEY"]
    assert printed["API_KEY_WS"] == kept["API_KEY_WS"]
    assert printed["MQTT password"] == kept["MQTT_DEVICE_PASSWORD"]
    assert kept["INFLUX_HOST"] == f"http://127.0.0.1:{running.ports['influx']}"


def test_each_child_knows_its_own_secrets_only(running: Up) -> None:
    secrets = {
        name: {key for key in running.child(name).environ() if is_setting(key) and re.search("KEY|TOKEN|PASSWORD", key)}
        for name in ("mosquitto", "store", "bridge", "http_api")
    }

    assert secrets == {
        "mosquitto": set(),
        "store": {"INFLUX_TOKEN"},
        "bridge": {"INFLUX_TOKEN", "MQTT_PASSWORD"},
        "http_api": {"INFLUX_TOKEN", "MQTT_PASSWORD", "API_KEY", "API_KEY_WS"},
    }


def test_directories_called_like_ours_do_not_get_in_the_way(running: Up) -> None:
    assert all((running.directory / name / "__init__.py").exists() for name in PARTS)
    assert "RuntimeError" not in running.log.read_text()


def test_second_start_on_the_same_data_is_refused_and_the_first_runs_on(running: Up) -> None:
    second = subprocess.run(
        [sys.executable, "-P", "-m", "sensorflow.cli", "up"],
        cwd=running.directory,
        capture_output=True,
        text=True,
        check=False,
    )

    assert second.returncode == 1
    assert second.stderr.strip() == (
        "sensorflow up: another `sensorflow up` is running on data; give this one a --data-dir of its own"
    )
    assert running.post(running.printed()["API_KEY"]).status_code == 201


def test_killed_child_is_said_and_comes_back(running: Up) -> None:
    running.child("bridge").kill()

    running.wait_for(lambda: "bridge ended with signal SIGKILL; starting it again in" in running.log.read_text())
    key = running.printed()["API_KEY"]
    running.wait_for(lambda: running.post(key).status_code == 201)


def test_sigterm_ends_all_and_the_next_start_carries_on_with_another_key(up: Up) -> None:
    up.start()
    up.wait_until_ready()
    first_key = up.printed()["API_KEY"]

    began = time.monotonic()
    code = up.end()

    assert code == 0
    assert time.monotonic() - began < END_TIMEOUT_S
    assert up.log.read_text().splitlines()[-1].endswith("stopped")

    up.start(API_KEY=KEY)
    up.wait_until_ready()

    assert up.post(KEY).status_code == 201
    assert up.post(first_key).status_code == 401


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent was killed")
def test_killed_supervisor_leaves_nothing_and_the_next_start_works(up: Up) -> None:
    up.start()
    up.wait_until_ready()
    children = up.process.children(recursive=True)

    up.process.kill()
    up.process.wait(END_TIMEOUT_S)
    up.start()
    up.wait_until_ready()

    _, left = psutil.wait_procs(children, END_TIMEOUT_S)  # init may take a moment to collect the dead
    assert left == []
    assert up.post(up.printed()["API_KEY"]).status_code == 201


def test_known_faults_of_the_broker_are_one_line_at_the_start(up: Up) -> None:
    program = up.directory / "mosquitto"
    program.write_text(
        "#!/bin/sh\nif [ $1 = -h ]; then echo mosquitto version 2.0.15; exit 3; fi\nexec "
        + shlex.join(broker.command()[:1])
        + ' "$@"\n'
    )
    program.chmod(0o755)

    up.start(PATH=f"{up.directory}:{os.environ['PATH']}")
    up.wait_until_ready()

    (line,) = [line for line in up.log.read_text().splitlines() if "CVE" in line]
    assert "WARNING up        mosquitto 2.0.15: clients can fill its memory" in line
    assert "a client can crash it, CVE-2024-8376 (mended in 2.0.19)" in line


def test_busy_port_stops_the_start_and_is_named(up: Up) -> None:
    with socket.create_server(("127.0.0.1", up.ports["http"])):
        up.start()
        code = up.process.wait(END_TIMEOUT_S)

    assert code == 1
    assert up.log.read_text() == (
        f"sensorflow up: port {up.ports['http']} (HTTP_PORT, --http-port) is taken by another program\n"
    )


def test_kind_that_cannot_be_used_stops_the_start(up: Up) -> None:
    up.start(KINDS="nowhere.py")
    code = up.process.wait(END_TIMEOUT_S)

    assert code == 1
    assert up.log.read_text() == "KINDS: no file 'nowhere.py'\n"


def test_wrong_setting_of_any_service_stops_the_start(up: Up) -> None:
    up.start(RECEIPT_TIMEOUT_S="31")
    code = up.process.wait(END_TIMEOUT_S)

    assert code == 1
    assert up.log.read_text() == "RECEIPT_TIMEOUT_S: Input should be less than or equal to 30, got '31'\n"


def test_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in ("up", "init"):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "sensorflow.cli", command, "--data-dir", "file/data"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 1
        assert done.stderr.startswith(f"sensorflow {command}: ")
        assert "file/data" in done.stderr


def test_init_makes_and_prints_the_keys_and_starts_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "sensorflow.cli", "init"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    kept = (tmp_path / "data" / "sensorflow.env").read_text()
    assert re.search(r"^API_KEY +([0-9a-f]{32})", done.stdout, re.MULTILINE)
    assert "curl" not in done.stdout
    assert re.findall(r"API_KEY=(\S+)", kept)[0] in done.stdout
    assert (tmp_path / "data" / "mosquitto" / "passwords").exists()
