"""A device with a password of its own that wants what is not its own: R24.

It writes in other names, listens to others, and calls itself by the bridge's client id, which nobody but this trial
could know, while the bridge is there and while readings wait for it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Self
from unittest.mock import patch

import mqtt5

from sensorflow.credentials import password_file
from sensorflow.settings import BridgeSettings, read
from tests.broker import free_port
from tests.e2e.system import System
from tests.faults.device import Device
from tests.faults.findings import look, settle, stored
from tests.faults.intruder import NOT_AUTHORIZED, Intruder
from tests.faults.judge import Judgement, judge
from tests.faults.oracle import Oracle
from tests.faults.reading import Reading, Sensors
from tests.faults.running import until_bridge_hears
from tests.faults.trial import Outcome, trial
from tests.waiting import until

VICTIM, THIEF = "victim-0", "thief-0"
PASSWORDS = {VICTIM: "the word of the victim", THIEF: "the word of the thief"}
MESSAGES = 50  # of the victim, each time
SENSORS = "sensors/victim-0/telemetry"
TOPICS = (
    "receipts/http_api-0",
    "live",
    "status/bridge",
    "status/http_api",
    "dead_letters/bad_json",
    "$SYS/broker/load",
)
FILTERS = (
    "#",
    "+/+/+",
    "sensors/#",
    "receipts/#",
    "live",
    "status/#",
    "dead_letters/#",
    "$SYS/#",
    "$share/g/#",
    "$share/g/sensors/#",
)
GUESSES = ("bridge", "http_api", "bridge-0", "bridge-0123456789abcdef")


@dataclass(slots=True)
class Damage:
    """What an intruder has achieved.

    Args:
        published: Messages on topics that are not its own and were not refused with 0x87.
        read: Messages that reached it.
        stolen: Sessions that the broker gave it though they were another's.
        thrown_out: How often the bridge lost its connection to it.
    """

    published: int = 0
    read: int = 0
    stolen: int = 0
    thrown_out: int = 0

    def __str__(self) -> str:
        return (
            f"{self.published} published, {self.read} read, {self.stolen} sessions stolen, "
            f"bridge thrown out {self.thrown_out} x"
        )


@trial("R24", must_hold="0x87, 0 rows, 0 read, 0 stolen, 0 destroyed")
def device_wants_what_is_not_its_own(directory: Path) -> Outcome:
    own, own_found = intrude_with_a_user_of_its_own(directory / "own")
    shared, shared_found, destroyed = intrude_with_the_shared_user(directory / "shared")
    damages, founds = (own, shared), (own_found, shared_found)
    return Outcome(
        injected="a device as an intruder, once with a user of its own and once with the shared user",
        offered=sum(found.offered for found in founds),
        accepted=sum(found.accepted for found in founds),
        lost=sum(found.lost for found in founds),
        duplicated=sum(found.duplicated for found in founds),
        measured=f"own user: {own}; shared user: {shared}; {sum(found.foreign for found in founds)} forged rows",
        holds=all(damage == Damage() for damage in damages) and all(found.holds for found in founds),
        note=(
            f"with the shared user, whoever knew the bridge's secret client id destroyed {destroyed} of {MESSAGES} "
            "waiting readings: Mosquitto ties client ids to users only where each device has its own "
            "(MQTT_SHARED_DEVICE=false with MQTT_SERVICES_PORT, and compose)"
        ),
    )


def intrude_with_a_user_of_its_own(directory: Path, *, is_protected: bool = True) -> tuple[Damage, Judgement]:
    """The services have their listener, each device its user, and the intruder knows even the bridge's client id."""
    with prepared(directory, MQTT_SHARED_DEVICE="false", MQTT_SERVICES_PORT=str(free_port())) as system:
        if not is_protected:
            disarm(system)
        start(system)
        with Intrusion(system, THIEF, PASSWORDS[THIEF], (*GUESSES, real_client_id(system))) as intrusion:
            return intrusion.run((SENSORS, *TOPICS)), intrusion.judge()


def intrude_with_the_shared_user(directory: Path) -> tuple[Damage, Judgement, int]:
    """The quick start: one listener, and a user for all devices, who may write for each of them.

    Returns:
        What it achieved by guessing; and what it would destroy if it knew the bridge's client id.
    """
    with prepared(directory) as system:
        start(system)
        password = system.settings.mqtt_device_password.get_secret_value()
        with Intrusion(system, "device", password, GUESSES) as intrusion:
            damage, found = intrusion.run(TOPICS), intrusion.judge()
            return damage, found, intrusion.destroys_by(real_client_id(system))


class Intrusion:
    """All that one user tries on a running system, while the victim sends its readings."""

    def __init__(self, system: System, username: str, password: str, client_ids: tuple[str, ...]) -> None:
        self._system, self._username, self._password = system, username, password
        self._client_ids = client_ids
        self._victims = Sensors("victim", 1)
        self._victim = Device(system.settings.mqtt_port, VICTIM, PASSWORDS[VICTIM])
        self._oracle = Oracle(self._victim)
        self._own: list[Reading] = []
        self._damage = Damage()

    def __enter__(self) -> Self:
        self._oracle.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._oracle.__exit__(None, None, None)

    def run(self, topics: tuple[str, ...]) -> Damage:
        """Listen, take over, write; and once more take over while the bridge is away."""
        self._listen()
        self._take_over()
        self._send(1)  # accepted once the bridge has a session, if it was thrown out
        self._damage.thrown_out = self._system.log("bridge").count("trying again")
        with self._without_bridge():
            self._send(MESSAGES)
            self._take_over()
        self._write(topics)
        return self._damage

    def destroys_by(self, client_id: str) -> int:
        """How many waiting readings are gone once it was there by this name."""
        before = self.judge().lost
        with self._without_bridge():
            self._send(MESSAGES)
            self._connect(client_id).leave()
        return self.judge().lost - before

    def judge(self) -> Judgement:
        """Compare what was accepted with what is there, once one more reading has come after all that waited."""
        last = float(self._send(1)[0].number)
        until(lambda: any(row.values[0] == last for row in stored(self._system, self._victims.made[-1])))
        settle(self._system)
        findings = look(self._system)
        return judge(self._victims.made + self._own, findings.rows + findings.buried)

    def _listen(self) -> None:
        with self._connect("spy") as spy:
            for topic_filter in FILTERS:
                spy.subscribe(topic_filter)
            self._send(MESSAGES)
            spy.wait()
            self._damage.read += len(spy.received)

    def _take_over(self) -> None:
        """By each client id, first to keep the session, then to end it."""
        for clean_start, client_id in product((False, True), self._client_ids):
            with self._connect(client_id, clean_start=clean_start) as thief:
                thief.wait()
                self._damage.stolen += thief.has_session
                self._damage.read += len(thief.received)

    def _write(self, topics: tuple[str, ...]) -> None:
        """In other names, by message, by retained message and by last will; and once in its own, which it may."""
        forged = Reading(VICTIM, 1_000_000).payload()
        for topic in topics:
            with self._connect("forger") as forger:
                codes = [forger.publish(topic, forged, retain=retain) for retain in (False, True)]
            self._damage.published += sum(code != NOT_AUTHORIZED for code in codes)
            self._connect("forger", will=mqtt5.Will(topic, payload=forged, qos=mqtt5.QoS.AT_LEAST_ONCE)).drop()
        with self._connect("honest") as device:
            own = Reading(THIEF, 0)
            code = device.publish(own.topic, own.payload())
        assert code == 0, f"it may not even write in its own name: 0x{code:02x}"
        own.answer = "0x00"
        self._own.append(own)

    def _connect(self, client_id: str, *, clean_start: bool = True, will: mqtt5.Will | None = None) -> Intruder:
        return Intruder(
            self._system.settings.mqtt_port,
            self._username,
            self._password,
            client_id,
            clean_start=clean_start,
            will=will,
        )

    def _send(self, count: int) -> list[Reading]:
        """Have the victim send, and wait until the broker has all of it."""
        readings = self._victims.make(count)
        self._oracle.offer(self._victim, readings)
        self._oracle.wait()
        return readings

    @contextmanager
    def _without_bridge(self) -> Iterator[None]:
        self._system.stop("bridge")
        yield
        self._system.start("bridge")
        until_bridge_hears(self._system)


@contextmanager
def prepared(directory: Path, **settings: str) -> Iterator[System]:
    """A system with these settings of `sensorflow up`, and two devices that have users of their own."""
    directory.mkdir()
    with patch.dict(os.environ, settings):
        system = System(directory)
    passwords = broker_file(system, "passwords")
    passwords.write_text(password_file(PASSWORDS, passwords.read_text()))
    try:
        yield system
    finally:
        system.stop_all()


def start(system: System) -> None:
    """All but http_api, which has no part in this."""
    system.start("mosquitto", "store", "bridge")
    until_bridge_hears(system)


def disarm(system: System) -> None:
    """What the broker would be without our protection: all may do all, and be called as they like."""
    broker_file(system, "acl").write_text("pattern readwrite #\n")
    listener = broker_file(system, "conf.d/listener.conf")
    listener.write_text(listener.read_text().replace("use_username_as_clientid true\n", ""))


def broker_file(system: System, name: str) -> Path:
    return system.settings.data_dir / "mosquitto" / name


def real_client_id(system: System) -> str:
    """The bridge's client id, which follows from its password."""
    password = system.settings.mqtt_password_bridge.get_secret_value()
    return read(BridgeSettings, mqtt_password=password, influx_token="a token it needs not").stable_client_id
