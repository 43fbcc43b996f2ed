"""Limits of a broker that would lose readings without a word, and versions with known faults. No I/O.

Three views of the same broker: what it tells a client, what its configuration file says, which version it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sensorflow.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sensorflow.mqtt import Limits


class LossyBrokerError(ValueError):
    """The broker's configuration would lose readings; the message says which option, and what it must be."""


MIN_SESSION_S = 86_400  # a night without the bridge, and a morning to notice
MIN_PACKET_BYTES = 135_168  # twice the largest payload, which is as much as the bridge puts into one message, and 4 KiB
MIN_QUEUED_MESSAGES = 100_000
MIN_QUEUED_BYTES = 64 * 2**20
MIN_IN_FLIGHT = 20  # Mosquitto's own default
MAX_AUTOSAVE_S = 60

_UNITS_S = {"h": 3600, "d": 86_400, "w": 604_800, "m": 2_592_000, "y": 31_536_000}


def admit(limits: Limits) -> None:
    """Let the bridge stay with this broker.

    Raises:
        PermanentError: It would lose readings; the message says what, by how much and what to set.
    """
    if complaints := list(of_connection(limits)):
        raise PermanentError(f"this broker would lose readings: {'; '.join(complaints)}")


def of_connection(limits: Limits) -> Iterator[str]:
    """What is wrong with what the broker said when it let us in."""
    kept_s = limits.session_expiry_s
    if kept_s is not None and kept_s < MIN_SESSION_S:
        yield (
            f"it keeps the session for {kept_s:,} s, at least {MIN_SESSION_S:,}: raise its limit of the session expiry "
            "interval, or what comes while the bridge is away is gone"
        )
    if limits.max_qos < 1:
        yield "it takes QoS 0 at most, at least 1: set its maximum QoS to 1 or 2"
    if limits.max_packet_bytes is not None and limits.max_packet_bytes < MIN_PACKET_BYTES:
        size = f"{limits.max_packet_bytes:,} bytes, at least {MIN_PACKET_BYTES:,}"
        yield f"it takes packets of {size}: set max_packet_size"
    if not limits.has_retained:
        yield "it keeps no retained messages, by which the others know how the bridge is: set retain_available true"
    if not limits.has_wildcards:
        yield "it knows no wildcards, and the bridge subscribes to sensors/#: allow wildcard subscriptions"


def of_configuration(options: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a Mosquitto that is started with these options; what a client never gets to know, too."""
    for name, default, is_good, bound, why in _OPTIONS:
        if not is_good(options.get(name, default)):
            yield f"{name} {options.get(name, '(not set)')}, must be {bound}: {why}"


def known_faults(version: str) -> str:
    """What was wrong with this version of Mosquitto, by the text of ``$SYS/broker/version`` or ``mosquitto -h``.

    One line; empty where nothing is known, and for other brokers.
    """
    found = re.search(r"mosquitto version (\d+)\.(\d+)\.(\d+)", version)
    numbers = tuple(map(int, found.groups())) if found else (10**9,)
    faults = [
        f"{fault.text} (mended in {'.'.join(map(str, fault.mended_in))})"
        for fault in _FAULTS
        if numbers < fault.mended_in
    ]
    return f"mosquitto {'.'.join(map(str, numbers))}: {'; '.join(faults)}; {_BACKPORTED}" if faults else ""


_BACKPORTED = "a distribution may have mended it under the same number: Debian's 2.0.11-1.2+deb12u2 has the CVEs"


class _Fault(NamedTuple):
    mended_in: tuple[int, int, int]
    text: str


_FAULTS = (
    _Fault((2, 0, 16), "clients can fill its memory, CVE-2023-0809, CVE-2023-3592, CVE-2023-28366"),
    _Fault((2, 0, 19), "a client can crash it, CVE-2024-8376"),
    _Fault((2, 0, 13), "it delivers more at once than the bridge asks for, which costs the bridge memory"),
)


def _is(value: str) -> Callable[[str], bool]:
    return value.__eq__


def _at_least(least: int, *, or_none: bool = False) -> Callable[[str], bool]:
    """Whether a number is large enough; ``or_none``: 0 stands for no limit. Mosquitto itself refuses what is none."""
    return lambda text: not _NUMBER.fullmatch(text) or int(text) >= least or (or_none and int(text) == 0)


def _saves_in_time(text: str) -> bool:
    return not _NUMBER.fullmatch(text) or 1 <= int(text) <= MAX_AUTOSAVE_S


def _lasts(duration: str) -> bool:
    """Mosquitto's ``2w`` and its like; what it does not know it refuses by itself."""
    found = re.fullmatch(r"(\d{1,9})([hdwmy])", duration)
    return found is None or int(found[1]) * _UNITS_S[found[2]] >= MIN_SESSION_S


_NUMBER = re.compile(r"-?\d{1,18}")
_DROPPED = "beyond it the newest readings are dropped, though each is acknowledged"
# Name, Mosquitto's default, what is good, how that is said, and what is lost otherwise. max_queued_messages 0 means no
# limit, but some releases then keep nothing.
_OPTIONS: tuple[tuple[str, str, Callable[[str], bool], str, str], ...] = (
    ("persistence", "false", _is("true"), "true", "what waits for the bridge is gone when the broker ends"),
    ("allow_anonymous", "false", _is("false"), "false", "anybody may come in"),
    ("autosave_on_changes", "false", _is("false"), "false", "it writes all that waits at each message"),
    ("autosave_interval", "1800", _saves_in_time, f"1 to {MAX_AUTOSAVE_S}", "a killed broker loses that many seconds"),
    ("max_queued_messages", "1000", _at_least(MIN_QUEUED_MESSAGES), f"{MIN_QUEUED_MESSAGES} or more", _DROPPED),
    ("max_queued_bytes", "0", _at_least(MIN_QUEUED_BYTES, or_none=True), f"{MIN_QUEUED_BYTES} or more", _DROPPED),
    ("max_inflight_messages", "20", _at_least(MIN_IN_FLIGHT), f"{MIN_IN_FLIGHT} or more", "readings come one by one"),
    (
        "max_packet_size",
        "0",
        _at_least(MIN_PACKET_BYTES, or_none=True),
        f"{MIN_PACKET_BYTES} or more",
        "a larger message ends its connection",
    ),
    ("retain_available", "true", _is("true"), "true", "nobody learns how the bridge is"),
    ("persistent_client_expiration", "", _lasts, "1d or more", "the bridge's session and what waits in it end sooner"),
)
