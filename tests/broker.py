"""A real Mosquitto with the shipped configuration and access rules, for tests."""

import signal
import socket
import subprocess
import time
from pathlib import Path

from sensorflow.up import broker

USERS = ("bridge", "http_api", "operator", "device", "sensor_007")


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Broker:
    """Mosquitto on a port of its own, which it keeps; so do its files, from start to start.

    ``passwords`` holds the services' users, ``device``, and ``sensor_007``, a device with a user of its own.
    """

    host = "127.0.0.1"

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.passwords = {user: f"{user} enters by this word" for user in USERS}
        self.log = directory.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        broker.prepare(directory, [broker.Listener(self.host, port)], self.passwords)

    def start(self) -> None:
        """Return once it accepts connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(broker.command(), cwd=self.directory, stderr=log)
        deadline = time.monotonic() + 5
        while not self._is_listening():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mosquitto did not start:\n{self.log.read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it as ``sensorflow up`` does: it saves its sessions and queues."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def _is_listening(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True
