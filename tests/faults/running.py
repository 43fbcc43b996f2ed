"""A system that runs for the length of a trial."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.e2e.system import System
from tests.faults.board import Board
from tests.faults.device import Device
from tests.waiting import until


@contextmanager
def running(directory: Path, *names: str, bridge: list[str] | None = None, **settings: object) -> Iterator[System]:
    """These parts of a system, started and connected; ``bridge`` is a script, with arguments, in the place of ours."""
    system = System(directory, **settings)
    if bridge is not None:
        ours = system._services["bridge"]
        system._services["bridge"] = replace(ours, command=[sys.executable, "-P", *bridge])
    try:
        system.start(*names)
        until_bridge_hears(system)
        yield system
    finally:
        system.stop_all()


def until_bridge_hears(system: System) -> None:
    """Wait until the bridge that runs now has its subscription; before, Mosquitto answers 0x10."""
    file = system.settings.data_dir / "bridge-status.json"

    def is_connected() -> bool:
        status = json.loads(file.read_text()) if file.exists() else {}
        return (status.get("state"), status.get("broker")) == ("running", "connected")

    until(is_connected)


def device_of(system: System, *, in_flight: int = 500, retain: bool = False) -> Device:
    """A device with the shared user of the quick start."""
    password = system.settings.mqtt_device_password.get_secret_value()
    return Device(system.settings.mqtt_port, "device", password, in_flight=in_flight, retain=retain)


def board_of(system: System, *, tries: int = 1000) -> Board:
    """A board with the system's key."""
    return Board(system.settings.http_port, system.key, tries=tries)
