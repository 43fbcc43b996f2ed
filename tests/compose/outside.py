"""What runs in the containers of compose.yaml, run outside: its commands and environments, in one directory."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from sensorflow.settings import is_setting
from tests.broker import free_port
from tests.compose.stack import ROOT, fixed, load, mounts


class Outside:
    """The containers' paths lie below ``directory``, their names are 127.0.0.1, their ports are others."""

    def __init__(self, directory: Path, *, stack: str = "plain") -> None:
        self.directory = directory
        self.services: dict[str, Any] = load(stack)["services"]
        self.ports = {inside: free_port() for inside in (1883, 1884, 8000, 8181, 8883)}

    def environment(self, service: str) -> dict[str, str]:
        """What compose gives the service where nothing is set."""
        given = {
            name: self._reach(self._place(value, service)) for name, value in fixed(self.services[service]).items()
        }
        return without_settings() | given

    def command(self, service: str) -> list[str]:
        """What its container starts."""
        return [self._place(part, service) for part in self.services[service]["command"]]

    def health_check(self, service: str) -> list[str]:
        """Its health check, as Docker would run it."""
        kind, *command = [self._place(part, service) for part in self.services[service]["healthcheck"]["test"]]
        return ["sh", "-c", *command] if kind == "CMD-SHELL" else command

    def initialize(self) -> str:
        """Run ``init`` as its container does; what it prints. The broker's ports are then those of here."""
        done = subprocess.run(
            [sys.executable, "-m", "sensorflow.cli", *self.command("init")],
            cwd=self.directory,
            env=self.environment("init"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        listener = self.broker_directory / "conf.d/listener.conf"
        here = re.sub(
            r"listener (\d+)", lambda port: f"listener {self.ports[int(port[1])]} 127.0.0.1", listener.read_text()
        )
        listener.write_text(here)
        return done.stdout

    @property
    def broker_directory(self) -> Path:
        """What its volume holds, and where it is started."""
        return self.directory / "data/mosquitto"

    def secret(self, service: str, name: str) -> str:
        """One of the files that ``init`` has written."""
        return (self.directory / "secrets" / service / name).read_text()

    def _place(self, text: str, service: str) -> str:
        """Paths and ports of the container as they are here."""
        for target, (source, _) in mounts(self.services[service]).items():
            if source.startswith("./"):
                text = text.replace(target, str(ROOT / source))
            elif source.endswith("_secrets"):
                text = text.replace("/run/sensorflow", f"/secrets/{source.removesuffix('_secrets')}")
        text = re.sub("^(?=/(data|secrets|spool))", str(self.directory), text)
        return re.sub(r"(?<!\d)(1883|1884|8000|8181)(?!\d)", lambda port: str(self.ports[int(port[0])]), text)

    def _reach(self, text: str) -> str:
        """Names of other containers, and all of one's own addresses, as they are here."""
        names = "|".join(self.services)
        return re.sub(rf"^(http://)?(?:{names}|0\.0\.0\.0)(?=:|$)", r"\g<1>127.0.0.1", text)


def without_settings() -> dict[str, str]:
    """This process's environment but for our settings, and with the places where Mosquitto's programs lie."""
    inherited = {name: value for name, value in os.environ.items() if not is_setting(name)}
    return inherited | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"}
