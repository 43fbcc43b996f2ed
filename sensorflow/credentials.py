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

if TYPE_CHECKING:
    from collections.abc import Mapping

# mosquitto_passwd's own numbers. Few iterations, since Mosquitto repeats them at each connect; our passwords hold 128
# random bits, which no number of guesses reaches.
_ITERATIONS = 101
_SALT_BYTES = 12


def password_file(passwords: Mapping[str, str], known: str = "") -> str:
    """Mosquitto's password file, one ``user:$7$iterations$salt$hash`` a line: PBKDF2 with HMAC-SHA512.

    ``known`` is the file as it is; its users that are not in ``passwords`` stay.
    """
    others = [line for line in known.splitlines() if line and line.partition(":")[0] not in passwords]
    return "".join(f"{line}\n" for line in [*map(_password_line, passwords.items()), *others])


def _password_line(credential: tuple[str, str]) -> str:
    user, password = credential
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"{user}:$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone (mode 0600), whole or not at all, and durably."""
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600 from the start
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
