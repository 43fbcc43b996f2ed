"""The README's commands, run as they are printed, beside a running ``sensorflow up``."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.broker import free_port
from tests.e2e.system import ROOT
from tests.waiting import until

pytestmark = pytest.mark.e2e

README = (ROOT / "README.md").read_text()
TRANSLATION = (ROOT / "README.pt-BR.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
# There is no Docker engine where tests run: tests/compose holds what those commands rely on.
BESIDE = [block for block in BLOCKS if "make " not in block and "docker " not in block]


@pytest.fixture
def shell(tmp_path: Path, no_settings: None) -> Iterator["Shell"]:
    running = Shell(tmp_path)
    yield running
    running.stop()


class Shell:
    """A directory that looks like a clone, with everything up in it, on ports of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "examples").symlink_to(ROOT / "examples")
        (directory / ".venv/bin").mkdir(parents=True)
        (directory / ".venv/bin/sensorflow").symlink_to(Path(sys.executable).parent / "sensorflow")
        self.ports = {"8000": free_port(), "1883": free_port()}
        ports = [
            f"--http-port={self.ports['8000']}",
            f"--mqtt-port={self.ports['1883']}",
            f"--influx-port={free_port()}",
        ]
        self._up = subprocess.Popen(
            [".venv/bin/sensorflow", "up", *ports],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        until(self._is_healthy, 30)

    def run(self, block: str) -> str:
        """What a block prints; ports are put in as they are here."""
        for printed, port in self.ports.items():
            block = re.sub(rf"(:|-p ){printed}\b", rf"\g<1>{port}", block)
        load = ". data/sensorflow.env\n"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", load + block],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """As Ctrl-C does."""
        self._up.send_signal(signal.SIGINT)
        self._up.communicate(timeout=15)

    def _is_healthy(self) -> bool:
        assert self._up.poll() is None
        try:
            health = httpx.get(f"http://127.0.0.1:{self.ports['8000']}/api/v1/health").json()
        except httpx.TransportError:
            return False
        return bool(health["status"] == "healthy")


def test_readme_commands_work_as_printed(shell: Shell) -> None:
    posted = shell.run(BESIDE[1])
    shell.run(BESIDE[2])
    until(lambda: "sensor_002" in shell.run(BESIDE[3]))
    shell.run(BESIDE[4])
    page = (shell.directory / "live.html").read_text()
    with connect(re.findall(r'WebSocket\("(.*?)"\)', page)[0]) as browser:
        shell.run(BESIDE[1])
        seen = json.loads(browser.recv(timeout=5))
    shell.run(BESIDE[5].partition("\n.venv/bin/sensorflow query")[0])
    query = BESIDE[5][BESIDE[5].index(".venv/bin/sensorflow query") :]
    until(lambda: "8760" in shell.run(query))

    assert json.loads(posted)["sensor_id"] == "sensor_001"
    assert seen["temperature"] == 25.5
    assert len(BESIDE) == 6, "a new block wants to be run here"


def links(text: str) -> list[str]:
    found = re.findall(r"\]\(([^)#]+)\)", text)
    return [link for link in found if not link.startswith("http") and not link.startswith("README")]


def test_readme_links_lead_somewhere() -> None:
    assert links(README)
    assert [link for link in links(README) if not (ROOT / link).exists()] == []


def test_translation_has_the_same_commands_links_and_tables() -> None:
    def shape(text: str) -> list[str]:
        return re.findall(r"^(#+ |\|(?=.*\|)|\d\. |\* )", text, re.MULTILINE)

    assert re.findall(r"^```sh\n(.*?)^```", TRANSLATION, re.MULTILINE | re.DOTALL) == BLOCKS
    assert links(TRANSLATION) == links(README)
    assert shape(TRANSLATION) == shape(README)
