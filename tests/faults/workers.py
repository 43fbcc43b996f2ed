"""Several bridges that share the load, each with its session and its spool: one is killed, two are taken out: R26.

The product starts one bridge; these are ``variant_worker.py``. The broker's access rules are the shipped ones.
"""

import copy
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

from tests.e2e.system import System
from tests.faults.device import Device
from tests.faults.findings import Findings, counters, dead_lettered, settle, spooled, stored
from tests.faults.intruder import Intruder
from tests.faults.intrusion import real_client_id
from tests.faults.judge import judge
from tests.faults.kills import mixed
from tests.faults.machine import mosquitto_version
from tests.faults.oracle import Oracle
from tests.faults.reading import Reading, Sensors
from tests.faults.running import device_of, until_bridge_hears
from tests.faults.trial import Outcome, trial
from tests.waiting import until

VARIANT = Path(__file__).with_name("variant_worker.py")
WORKERS = ("bridge-0", "bridge-1", "bridge-2")
STAYS, *LEAVE = WORKERS
MESSAGES = 20_000  # at least
AT_ONCE = 12  # readings each 10 ms
BURST = 4_000  # more than may be in flight to all workers together
MOST_REDELIVERY_S = 5.0
STRANDED_S = 3.0  # what one worker has and another would not have by then, it will never have
REDELIVERED = re.compile(r"redelivered (\d+) by ([0-9.]+), ([0-9.]+) s after CONNACK\n")


@dataclass(frozen=True, slots=True)
class Return:
    """A worker that was killed and is back.

    Args:
        redelivered: Messages that the broker had sent it before.
        took_s: From the kill until the first new message was acknowledged, which the broker sends after those.
        of_broker_s: Of this, what was not the start of a process.
    """

    redelivered: int
    took_s: float
    of_broker_s: float


@dataclass(frozen=True, slots=True)
class Left:
    """What the workers that were taken out have left behind: sessions at the broker, readings that are in no store."""

    exit_codes: tuple[int, ...]
    sessions: int
    readings: int

    @property
    def is_nothing(self) -> bool:
        return not any((*self.exit_codes, self.sessions, self.readings))


@dataclass
class Load:
    """Mixed readings for as long as it is not ended, and bursts of one sensor without time."""

    device: Device
    oracle: Oracle
    steady: list[Reading] = field(default_factory=list)
    hot: Sensors = field(default_factory=lambda: Sensors("hot", 1))
    late: Sensors = field(default_factory=lambda: Sensors("late", 1))
    last: list[Reading] = field(default_factory=list)

    def begin(self) -> None:
        """Each is noted before it is sent."""
        self.oracle.feed(self.device, self._noted())

    def burst(self, count: int) -> list[Reading]:
        """Have many sent at once: all workers get readings of one sensor in the same moment."""
        some = self.hot.make(count)
        self.oracle.offer(self.device, some)
        return some

    def end(self, *, least: int) -> None:
        """Send no more than it takes to have sent this many, and wait for the answers."""
        until(lambda: len(self.made) >= least, 60)
        self.oracle.end_feeds()
        self.oracle.wait(60)

    @property
    def made(self) -> list[Reading]:
        """All of it."""
        return self.steady + self.hot.made + self.late.made + self.last

    def _noted(self) -> Iterator[list[Reading]]:
        for batch in mixed(AT_ONCE):
            self.steady += batch
            yield batch


@trial(
    "R26",
    must_hold="kill -9 of one worker: redelivered to the same id in <= 5 s; 3 -> 1: 0 stranded; 0 lost, 0 duplicate",
    is_long=True,
)
def workers_are_killed_and_taken_out(directory: Path) -> Outcome:
    with running_workers(directory) as system, loaded(system) as load:
        returns = [kill(system, name, load) for name in WORKERS]
        left = take_out_all(system, load, least=MESSAGES)
        refused = restart_broker(system, load)
        findings = look_at_all(system)
        spools = [counters(part(system, name)) for name in WORKERS]
    found = judge(load.made, findings.rows + findings.buried)
    slowest = max(returns, key=attrgetter("took_s"))
    again = sum(each.redelivered for each in returns)
    shares, known = ([spool.get(name, 0) for spool in spools] for name in ("readings", "duplicates"))
    return Outcome(
        injected=f"kill -9 of each of {len(WORKERS)} workers in turn, then SIGTERM to {len(LEAVE)}, under load",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=f"{again:,} redelivered to the same id, {sum(known):,} known again, {slowest.took_s:.1f} s after the "
        f"kill at most, {slowest.of_broker_s:.1f} s after CONNACK; {left.readings} readings and {left.sessions} "
        f"sessions left behind; shares {' / '.join(f'{each:,}' for each in shares)}; {found.wrong} wrong values, "
        f"{found.foreign} foreign rows; order is not judged, shared workers do not keep it",
        holds=found.lost == found.duplicated == found.wrong == found.foreign == 0
        and slowest.took_s <= MOST_REDELIVERY_S
        and again > 0
        and left.is_nothing
        and findings.is_conserved
        and not findings.buried,
        note=_words_for(refused),
    )


def lost_by_taking_out(directory: Path, *, ending: str) -> tuple[int, Left]:
    """How many readings are nowhere once all workers but one were ended in this way of ``variant_worker.py``'s."""
    with running_workers(directory, ending) as system, loaded(system) as load:
        left = take_out_all(system, load, least=BURST)
        findings = look_at_all(system)
    return judge(load.made, findings.rows).lost, left


@contextmanager
def running_workers(directory: Path, ending: str = "drained") -> Iterator[System]:
    """Broker, store and workers, all connected."""
    system = System(directory)
    ours = system._services.pop("bridge")
    for number, name in enumerate(WORKERS):
        command = [sys.executable, "-P", str(VARIANT), str(number), ending]
        environment = ours.environment | {"DATA_DIR": str(system.settings.data_dir / name)}
        system._services[name] = replace(ours, name=name, command=command, environment=environment)
    try:
        system.start("mosquitto", "store", *WORKERS)
        for name in WORKERS:
            until_bridge_hears(part(system, name))
        yield system
    finally:
        system.stop_all()


@contextmanager
def loaded(system: System) -> Iterator[Load]:
    """A device that is sending."""
    device = device_of(system)
    with Oracle(device) as oracle:
        load = Load(device, oracle)
        load.begin()
        yield load


def part(system: System, worker: str) -> System:
    """The same system as if this were its one bridge, for what looks into a spool."""
    one = copy.copy(system)
    one.settings = system.settings.model_copy(update={"data_dir": system.settings.data_dir / worker})
    return one


def kill(system: System, worker: str, load: Load) -> Return:
    """Kill one that has work, and start it again with the same id at once."""
    had = counters(part(system, worker)).get("readings", 0)
    load.burst(BURST // 4)
    until(lambda: counters(part(system, worker)).get("readings", 0) > had)
    returns = len(REDELIVERED.findall(system.log(worker)))
    killed_s = time.time()
    system.kill(worker)
    system.start(worker)
    until(lambda: len(REDELIVERED.findall(system.log(worker))) > returns)
    redelivered, at_s, of_broker_s = REDELIVERED.findall(system.log(worker))[-1]
    return Return(int(redelivered), float(at_s) - killed_s, float(of_broker_s))


def take_out_all(system: System, load: Load, *, least: int) -> Left:
    """Take out all but one, end the load, and wait until the one that stays has shipped all of it."""
    exit_codes = tuple(take_out(system, name, load) for name in LEAVE)
    load.end(least=least)
    settle_after_all(system, load)
    sessions = sum(has_session(system, name) for name in LEAVE)
    return Left(exit_codes, sessions, sum(1 for name in LEAVE for _ in spooled(part(system, name))))


def take_out(system: System, worker: str, load: Load) -> int:
    """Tell one to end for good when it has fallen behind; its exit code."""
    system.send_signal(worker, signal.SIGSTOP)
    some = load.burst(BURST)
    until(lambda: all(each.answer for each in some))
    system.send_signal(worker, signal.SIGTERM)
    system.send_signal(worker, signal.SIGCONT)
    return system.stop(worker)


def settle_after_all(system: System, load: Load) -> None:
    """Wait until the worker that stays has shipped all, by sending more.

    The broker gives each member its share in turn, so with one for each worker the one that stays gets one at least,
    after all else. What is with another then stays there.
    """
    load.last = Sensors("last", 1).make(len(WORKERS))
    load.oracle.offer(load.device, load.last)
    load.oracle.wait(60)
    until(lambda: any(stored(system, load.last[0])), 60)
    with suppress(AssertionError):
        until(lambda: _has_all(system, load.last), STRANDED_S)
    settle(part(system, STAYS))


def has_session(system: System, worker: str) -> bool:
    """Whether the broker still keeps something for this worker; it does not any more then."""
    port, password = system.settings.mqtt_port, system.settings.mqtt_password_bridge.get_secret_value()
    with Intruder(port, "bridge", password, client_id(system, worker), clean_start=False) as other:
        return other.has_session


def client_id(system: System, worker: str) -> str:
    return f"{real_client_id(system)}-{worker.rpartition('-')[2]}"


def restart_broker(system: System, load: Load) -> int:
    """Restart it and send something before a worker is back; how many PUBACKs said that nobody is subscribed."""
    refused, before = load.device.refused, load.device.refused.get("0x10", 0)
    late = load.late.make(AT_ONCE)
    system.send_signal(STAYS, signal.SIGSTOP)
    try:
        system.stop("mosquitto")
        system.start("mosquitto")
        load.oracle.offer(load.device, late)
        until(lambda: refused.get("0x10", 0) >= before + len(late) or load.oracle.is_idle)
    finally:
        system.send_signal(STAYS, signal.SIGCONT)
    load.oracle.wait()
    until(lambda: _has_all(system, late))
    settle(part(system, STAYS))
    return refused.get("0x10", 0) - before


def _has_all(system: System, readings: list[Reading]) -> bool:
    """Whether the store has as many rows of the one sensor that these are of."""
    return len(list(stored(system, readings[0]))) == len(readings)


def look_at_all(system: System) -> Findings:
    """The store, and the spools and dead letters of all workers."""
    parts = [part(system, name) for name in WORKERS]
    rows = {(row.sensor_id, row.time_us): row for one in parts for row in spooled(one)}
    rows |= {(row.sensor_id, row.time_us): row for row in stored(system)}
    buried = [letter for one in parts for letter in dead_lettered(one)]
    counts = [counters(one) for one in parts]
    counted = sum(each.get("readings", 0) + each.get("dead_letters", 0) for each in counts)
    return Findings(list(rows.values()), buried, counted)


def _words_for(refused: int) -> str:
    if not refused:
        return ""
    return (
        f"after a clean restart Mosquitto {mosquitto_version()} has the workers' sessions and what waits in them, but "
        f"not their shared subscriptions: until a worker was back PUBACKs said 0x10 ({refused:,} of them), so that a "
        "device which reads them loses nothing, and one that cannot (MQTT 3.1.1) loses what it sent"
    )
