"""``requirements/system.sh`` on machines of every kind, played by stand-ins that write down how they were called."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "requirements" / "system.sh"


class Machine:
    """One with the given programs and no others."""

    def __init__(self, directory: Path, *programs: str) -> None:
        self.bin = directory / "bin"
        self.calls_file = directory / "calls"
        self.bin.mkdir()
        for name in ("env", "id"):
            (self.bin / name).symlink_to(shutil.which(name) or name)
        for name in programs:
            stand_in = self.bin / name
            stand_in.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls_file}\n[ {name} != sudo ] || "$@"\n')
            stand_in.chmod(0o755)
        # This machine's own Mosquitto must not be found.
        self.script = directory / "system.sh"
        self.script.write_text(SCRIPT.read_text().replace(":/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin", ""))

    def install(self, *more: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", self.script, python, *more],
            env={"PATH": str(self.bin)},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        calls = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [call for call in calls if not call.startswith("sudo")]


def test_nothing_happens_where_nothing_is_missing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "mosquitto", "mosquitto_pub", "curl", "openssl", "apt-get")

    done = machine.install()

    assert (done.returncode, done.stdout, done.stderr, machine.calls()) == (0, "", "", [])


def test_debian_gets_mosquitto_without_its_service_on_our_port(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "apt-get", "systemctl", "sudo")

    done = machine.install()

    assert done.returncode == 0, done.stderr
    assert machine.calls() == [
        "apt-get update -qq",
        "apt-get install -qq -y --no-install-recommends mosquitto mosquitto-clients curl openssl",
        "systemctl disable --quiet --now mosquitto",
    ]


def test_a_mosquitto_that_was_there_keeps_its_service(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "mosquitto", "curl", "openssl", "apt-get", "systemctl", "sudo")

    machine.install()

    assert machine.calls() == [
        "apt-get update -qq",
        "apt-get install -qq -y --no-install-recommends mosquitto-clients",
    ]


def test_what_else_is_wanted_is_installed_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "mosquitto", "mosquitto_pub", "curl", "openssl", "apt-get", "sudo")

    machine.install("strace:strace", "curl:curl")

    assert machine.calls()[1:] == ["apt-get install -qq -y --no-install-recommends strace"]


def test_debian_without_systemd_and_python_gets_all(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "apt-get", "sudo")

    done = machine.install(python="")

    assert done.returncode == 0, done.stderr
    assert machine.calls()[1].endswith(" python3 python3-venv mosquitto mosquitto-clients curl openssl")


def test_macos_gets_it_by_brew(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "brew")

    machine.install()

    assert machine.calls() == ["brew install mosquitto"]


def test_another_system_is_told_what_to_install(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    done = machine.install()

    assert done.returncode == 1
    assert "Please install Python 3.11 or later with venv, and Mosquitto 2" in done.stderr
    assert done.stderr.endswith("Missing here: mosquitto mosquitto-clients curl openssl\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs without sudo")
def test_root_needs_no_sudo(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "apt-get")

    assert machine.install().returncode == 0
