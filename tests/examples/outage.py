"""What a board must not lose: readings that it took while the server was away."""

import time
from itertools import pairwise

from tests.e2e.system import System
from tests.waiting import until

OUTAGE_S = 2.0


def times_s(system: System, sensor_id: str) -> list[float]:
    """Of all that is in the store, in order."""
    if not system.count("sensor_readings"):
        return []
    rows = system.rows(f"SELECT time FROM sensor_readings WHERE sensor_id = '{sensor_id}' ORDER BY time")
    return [row["time"].timestamp() for row in rows]


def sends_through_an_outage(system: System, sensor_id: str, *services: str) -> None:
    """Readings before, during and after are there, once each, with the times at which they were taken."""
    started_s = time.time()
    until(lambda: len(times_s(system, sensor_id)) >= 3)
    for service in services:
        system.kill(service)
    away_s = time.time()
    until(lambda: time.time() > away_s + OUTAGE_S)
    for service in reversed(services):
        system.start(service)
    system.wait_until()
    back_s = time.time()

    until(lambda: times_s(system, sensor_id)[-1] > back_s + 0.5, 30)

    taken = times_s(system, sensor_id)
    assert taken[0] > started_s - 20
    during = [each for each in taken if away_s + 0.2 < each < away_s + OUTAGE_S]
    assert len(during) >= 5
    gaps_s = [after - before for before, after in pairwise(taken)]
    assert max(gaps_s) < 1.5
    assert min(gaps_s) > 3e-6  # two readings of one time are moved apart by 1 us
