"""Secrets: made once, kept in files that only their owner may read, and Mosquitto's password file.

What the environment or ``.env`` gives wins and is never written here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sensorflow.settings import SECRETS, CompleteSettings, UpSettings, kept_file, read_env_file

if TYPE_CHECKING:
    from collections.abc import Mapping

# mosquitto_passwd's own numbers. Few iterations, since Mosquitto repeats them at each connect; our passwords hold 128
# random bits, which no number of guesses reaches.
_ITERATIONS = 101
_SALT_BYTES = 12


_KEPT_NOTE = "# Made by `sensorflow up` or `init`; the environment and .env win over it. Keep it secret, and keep it.\n"


def complete(settings: UpSettings) -> CompleteSettings:
    """Make what was not given, and keep it, with where the parts listen, for the next start and for the tools."""
    made = {
        name: _make(name)
        for name in CompleteSettings.model_fields
        if name.upper() in SECRETS and getattr(settings, name) is None
    }
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = kept_file(settings.data_dir)
    lines = read_env_file(kept) | {name.upper(): value for name, value in made.items()} | _addresses(settings)
    write_private(kept, _KEPT_NOTE + "".join(f"{name}={value}\n" for name, value in sorted(lines.items())))
    return CompleteSettings.model_validate(settings.model_dump() | made)


def _make(name: str) -> str:
    # Hexadecimal: 128 bits that need no quoting anywhere, and can by no chance spell "secret" or "todo".
    return f"apiv3_{secrets.token_hex(32)}" if name == "influx_token" else secrets.token_hex(16)


def _addresses(settings: UpSettings) -> dict[str, str]:
    return {
        "HTTP_HOST": reachable(settings.http_host),
        "HTTP_PORT": str(settings.http_port),
        "INFLUX_DATABASE": settings.influx_database,
        "INFLUX_HOST": influx_url(settings),
        "INFLUX_PORT": str(settings.influx_port),
        "MQTT_HOST": reachable(settings.mqtt_host),
        "MQTT_PORT": str(settings.mqtt_port),
        "MQTT_SERVICES_PORT": str(settings.mqtt_services_port or ""),
    }


def influx_url(settings: UpSettings) -> str:
    """Where this machine reaches the embedded store."""
    return f"http://{bracketed(reachable(settings.store_host))}:{settings.influx_port}"


def reachable(host: str) -> str:
    """Where this machine reaches what listens on ``host``; that it listens to everybody must be asked for each time."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # no address to listen on: a key


def bracketed(host: str) -> str:
    """``host`` as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def password_file(passwords: Mapping[str, str | None], known: str = "") -> str:
    """Mosquitto's password file, one ``user:$7$iterations$salt$hash`` a line: PBKDF2 with HMAC-SHA512.

    ``known`` is the file as it is; its users that are not in ``passwords`` stay, and one whose password is None goes.
    """
    ours = [_password_line(user, password) for user, password in passwords.items() if password is not None]
    others = [line for line in known.splitlines() if line and line.partition(":")[0] not in passwords]
    return "".join(f"{line}\n" for line in ours + others)


def _password_line(user: str, password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"{user}:$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def write_private(path: Path, text: str, *, mode: int = 0o600, is_durable: bool = True) -> None:
    """Write a file for its owner alone, unless ``mode`` says otherwise, whole or not at all, and durably.

    What root writes belongs to who had the file or has the directory: a service under another user shall read it.
    """
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600 from the start
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            _give(file.fileno(), path)
            os.fchmod(file.fileno(), mode)
            if is_durable:
                os.fsync(file.fileno())
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise
    if not is_durable:
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def give_to_owner(path: Path) -> None:
    """Where root has made this file in somebody else's directory, it becomes theirs."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        _give(descriptor, path)
    finally:
        os.close(descriptor)


def _give(descriptor: int, path: Path) -> None:
    if os.geteuid() != 0:
        return
    known = [each.stat() for each in (path, path.parent) if each.exists()]
    owner = next((each for each in known if each.st_uid != 0), known[0])
    new = os.fstat(descriptor)
    if (owner.st_uid, owner.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
