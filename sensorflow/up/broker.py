"""The Mosquitto that ``sensorflow up`` starts: the shipped configuration, and beside it what differs by place.

Mosquitto is started in its own directory, to which all paths of ``mosquitto.conf`` are relative.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensorflow import broker_limits
from sensorflow.broker_limits import LossyBrokerError
from sensorflow.credentials import password_file, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HERE = Path(__file__).parent
# Inside an installed package, else in the source tree.
_SHIPPED = next(path for path in (_HERE.parent / "mosquitto", _HERE.parents[1] / "mosquitto") if path.is_dir())
# Debian keeps it where only root's PATH leads, Homebrew where only its users' does.
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_VERSION_TIMEOUT_S = 2.0


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


def known_faults() -> str:
    """What is wrong with the installed version, in one line; empty where nothing is known, or it does not say."""
    try:
        said = subprocess.run(  # noqa: S603 - the program that is about to be started anyway
            [command()[0], "-h"], check=False, capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return ""
    return broker_limits.known_faults(said.stdout)


def check(directory: Path) -> None:
    """Let the start go on if a broker that is started in ``directory`` keeps what it is given.

    Raises:
        LossyBrokerError: Options that were added by hand would lose readings; the message says which.
    """
    if complaints := list(broker_limits.of_configuration(options(directory))):
        raise LossyBrokerError("\n".join(f"{directory / 'conf.d'}: {complaint}" for complaint in complaints))


def options(directory: Path) -> dict[str, str]:
    """What Mosquitto reads when it is started in ``directory``: of an option that is there twice, the last."""
    files = [_SHIPPED / "mosquitto.conf", *sorted((directory / "conf.d").glob("*.conf"))]
    lines = [line.split(maxsplit=1) for file in files for line in file.read_text().splitlines()]
    return {words[0]: words[1].strip() for words in lines if len(words) == 2 and not words[0].startswith("#")}


@dataclass(frozen=True, slots=True)
class Listener:
    """Where Mosquitto listens; an empty ``host`` means all addresses that there are.

    Args:
        names_clients: Each client's id is its user's name, whatever it says, so that none can take another's session;
            whoever shares a user throws the other out (docs/decisions/0002).
    """

    host: str
    port: int
    names_clients: bool = False

    def lines(self) -> str:
        """Its part of a configuration file."""
        names = "use_username_as_clientid true\n" if self.names_clients else ""
        return f"listener {self.port} {self.host}".rstrip() + f"\n{names}"


def prepare(directory: Path, listeners: Sequence[Listener], passwords: Mapping[str, str | None]) -> None:
    """Write what Mosquitto reads in ``directory``; users that were added there by hand stay.

    One of our users whose password is None goes.
    """
    (directory / "conf.d").mkdir(parents=True, exist_ok=True)
    # Started as root it would become the user "mosquitto", who cannot write here.
    user = "user root\n" if os.geteuid() == 0 else ""
    write_private(
        directory / "conf.d" / "listener.conf",
        "# Written at each start; put your own options into another file here.\n"
        + "".join(each.lines() for each in listeners)
        + user,
    )
    # A copy, because Mosquitto warns of access rules that all may read, and will refuse them.
    write_private(directory / "acl", (_SHIPPED / "acl").read_text())
    known = directory / "passwords"
    write_private(known, password_file(passwords, known.read_text() if known.exists() else ""))
