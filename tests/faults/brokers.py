"""What a broker costs that is restarted, or killed: R2, R3, R4."""

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sensorflow.up.services import broker_directory
from tests.e2e.system import System
from tests.faults.board import Board
from tests.faults.findings import look, settle_after
from tests.faults.judge import judge
from tests.faults.machine import mosquitto_version
from tests.faults.oracle import FEED_INTERVAL_S, Oracle, share
from tests.faults.reading import Reading, Sensors
from tests.faults.running import board_of, device_of, running, until_bridge_hears
from tests.faults.trial import Outcome, trial
from tests.waiting import until

SENSORS = 10
BOARDS = 8
IN_FLIGHT = 200
KEEP_UP_S = 60.0  # a slow machine takes as long for what is fed at once
SEED = 2


def an_hour_ago_us() -> int:
    return time.time_ns() // 1000 - 3_600_000_000


def paced(sensors: Sensors, count: int, *, per_s: int) -> Iterator[list[Reading]]:
    """Lists for a feed: that many readings at that rate."""
    at_once = max(1, int(per_s * FEED_INTERVAL_S))
    return (sensors.make(min(at_once, count - done)) for done in range(0, count, at_once))


def resent(readings: list[Reading]) -> int:
    """How often a device sent something again."""
    return sum(each.sent - 1 for each in readings if each.sent)


@dataclass
class Load:
    """Devices without and with a clock, each at half the rate, and boards."""

    timed: Sensors = field(default_factory=lambda: Sensors("timed", SENSORS, first_us=an_hour_ago_us()))
    untimed: Sensors = field(default_factory=lambda: Sensors("untimed", SENSORS))
    boards: Sensors = field(default_factory=lambda: Sensors("board", BOARDS, first_us=an_hour_ago_us()))
    last: list[Reading] = field(default_factory=list)

    def until_made(self, share: float, of: int) -> None:
        """Wait until the devices have made this share of all their readings."""
        until(lambda: len(self.timed.made) + len(self.untimed.made) >= share * of, 60)

    @property
    def made(self) -> list[Reading]:
        """All of it."""
        return self.timed.made + self.untimed.made + self.boards.made + self.last


@trial("R2", must_hold="0 lost among 0x00; duplicates: 0 with a time, at most the device's re-sends without")
def broker_is_restarted(directory: Path) -> Outcome:
    restarts, messages, per_s = 10, 100_000, 10_000
    chance = random.Random(SEED)  # noqa: S311 - to be repeated by its seed
    load = Load()
    with running(directory, "mosquitto", "store", "bridge") as system:
        device, other = device_of(system, in_flight=IN_FLIGHT), device_of(system, in_flight=IN_FLIGHT)
        with Oracle(device, other) as oracle:
            oracle.feed(device, paced(load.timed, messages // 2, per_s=per_s // 2))
            oracle.feed(other, paced(load.untimed, messages // 2, per_s=per_s // 2))
            for number in range(restarts):
                load.until_made((number + chance.random()) / restarts, messages)
                system.stop("mosquitto")
                system.start("mosquitto")
            oracle.wait(60)
            load.last = settle_after(system, oracle, device)
        findings = look(system)
    found, with_time = judge(load.made, findings.rows), judge(load.timed.made, findings.of(load.timed))
    without, again = found.duplicated - with_time.duplicated, resent(load.untimed.made)
    return Outcome(
        injected=f"{restarts} x SIGTERM and start of the broker",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=f"duplicates: {with_time.duplicated} with a time, {without} without, {again} re-sent; {found.words()}",
        holds=found.is_clean
        and found.lost == with_time.duplicated == 0
        and without <= again
        and findings.is_conserved
        and not findings.buried,
    )


@trial(
    "R3",
    must_hold="201: 0 lost; raw MQTT: at most what was in flight at each kill, counted; 0x10 never becomes 201",
    is_alone=True,
)
def broker_is_killed(directory: Path) -> Outcome:
    kills, messages, per_s = 10, 150_000, 8_000
    chance = random.Random(SEED)  # noqa: S311 - to be repeated by its seed
    load = Load()
    with running(directory, "mosquitto", "store", "bridge", "http_api") as system:
        system.wait_until()
        device, other = device_of(system, in_flight=IN_FLIGHT // 2), device_of(system, in_flight=IN_FLIGHT // 2)
        boards = [board_of(system) for _ in range(BOARDS)]
        with Oracle(device, other, *boards) as oracle:
            oracle.feed(device, paced(load.timed, messages // 2, per_s=per_s // 2))
            oracle.feed(other, paced(load.untimed, messages // 2, per_s=per_s // 2))
            oracle.feed(Shared(boards), paced(load.boards, messages // 25, per_s=per_s // 25))
            for number in range(kills):
                load.until_made((number + chance.random()) / kills, messages)
                load.boards.made.append(_until_bridge_keeps_up(system, number))
                system.kill("mosquitto")
                system.start("mosquitto")
            oracle.wait(60)
            load.last = settle_after(system, oracle, device)
        findings = look(system)
    found, of_boards = judge(load.made, findings.rows), judge(load.boards.made, findings.of(load.boards))
    durable = [each for each in load.boards.made if each.answer == "201"]
    lost_201 = judge(durable, findings.of(load.boards)).lost
    refused = device.refused | other.refused
    answers = sum((board.answers for board in boards), Counter())
    raw = found.lost - of_boards.lost
    return Outcome(
        injected=f"{kills} x kill -9 of the broker, the bridge connected",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=f"201: {lost_201} of {len(durable):,} lost; raw MQTT: {raw} lost, {raw / kills:.1f} a kill at "
        f"{IN_FLIGHT} in flight, PUBACKs refused: {refused or 'none'}; boards: {dict(answers)}; {found.words()}",
        holds=lost_201 == 0 and raw <= IN_FLIGHT * kills and found.foreign == found.wrong == 0 and not findings.buried,
        note="a PUBACK of Mosquitto comes before it writes (docs/decisions/0004), so a killed broker takes along what "
        "the bridge had not yet; a 201 waits for the bridge",
    )


@trial("R4", must_hold="201: 0 lost; raw MQTT: at most what was in flight at each kill, counted")
def broker_is_killed_with_a_backlog(directory: Path) -> Outcome:
    kills, messages = 10, 50_000
    backlog, late = Sensors("backlog", SENSORS), Sensors("late", SENSORS)
    on_disk = Sensors("board", BOARDS, first_us=an_hour_ago_us())
    with running(directory, "mosquitto", "store", "bridge", "http_api") as system:
        system.wait_until()
        device, boards = device_of(system, in_flight=IN_FLIGHT), [board_of(system) for _ in range(BOARDS)]
        with Oracle(device, *boards) as oracle:
            for board, some in share(on_disk.make(400), boards):
                oracle.offer(board, some)
            oracle.wait()
            system.kill("bridge")
            for _ in range(kills):
                oracle.offer(device, backlog.make(messages // kills))
                oracle.wait()
                _until_saved(system)
                oracle.offer(device, late.make(IN_FLIGHT))
                oracle.wait()
                system.kill("mosquitto")
                system.start("mosquitto")
            system.start("bridge")
            until_bridge_hears(system)
            last = settle_after(system, oracle, device)
        findings = look(system)
    found = judge(backlog.made + late.made + on_disk.made + last, findings.rows)
    durable = [each for each in on_disk.made if each.answer == "201"]
    lost_201, lost_saved = judge(durable, findings.of(on_disk)).lost, judge(backlog.made, findings.of(backlog)).lost
    unsaved = found.lost - lost_201 - lost_saved
    return Outcome(
        injected=f"{kills} x kill -9 of the broker, the bridge away, {messages:,} waiting",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=f"201: {lost_201} of {len(durable)} lost; of what waited: {lost_saved}; of {IN_FLIGHT} acknowledged "
        f"just before each kill: {unsaved / kills:.0f}; {found.words()}",
        holds=lost_201 == lost_saved == 0
        and len(durable) > 0
        and unsaved <= IN_FLIGHT * kills
        and found.wrong == found.foreign == 0
        and not findings.buried,
        note=f"Mosquitto {mosquitto_version()} writes its queue once a second and acknowledges before; "
        f"of {kills * IN_FLIGHT:,} messages within that second {unsaved:,} were gone",
    )


def _until_saved(system: System) -> None:
    """Wait until Mosquitto, which does one thing at a time, has written its file after the last PUBACK."""
    file, now_ns = broker_directory(system.settings) / "mosquitto.db", time.time_ns()
    until(lambda: file.exists() and file.stat().st_mtime_ns > now_ns)


def _until_bridge_keeps_up(system: System, number: int) -> Reading:
    """Wait until a reading is on the bridge's disk at once, and so all that was sent before it; that reading."""
    reading = Reading("board-asked", number, time_us=time.time_ns() // 1000)
    body = json.loads(reading.payload(sensor_id=reading.sensor_id))
    until(lambda: system.post(reading.kind, body).status_code == 201, KEEP_UP_S)
    reading.sent, reading.answer = 1, "201"
    return reading


class Shared:
    """One sender that hands each sensor's readings to the same one of some boards, so that they stay in order."""

    def __init__(self, boards: list[Board]) -> None:
        self._boards = boards

    def offer(self, readings: Iterable[Reading]) -> None:
        for each in readings:
            self._boards[int(each.sensor_id.rpartition("-")[2]) % len(self._boards)].offer([each])

    @property
    def is_idle(self) -> bool:
        return all(board.is_idle for board in self._boards)

    async def run(self) -> None:
        """The boards run by themselves."""
