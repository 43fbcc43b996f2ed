"""What a start lays claim to: the data directory, by locks that no crash leaves behind, and the ports."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sensorflow.settings import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sensorflow.settings import UpSettings

_LEFTOVER_TIMEOUT_S = 12.0  # they have 10 s to end
_POLL_S = 0.05


class ClaimError(Exception):
    """Somebody else has it; the message says what, and by which setting to take another."""


@contextmanager
def data_directory(path: Path) -> Iterator[int]:
    """Hold ``path`` for one supervisor.

    Yields a file descriptor for the children to hold: when a supervisor was killed, the next start waits for them.

    Raises:
        ClaimError: Another supervisor is running, or an earlier one's children have not ended.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    supervisor, children = (
        os.open(path / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("up.lock", "children.lock")
    )
    try:
        if not _try_lock(supervisor):
            raise ClaimError(f"another `sensorflow up` is running on {path}; give this one a --data-dir of its own")
        deadline = time.monotonic() + _LEFTOVER_TIMEOUT_S
        while not _try_lock(children):
            if time.monotonic() > deadline:
                raise ClaimError(
                    f"processes of an earlier `sensorflow up` on {path} have not ended; "
                    f"`lsof {path / 'children.lock'}` shows them"
                )
            time.sleep(_POLL_S)
        yield children
    finally:
        os.close(supervisor)
        os.close(children)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_ports(settings: UpSettings) -> None:
    """Let the start go on if every port is free.

    Raises:
        ClaimError: One is not, or two are the same.
    """
    wanted = [
        (settings.http_host, "HTTP_HOST", settings.http_port, "HTTP_PORT", ", --http-port"),
        (settings.mqtt_host, "MQTT_HOST", settings.mqtt_port, "MQTT_PORT", ", --mqtt-port"),
        (settings.store_host, "STORE_HOST", settings.influx_port, "INFLUX_PORT", ", --influx-port"),
    ]
    if settings.mqtt_services_port is not None:
        wanted.append((LOOPBACK, "the loopback", settings.mqtt_services_port, "MQTT_SERVICES_PORT", ""))
    taken: dict[int, str] = {}
    for host, host_setting, port, setting, flag in wanted:
        if port in taken:
            raise ClaimError(f"port {port} ({setting}{flag}) is {taken[port]}'s as well")
        taken[port] = setting
        _check_free(host, host_setting, port, f"({setting}{flag})")


def _check_free(host: str, host_setting: str, port: int, origin: str) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # A port whose last connections linger is free; one that somebody listens on is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ClaimError(f"port {port} {origin} is taken by another program") from error
        if error.errno == errno.EACCES:
            raise ClaimError(f"port {port} {origin} may not be opened by this user: {error.strerror}") from error
        raise ClaimError(f"{host_setting} {host!r} is no address of this machine: {error.strerror}") from error
