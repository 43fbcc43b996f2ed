"""The trial of clocks, R16: devices that think it is 1970, and a server whose clock is set back by an hour."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.system import System
from tests.faults.findings import counters, look, settle_after
from tests.faults.input import Message
from tests.faults.judge import judge
from tests.faults.oracle import Oracle
from tests.faults.reading import Reading, Sensors
from tests.faults.running import board_of, device_of, running
from tests.faults.trial import Outcome, trial
from tests.waiting import until

# Python reads this module at its start, before any of ours has asked for the time.
WRONG_CLOCK = """
import os, time

def shifted_ns(clock=time.time_ns):
    with open(os.environ["CLOCK_FILE"]) as shift_s:
        return clock() + int(shift_s.read()) * 10**9

time.time_ns = shifted_ns
time.time = lambda: shifted_ns() / 1e9
"""
READINGS = 500  # before the clock is set back, and after
SENSORS = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a device says the time is, and which that is in microseconds; None where it must be refused."""

    said: object
    time_us: int | None


def claims(now: datetime) -> Iterator[Claim]:
    """All ways to say now, and all that are out of range."""
    now_us = round(now.timestamp() * 1e6)
    yield Claim(now_us // 10**6, now_us // 10**6 * 10**6)
    yield Claim(now_us // 10**3, now_us // 10**3 * 10**3)
    yield Claim(now_us, now_us)
    yield Claim(now_us * 1000 + 999, now_us)
    yield Claim(now_us // 10**5 / 10, now_us // 10**5 * 10**5)
    yield Claim(now.isoformat(), now_us)
    yield Claim(f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}Z", now_us // 10**6 * 10**6 - 3600 * 10**6)
    for shift in (timedelta(days=-399), timedelta(minutes=9)):
        yield Claim((now + shift).isoformat(), now_us + shift // MICROSECOND)
    for shift in (timedelta(days=-401), timedelta(minutes=11), timedelta(days=40)):
        yield Claim((now + shift).isoformat(), None)
    for year in ("0001", "1970", "2038", "2106", "9999"):
        yield Claim(f"{year}-01-02T03:04:05Z", None)
    for number in (0, 1, -1, 86_400, 2**31, 2**32 - 1, 2**32 * 1000, -now_us, -now_us // 10**6, 2**62, 2**63, 10**30):
        yield Claim(number, None)
    yield from (Claim(text, None) for text in ("", "now", "12:30", "2026-11-02", now.isoformat()[:19], "NaN", "+1"))
    others: list[object] = [True, [], {}, [now_us]]
    yield from (Claim(other, None) for other in others)


@trial("R16", must_hold="out of range = 422 / dead letter; increasing per sensor; rows = accepted")
def wrong_clocks(directory: Path) -> Outcome:
    (directory / "sitecustomize.py").write_text(WRONG_CLOCK)
    clock = directory / "clock"
    clock.write_text("0")
    path = os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")]))
    with running(directory, PYTHONPATH=path, CLOCK_FILE=clock) as system:
        system.wait_until()
        said, wrong = _say(system, list(claims(datetime.now(UTC))))
        readings = _set_back(system, clock)
        rows = [row for row in look(system).rows if row.values[0] is not None]
        ahead = system.post("telemetry", {"sensor_id": "ahead", "x": 1, "time": datetime.now(UTC).timestamp()})
    found = judge(readings, rows)
    times_us = [row.time_us for row in rows if row.sensor_id.startswith("device")]
    span_s = (max(times_us) - min(times_us)) / 1e6
    return Outcome(
        injected=f"{said} device times over HTTP and MQTT; server clock -1 h",
        offered=said + found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=f"{len(wrong)} times judged wrongly {wrong[:3] or ''}; after the step {found.words()}, "
        f"all of a sensor within {span_s:.1f} s",
        holds=not wrong
        and found.holds
        and found.accepted == found.offered
        and ahead.status_code == 422,  # the clock is back indeed
    )


def _say(system: System, all_claims: list[Claim]) -> tuple[int, list[object]]:
    """Claim each time by HTTP and by MQTT; how many that were, and those of which the wrong thing became."""
    claimed = {f"http-{number}": claim for number, claim in enumerate(all_claims)}
    wrong: list[object] = []
    for sensor_id, claim in claimed.items():
        answer = system.post("telemetry", {"sensor_id": sensor_id, "x": 1, "time": claim.said})
        if answer.status_code != (422 if claim.time_us is None else 201):
            wrong.append((claim.said, answer.status_code))
    by_mqtt = {f"mqtt-{number}": claim for number, claim in enumerate(all_claims)}
    bodies = {name: json.dumps({"x": 1, "time": claim.said}).encode() for name, claim in by_mqtt.items()}
    device = device_of(system)
    with Oracle(device) as oracle:
        oracle.offer(device, [Message(name, 0, raw=body) for name, body in bodies.items()])
        oracle.wait()
    good = sum(claim.time_us is not None for claim in all_claims)
    until(lambda: counters(system).get("dead_letters", 0) >= len(all_claims) - good)
    until(lambda: system.count("telemetry") >= 2 * good)
    rows = system.rows("SELECT sensor_id, time FROM telemetry WHERE x IS NOT NULL")
    stored = {row["sensor_id"]: (row["time"].replace(tzinfo=UTC) - EPOCH) // MICROSECOND for row in rows}
    for sensor_id, claim in (claimed | by_mqtt).items():
        if stored.get(sensor_id) != claim.time_us:
            wrong.append((sensor_id, claim.said, stored.get(sensor_id)))
    return len(claimed | by_mqtt), wrong


def _set_back(system: System, clock: Path) -> list[Reading]:
    """Send readings without a time, set the clock back, and send more for the same sensors."""
    by_mqtt, by_http = Sensors("device", SENSORS), Sensors("board", 1)
    device, board = device_of(system), board_of(system)
    with Oracle(device, board) as oracle:
        for shift_s in (0, -3600):
            clock.write_text(str(shift_s))
            oracle.offer(device, by_mqtt.make(READINGS))
            oracle.offer(board, by_http.make(READINGS // 5))
            oracle.wait()
        last = settle_after(system, oracle, device)
    return by_mqtt.made + by_http.made + last
