"""Services that are told to stop while they are busy: R27."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.brokers import Shared
from tests.faults.findings import look, settle_after
from tests.faults.judge import judge
from tests.faults.oracle import Oracle
from tests.faults.reading import Reading, Sensors
from tests.faults.running import board_of, device_of, running
from tests.faults.trial import Outcome, trial

SENSORS = 10
BOARDS = 8
STOPS = 20
MOST_EXIT_S = 10.0
SEED = 3


def endless(sensors: Sensors, at_once: int) -> Iterator[list[Reading]]:
    while True:
        yield sensors.make(at_once)


@trial("R27", must_hold="exit in <= 10 s, 0 lost, 0 duplicate, open requests answered")
def services_are_told_to_stop(directory: Path) -> Outcome:
    chance = random.Random(SEED)  # noqa: S311 - to be repeated by its seed
    # Neither has a time, and a board tries once: a reading that was stored without an answer shows.
    of_device, of_boards = Sensors("device", SENSORS), Sensors("board", BOARDS)
    exits_s: list[float] = []
    codes: set[int] = set()
    with running(directory, "mosquitto", "store", "bridge", "http_api") as system:
        system.wait_until()
        device, boards = device_of(system), [board_of(system, tries=1) for _ in range(BOARDS)]
        with Oracle(device, *boards) as oracle:
            oracle.feed(device, endless(of_device, 20))
            oracle.feed(Shared(boards), endless(of_boards, 4))
            for name in ["bridge", "http_api"] * (STOPS // 2):
                system.wait_until()
                time.sleep(chance.uniform(0, 0.2))  # so that it is not always the same moment
                began = time.monotonic()
                codes.add(system.stop(name))
                exits_s.append(time.monotonic() - began)
                system.start(name)
            system.wait_until()
            oracle.end_feeds()
            oracle.wait()
            last = settle_after(system, oracle, device)
        findings = look(system)
    sent = [each for each in of_device.made + of_boards.made if each.sent]
    found = judge(sent + last, findings.rows)
    there = {(row.sensor_id, row.values[0]) for row in findings.rows}
    unanswered = [each for board in boards for each in board.unanswered]
    ignored = sum((each.sensor_id, float(each.number)) in there for each in unanswered)
    return Outcome(
        injected=f"{STOPS} x SIGTERM under load, bridge and http_api in turn",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=f"exit in {max(exits_s):.1f} s at most; {ignored} requests stored without an answer, "
        f"{len(unanswered) - ignored} closed unread; {found.words()}",
        holds=found.holds
        and ignored == 0
        and codes == {0}
        and max(exits_s) <= MOST_EXIT_S
        and findings.is_conserved
        and not findings.buried,
    )
