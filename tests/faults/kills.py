"""Processes that end at the worst moment: R1."""

import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.faults.findings import counters, has_spooled, look, settle_after
from tests.faults.judge import judge
from tests.faults.machine import slowness
from tests.faults.oracle import Oracle
from tests.faults.reading import Reading, Sensors
from tests.faults.running import device_of, running
from tests.faults.trial import Outcome, trial
from tests.waiting import until

VARIANTS = Path(__file__).with_name("variant_bridge.py")
SENSORS = 10
SEED = 1
BUSY_S = 0.04  # about what half of the messages between two kills takes


def mixed(count: int) -> Iterator[list[Reading]]:
    """Batches for ever: half of each constant and without time, a quarter numbered, a quarter with a time too."""
    constant = Sensors("constant", SENSORS, is_constant=True)
    numbered = Sensors("numbered", SENSORS)
    timed = Sensors("timed", SENSORS, first_us=time.time_ns() // 1000 - 3_600_000_000)
    while True:
        equal, other, third = constant.make(count // 2), numbered.make(count // 4), timed.make(count // 4)
        yield [each for four in zip(equal[::2], equal[1::2], other, third, strict=True) for each in four]


@trial("R1", must_hold="0 lost, 0 duplicate rows, order kept, <= 30 s", is_alone=True)
def bridge_is_killed(directory: Path) -> Outcome:
    return kill_bridge(directory, kills=50, messages=200_000, most_s=30)


def kill_bridge(
    directory: Path, *, kills: int, messages: int, most_s: float, busy_s: float = BUSY_S, bridge: str = "ours"
) -> Outcome:
    """Kill the bridge again and again while it takes what a device sends; each time it has taken something new.

    Args:
        most_s: From the first reading that is sent to the last that is on the bridge's disk, on a machine as fast as
            the usual one.
        busy_s: How long the bridge has at most, once it has taken something.
        bridge: Which of ``variant_bridge.py``.
    """
    chance = random.Random(SEED)  # noqa: S311 - to be repeated by its seed
    readings: list[Reading] = []
    slow = slowness()
    with running(directory, "mosquitto", "store", "bridge", bridge=[str(VARIANTS), bridge]) as system:
        device = device_of(system)
        began = time.monotonic()
        with Oracle(device) as oracle:
            for batch in (next(batches) for batches in [mixed(messages // kills)] for _ in range(kills)):
                oracle.offer(device, batch[: len(batch) // 2])
                until(lambda: has_spooled(system, batch[len(batch) // 2 - 1]))  # noqa: B023 - used at once
                oracle.offer(device, batch[len(batch) // 2 :])
                time.sleep(chance.uniform(0, busy_s))
                system.send_signal("bridge", signal.SIGUSR1)  # kill -9, and a new one
                readings += batch
            oracle.wait()
            with suppress(AssertionError):  # how many are lost is the verdict's to say
                until(lambda: counters(system)["readings"] >= len(readings), most_s)
            took_s = time.monotonic() - began
            slow = max(slow, slowness())
            readings += settle_after(system, oracle, device)
        findings, known = look(system), counters(system).get("duplicates", 0)
    found = judge(readings, findings.rows + findings.buried)
    return Outcome(
        injected=f"{kills} x kill -9 of the bridge",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=f"{took_s:.0f} s on a machine {slow:.1f}x slower than usual, {known:,} redeliveries known again, "
        f"{found.words()}",
        holds=found.holds and findings.is_conserved and not findings.buried and took_s <= most_s * slow,
    )
