"""A made plant: a year of weather, a workshop, telemetry of mixed types, a user's kind, and a bridge that restarted."""

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sensorflow.kinds import Kinds, load_kinds

ROOT = Path(__file__).parents[2]
_WEATHER = ROOT / "examples/data/greensboro_hourly.csv"


def kinds() -> Kinds:
    """The shipped ones, and a user's."""
    return load_kinds([str(ROOT / "examples/kinds/cip.py")])


def line(table: str, tags: str, fields: str, at: datetime) -> str:
    return f"{table},{tags} {fields} {round(at.timestamp() * 1e6)}"


def climate(sensor: str, at: datetime, temperature: float = 20.5, humidity: float = 55, pressure: float = 990) -> str:
    fields = f"temperature={float(temperature)},humidity={float(humidity)},pressure={float(pressure)}"
    return line("sensor_readings", f"sensor_id={sensor}", fields, at)


def cip(sensor: str, at: datetime, temperature: float = 71.5, pressure: float = 2.5, concentration: float = 1.5) -> str:
    values = f"temperature={float(temperature)},pressure={float(pressure)},concentration={float(concentration)}"
    return line("cip_readings", f"sensor_id={sensor}", f'cip_id="c1",status_cip="rinse",{values}', at)


def telemetry(sensor: str, at: datetime, fields: str = 'watts=41.5,on=true,mode="eco"') -> str:
    return line("telemetry", f"sensor_id={sensor}", fields, at)


def stats(at: datetime, **values: float) -> str:
    """A row of ``pipeline_stats``; where nothing was measured there are no latencies."""
    whole = dict.fromkeys(("accepted", "stored", "spooled", "dead_letters", "duplicates", "live_dropped"), 0.0)
    whole |= {"uptime_s": 100, "spool_bytes": 4096, "spool_oldest_s": 0, "spool_is_full": 0, "broker_connected": 1}
    fields = ",".join(f"{name}={float(value)}" for name, value in (whole | {"commits": 1} | values).items())
    return line("pipeline_stats", "service=bridge", fields, at)


def latencies(n: int) -> dict[str, float]:
    worst = 4 + n % 23
    return {
        f"{what}_ms_{part}": base + worst * factor
        for what, base in (("commit", 1), ("store", 30))
        for part, factor in (("p50", 0.2), ("p99", 0.9), ("max", 1))
    }


def year(now: datetime) -> list[str]:
    """Write all of it, such that the newest reading is of ``now``."""
    return [*_weather(now), *_workshop(now), *_others(now), *_bridge(now)]


def _weather(now: datetime) -> Iterator[str]:
    rows = list(csv.DictReader(_WEATHER.read_text(encoding="utf-8").splitlines()))
    for age, row in enumerate(reversed(rows)):
        values = (float(row[name]) for name in ("temperature_c", "relative_humidity_pct", "pressure_hpa"))
        yield climate("greensboro", now - timedelta(hours=age), *values)


def _workshop(now: datetime) -> Iterator[str]:
    for n in range(24 * 60):
        yield climate("workshop", now - timedelta(minutes=n, seconds=7), 18 + n % 50 / 10, 40 + n % 17, 985 + n % 5)
    for n in range(40, 24 * 60, 5):
        yield climate("cellar", now - timedelta(minutes=n), 11.25)


def _others(now: datetime) -> Iterator[str]:
    for n in range(0, 3 * 24 * 60, 10):
        at = now - timedelta(minutes=n)
        yield telemetry("boiler", at, f"watts={1500 + n % 700}.5,starts={9000 - n}i,on={'true' if n % 3 else 'false'}")
        yield telemetry("pump", at - timedelta(minutes=25), f'litres={n % 31}.25,mode="m{n % 2}"')
        yield cip("tank1", at, 60 + n % 40, 2 + n % 3, n % 4)
        yield cip("tank2", at - timedelta(minutes=30))


def _bridge(now: datetime) -> Iterator[str]:
    """Six hours, in whose midst it was away for 15 minutes and came back with what it counts since its start at 0."""
    restart = now - timedelta(hours=3)
    for n in range(6 * 360):
        at = now - timedelta(seconds=10 * (6 * 360 - n))
        if restart - timedelta(minutes=15) < at < restart:
            continue
        accepted, dead = n * 25.0, n // 500
        waiting = 40.0 * (n % 7)
        measured = latencies(n) if n % 11 else {}
        yield stats(
            at,
            accepted=accepted,
            stored=accepted - waiting - dead,
            spooled=waiting,
            dead_letters=dead,
            duplicates=n // 90,
            live_dropped=n // 100 if at < restart else (n - 1080) // 200,
            uptime_s=(at - restart).total_seconds() if at >= restart else 1000 + n * 10,
            spool_oldest_s=n % 7 / 2,
            **measured,
        )
