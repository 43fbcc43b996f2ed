"""All that a system holds of what it was given: the store's rows, the spool's readings, the dead letters.

Read while nothing is under way, or the parts would be of different moments.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from bridge import dead_letters
from bridge.dead_letters import Selection
from sensorflow.influx import Influx
from sensorflow.reading import parse_fields, split_line
from tests.e2e.system import System
from tests.faults.judge import Row
from tests.faults.oracle import Oracle, Sender
from tests.faults.reading import CONSTANT_TABLE, CONSTANT_VALUES, NUMBERED_TABLE, Reading, Sensors
from tests.waiting import until

NEWEST_BATCHES = 5
COLUMNS = {NUMBERED_TABLE: ("number", "third", "text"), CONSTANT_TABLE: tuple(CONSTANT_VALUES)}


@dataclass(frozen=True, slots=True)
class Findings:
    """One moment of a system.

    Args:
        rows: Stored or spooled, each key once: what is in both is the same row.
        buried: Dead letters.
        counted: What the bridge itself says that it has accepted: ``stored + spooled + dead_lettered``.
    """

    rows: list[Row]
    buried: list[Row]
    counted: int

    def of(self, sensors: Sensors) -> list[Row]:
        """The rows of these sensors."""
        return [row for row in self.rows if row.sensor_id.rpartition("-")[0] == sensors.prefix]

    @property
    def is_conserved(self) -> bool:
        """Whether the bridge's own count is what is there."""
        return self.counted == len(self.rows) + len(self.buried)


def settle(system: System, *, messages: int = 0, timeout_s: float = 30) -> None:
    """Wait until the bridge has accepted so many readings at least, and the store has all that it accepted.

    Raises:
        AssertionError: That does not come true in time.
    """
    until(lambda: _is_all_shipped(system) and counters(system).get("readings", 0) >= messages, timeout_s)


def settle_after(system: System, oracle: Oracle, sender: Sender, *, timeout_s: float = 60) -> list[Reading]:
    """Wait until the store has all that was accepted; returns one more reading, which was sent to know that.

    The bridge takes messages in the order of the broker's queue, so this last one comes after all others.

    Raises:
        AssertionError: That does not come true in time: a fresh reading does not get through.
    """
    last = [Reading(f"last-{time.time_ns()}", 0)]
    oracle.offer(sender, last)
    oracle.wait(timeout_s)
    until(
        lambda: _is_all_shipped(system) and any(row.sensor_id == last[0].sensor_id for row in stored(system, last[0])),
        timeout_s,
    )
    return last


def _is_all_shipped(system: System) -> bool:
    counts = counters(system)
    return counts.get("readings", 0) == counts.get("shipped", 0)


def counters(system: System) -> dict[str, int]:
    """The spool's own counts, as of its last commit; empty before there is a spool."""
    path = spool_of(system) / "spool.db"
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
        try:
            return dict(db.execute("SELECT name, value FROM meta"))
        except sqlite3.OperationalError:  # it is being made
            return {}


def has_spooled(system: System, reading: Reading) -> bool:
    """Whether a numbered reading was among the last that the bridge has put on its disk."""
    path = spool_of(system) / "spool.db"
    if not path.exists():
        return False
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
        try:
            newest = db.execute(f"SELECT lines FROM batch ORDER BY id DESC LIMIT {NEWEST_BATCHES}").fetchall()
        except sqlite3.OperationalError:  # it is being made
            return False
    text = f'"{reading.values[2]}"'.encode()
    return any(text in lines for (lines,) in newest)


def spool_of(system: System) -> Path:
    """Where its bridge keeps it."""
    return system.settings.data_dir / "spool"


def look(system: System) -> Findings:
    """Find all there is. The store has to run."""
    rows = {(row.sensor_id, row.time_us): row for row in (*stored(system), *spooled(system))}
    buried = list(dead_lettered(system))
    counts = counters(system)
    return Findings(list(rows.values()), buried, counts.get("readings", 0) + counts.get("dead_letters", 0))


def stored(system: System, of: Reading | None = None) -> Iterator[Row]:
    """The store's rows; of one sensor, if need be."""
    condition = f" WHERE sensor_id = '{of.sensor_id}'" if of else ""
    influx = Influx(
        f"http://127.0.0.1:{system.settings.influx_port}",
        system.settings.influx_token.get_secret_value(),
        system.settings.influx_database,
        timeout_s=30,
    )
    with closing(influx):
        there = influx.query("SELECT table_name, column_name FROM information_schema.columns").to_pylist()
        known = {(each["table_name"], each["column_name"]) for each in there}
        for table, columns in COLUMNS.items():
            if all((table, column) in known for column in columns):
                answer = influx.query(f"SELECT sensor_id, time, {', '.join(columns)} FROM {table}{condition}")
                yield from _rows(answer, columns)


def _rows(answer: pa.Table, columns: tuple[str, ...]) -> Iterator[Row]:
    times = [time // 1000 for time in answer["time"].cast(pa.int64()).to_pylist()]
    values = zip(*(answer[column].to_pylist() for column in columns), strict=True)
    for sensor_id, time_us, each in zip(answer["sensor_id"].to_pylist(), times, values, strict=True):
        yield Row(sensor_id, time_us, each)


def spooled(system: System) -> Iterator[Row]:
    """What is in the spool and, as far as the bridge knows, not in the store."""
    path = spool_of(system) / "spool.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
        for (lines,) in db.execute("SELECT lines FROM batch WHERE shipped_us IS NULL"):
            for line in lines.decode().split("\n"):
                series, fields, time_us, _ = split_line(line)
                yield _row(series.partition(",sensor_id=")[2], time_us, parse_fields(fields))


def dead_lettered(system: System) -> Iterator[Row]:
    """What was rejected, where it is still an object with values."""
    with dead_letters.opened(spool_of(system)) as db:
        for letter in dead_letters.selected(db, Selection()):
            try:
                payload = json.loads(letter.payload)
            except ValueError:
                payload = {}
            yield _row(letter.topic.split("/")[1], letter.time_us, payload if isinstance(payload, dict) else {})


def _row(sensor_id: str, time_us: int, values: dict[str, Any]) -> Row:
    columns = COLUMNS[NUMBERED_TABLE if "number" in values else CONSTANT_TABLE]
    return Row(sensor_id, time_us, tuple(values.get(column) for column in columns))
