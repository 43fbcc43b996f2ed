"""The Mosquitto that ``sensorflow up`` starts: the shipped configuration, and beside it what differs by place.

Mosquitto is started in its own directory, to which all paths of ``mosquitto.conf`` are relative.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sensorflow.credentials import password_file, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent
# Inside an installed package, else in the source tree.
_SHIPPED = next(path for path in (_HERE.parent / "mosquitto", _HERE.parents[1] / "mosquitto") if path.is_dir())
# Debian keeps it where only root's PATH leads, Homebrew where only its users' does.
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def command() -> list[str]:
    """What starts Mosquitto.

    Raises:
        FileNotFoundError: It is not installed; the message says how to.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SBIN))
    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise FileNotFoundError(
            "mosquitto is not installed. Debian, Ubuntu: apt-get install mosquitto. macOS: brew install mosquitto. "
            "Otherwise: https://mosquitto.org/download"
        )
    return [program, "-c", str(_SHIPPED / "mosquitto.conf")]


def prepare(directory: Path, host: str, port: int, passwords: Mapping[str, str | None]) -> None:
    """Write what Mosquitto reads in ``directory``; users that were added there by hand stay.

    An empty ``host`` listens on all addresses that there are; one of our users whose password is None goes.
    """
    (directory / "conf.d").mkdir(parents=True, exist_ok=True)
    # Started as root it would become the user "mosquitto", who cannot write here.
    user = "user root\n" if os.geteuid() == 0 else ""
    write_private(
        directory / "conf.d" / "listener.conf",
        f"# Written at each start; put your own options into another file here.\nlistener {port} {host}".rstrip()
        + f"\n{user}",
    )
    # A copy, because Mosquitto warns of access rules that all may read, and will refuse them.
    write_private(directory / "acl", (_SHIPPED / "acl").read_text())
    known = directory / "passwords"
    write_private(known, password_file(passwords, known.read_text() if known.exists() else ""))
