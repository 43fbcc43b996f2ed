"""Trials of payloads: R13 (fuzz), R14 (poison), R21 (hostile JSON)."""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.e2e.system import System
from tests.faults import hostile
from tests.faults.board import ACCEPTED
from tests.faults.findings import settle_after, spool_of
from tests.faults.oracle import Oracle
from tests.faults.reading import Reading
from tests.faults.running import board_of, device_of, running
from tests.faults.trial import Outcome, trial
from tests.waiting import until

SEED = 13
BY_MQTT, BY_HTTP = 96_000, 4_000
VALID_EVERY = 10
BOARDS = 100  # each waits a moment after a refusal


@dataclass(slots=True, eq=False)
class Message(Reading):
    """A payload as it stands, from a sensor that sends nothing else.

    Args:
        rows: What it shall become; None where nobody can say: then it is one row or one dead letter.
    """

    raw: bytes = b""
    rows: int | None = 0
    dead_letters: int | None = 1

    def payload(self, **_: object) -> bytes:
        """Whatever it is."""
        return self.raw


@dataclass(slots=True, eq=False)
class Named(Message):
    """One of a kind that is not ours."""

    name: str = ""

    @property
    def kind(self) -> str:
        return self.name


def fuzz(chance: Random, count: int, *, over_http: bool) -> Iterator[Message]:
    """So many that are wrong or may be, and a good one after each ``VALID_EVERY``."""
    for number in range(count):
        yield _wrong(chance, f"{'http' if over_http else 'mqtt'}-{number}", over_http=over_http)
        if number % VALID_EVERY == 0:
            name = f"{'http' if over_http else 'mqtt'}-good-{number}"
            is_climate = chance.random() < 0.5
            members = _named(name, over_http) | hostile.good(chance, is_climate=is_climate)
            raw = json.dumps(members).encode()
            yield Message(name, number, is_constant=is_climate, raw=raw, rows=1, dead_letters=0)


def _named(sensor_id: str, over_http: bool) -> dict[str, str]:  # noqa: FBT001 - private
    return {"sensor_id": sensor_id} if over_http else {}


def _wrong(chance: Random, sensor_id: str, *, over_http: bool) -> Message:
    is_climate = chance.random() < 0.5
    members = _named(sensor_id, over_http) | hostile.good(chance, is_climate=is_climate)
    message = Message(sensor_id, 0, is_constant=is_climate, dead_letters=0 if over_http else 1)
    if is_climate and chance.random() < 0.3:
        body = json.dumps(members).encode()
        message.raw = hostile.flipped(chance, body, first=body.find(b'"temperature"'))
        message.rows = message.dead_letters = None
        return message
    message.raw = hostile.spoiled(chance, members, is_climate=is_climate)
    if not over_http and chance.random() < 0.05:
        message.raw = json.dumps([members, {"nobody": "knows"}, members | {"time": True}, members]).encode()
        message.rows, message.dead_letters = (2, 2) if is_climate else (3, 1)
    return message


@trial(
    "R13", must_hold="0 exits, 0 tracebacks, 0 x 500; each wrong one = 1 dead letter or 4xx; valid ones 100 % stored"
)
def fuzzed(directory: Path) -> Outcome:
    chance = Random(SEED)  # noqa: S311 - to be repeated by its seed
    by_mqtt = list(fuzz(chance, BY_MQTT, over_http=False))
    by_http = list(fuzz(chance, BY_HTTP, over_http=True))
    with running(directory) as system:
        system.wait_until()
        began = time.monotonic()
        device = device_of(system)
        boards = [board_of(system, tries=1) for _ in range(BOARDS)]
        with Oracle(device, *boards) as oracle:
            oracle.offer(device, by_mqtt)
            for number, board in enumerate(boards):
                oracle.offer(board, by_http[number::BOARDS])
            oracle.wait(120)
            settle_after(system, oracle, device)
        took_s = time.monotonic() - began
        rows, letters = _rows(system), _letters(system)
        exits = [name for name, process in system._processes.items() if process.poll() is not None]
        tracebacks = sum(system.log(name).count("Traceback") for name in system._processes)
    misjudged = [each for each in by_mqtt if not _is_right(each, rows[each.sensor_id], letters[each.sensor_id])]
    misjudged += [each for each in by_http if not _is_right_over_http(each, rows[each.sensor_id])]
    (directory / "misjudged.txt").write_text("\n".join(f"{each.topic} {each.raw[:300]!r}" for each in misjudged))
    valid = [each for each in by_mqtt + by_http if (each.rows, each.dead_letters) == (1, 0)]
    stored = sum(1 for each in valid if rows[each.sensor_id])
    answers = sum((board.answers for board in boards), Counter[str]())
    return Outcome(
        injected=f"{BY_MQTT + BY_HTTP} fuzzed payloads (seed {SEED}) between {len(valid)} valid ones",
        offered=len(by_mqtt) + len(by_http),
        accepted=len(by_mqtt) + sum(answers[each] for each in ACCEPTED),
        lost=len(valid) - stored,
        duplicated=sum(max(0, rows[each.sensor_id] - 1) for each in valid),
        measured=f"{len(misjudged)} judged wrongly, {len(exits)} exits, {tracebacks} tracebacks, "
        f"answers {_told(answers)}, {took_s:.0f} s",
        holds=not (misjudged or exits or tracebacks) and {each[0] for each in answers} == {"2", "4"},
    )


def _is_right(message: Message, rows: int, letters: int) -> bool:
    if message.rows is None:
        return rows + letters == 1
    return (rows, letters) == (message.rows, message.dead_letters)


def _is_right_over_http(message: Message, rows: int) -> bool:
    """A row where it was accepted, and only where it may be."""
    return rows == (message.answer in ACCEPTED) and message.rows in (None, rows)


def _told(answers: Counter[str]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))


def _rows(system: System) -> Counter[str]:
    """How many there are of each sensor."""
    rows: Counter[str] = Counter()
    for table in ("sensor_readings", "telemetry"):
        for row in system.rows(f"SELECT sensor_id, count(*) AS n FROM {table} GROUP BY sensor_id"):
            rows[row["sensor_id"]] += int(row["n"])
    return rows


def _letters(system: System) -> Counter[str]:
    """How many dead letters there are of each sensor."""
    with closing(sqlite3.connect(f"file:{spool_of(system)}/spool.db?mode=ro", uri=True)) as db:
        counted = db.execute("SELECT topic, count(*) FROM dead_letter GROUP BY topic")
        return Counter({topic.split("/")[1]: count for topic, count in counted})


POISON = """
from pydantic import field_validator
from sensorflow.kinds import Kind

def dive(depth):
    return dive(depth + 1) + 1

class Poison(Kind):
    x: float

    @field_validator("x")
    @classmethod
    def _kills(cls, x):
        if x < 4:
            with open({seen!r}, "a") as seen:
                seen.write(f"{{x:g}} ")
        if x == 1:
            dive(0)
        if x == 2:
            raise MemoryError
        if x == 3:
            raise SystemExit("and the bridge with it")
        return x
"""
AFTER_POISON = 1000
MOST_DELIVERIES = 3


@trial("R14", must_hold="quarantined after <= 3 deliveries; the next 1,000 stored within 2 s")
def poisoned(directory: Path) -> Outcome:
    seen = directory / "seen"
    kind = directory / "poison.py"
    kind.write_text(POISON.format(seen=str(seen)))
    poison = [_poison(f"poison-{x}", x) for x in (1, 2, 3)]
    next_ones = [_poison(f"after-{number % 10}", 10 + number) for number in range(AFTER_POISON)]
    with running(directory, KINDS=kind) as system:
        system.wait_until()
        device = device_of(system)
        with Oracle(device) as oracle:
            oracle.offer(device, poison)
            oracle.wait()
            began = time.monotonic()
            oracle.offer(device, next_ones)
            until(lambda: system.count("poison") == AFTER_POISON, 30)
            took_s = time.monotonic() - began
        letters = _letters(system)
        exits = [name for name, process in system._processes.items() if process.poll() is not None]
    deliveries = Counter(seen.read_text().split())
    quarantined = sum(letters[each.sensor_id] == 1 for each in poison)
    return Outcome(
        injected="RecursionError, MemoryError and SystemExit in a user's validator",
        offered=len(poison) + AFTER_POISON,
        accepted=len(poison) + AFTER_POISON,
        lost=len(poison) - quarantined,
        measured=f"at most {max(deliveries.values())} deliveries, {quarantined} dead letters, {len(exits)} exits; "
        f"the next {AFTER_POISON} stored after {took_s:.2f} s",
        holds=quarantined == len(poison) and max(deliveries.values()) <= MOST_DELIVERIES and not exits and took_s <= 2,
    )


def _poison(sensor_id: str, x: float) -> Message:
    return Named(sensor_id, 0, raw=json.dumps({"x": x}).encode(), name="poison")


@trial("R21", must_hold="100 % 422 and 1 dead letter each, 0 x 500")
def hostile_json(directory: Path) -> Outcome:
    bodies = list(hostile.bodies())
    with running(directory) as system:
        system.wait_until()
        answers = Counter(str(system.post("temperature_reading", body).status_code) for body in bodies)
        device = device_of(system)
        messages = [Message(f"json-{number}", 0, is_constant=True, raw=body) for number, body in enumerate(bodies)]
        with Oracle(device) as oracle:
            oracle.offer(device, messages)
            oracle.wait()
            settle_after(system, oracle, device)
        letters, rows = _letters(system), system.count("sensor_readings")
        tracebacks = sum(system.log(name).count("Traceback") for name in system._processes)
    buried = sum(letters[each.sensor_id] == 1 for each in messages)
    return Outcome(
        injected=f"{len(bodies)} bodies, over HTTP and MQTT",
        offered=2 * len(bodies),
        accepted=len(bodies),
        lost=len(bodies) - buried,
        measured=f"answers {_told(answers)}; {buried} dead letters, {rows} rows, {tracebacks} tracebacks",
        holds=set(answers) == {"422"} and buried == len(bodies) and rows == tracebacks == 0,
    )
