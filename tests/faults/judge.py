"""What the system owes and what it has: readings that were accepted against rows that were found. No I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from tests.faults.reading import CONSTANT_VALUES, Reading

CONSTANT = tuple(CONSTANT_VALUES.values())


@dataclass(frozen=True, slots=True)
class Row:
    """One reading as it was found: in the store, in the spool, or among the dead letters.

    Args:
        values: ``(number, third, text)`` of a numbered reading, the three constant values of another.
    """

    sensor_id: str
    time_us: int
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the comparison has shown, in readings and rows.

    Args:
        lost: Accepted and not found.
        duplicated: Rows beyond one for a reading.
        wrong: Rows whose values or whose time (where the device gave one) are not those that were sent.
        foreign: Rows that nobody sent.
        misplaced: Readings whose row comes, by its time, before the row of one that its sensor sent earlier.
    """

    offered: int
    accepted: int
    lost: int
    duplicated: int
    wrong: int
    foreign: int
    misplaced: int

    @property
    def is_clean(self) -> bool:
        """Whether every row is right; says nothing about rows that are missing or too many."""
        return self.wrong == self.foreign == self.misplaced == 0

    @property
    def holds(self) -> bool:
        return self.is_clean and self.lost == self.duplicated == 0

    def words(self) -> str:
        """For the table's ``measured``."""
        if self.is_clean:
            return "values and order kept"
        return f"{self.wrong} wrong values, {self.foreign} foreign rows, {self.misplaced} out of order"


def judge(readings: Iterable[Reading], rows: Iterable[Row], *, shift_us: int = 0) -> Judgement:
    """Compare all that was offered with all that was found.

    Args:
        shift_us: How far a row's time may be behind the device's own, where readings with the same time meet.
    """
    sent: defaultdict[str, list[Reading]] = defaultdict(list)
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for reading in readings:
        sent[reading.sensor_id].append(reading)
    for row in rows:
        found[row.sensor_id].append(row)
    parts = [
        (_judge_equal if some[0].is_constant else _judge_numbered)(
            some, sorted(found.pop(sensor_id, []), key=attrgetter("time_us")), shift_us
        )
        for sensor_id, some in sent.items()
    ]
    foreign = sum(map(len, found.values()))
    totals = {name: sum(getattr(part, name) for part in parts) for name in Judgement.__slots__}
    return Judgement(**totals | {"foreign": totals["foreign"] + foreign})


def _judge_equal(readings: list[Reading], rows: list[Row], _: int) -> Judgement:
    """Readings that are all equal can only be counted."""
    accepted = sum(1 for each in readings if each.answer)
    right = sum(1 for row in rows if row.values == CONSTANT)
    return Judgement(
        offered=len(readings),
        accepted=accepted,
        lost=max(0, accepted - right),
        duplicated=max(0, right - len(readings)),
        wrong=len(rows) - right,
        foreign=0,
        misplaced=0,
    )


def _judge_numbered(readings: list[Reading], rows: list[Row], shift_us: int) -> Judgement:
    by_number = {float(each.number): each for each in readings}
    times = Counter[float]()
    wrong = foreign = misplaced = 0
    newest = -1.0
    for row in rows:
        number = float(row.values[0])
        if (reading := by_number.get(number)) is None:
            foreign += 1
            continue
        times[number] += 1
        is_its_time = reading.time_us is None or 0 <= row.time_us - reading.time_us <= shift_us
        wrong += row.values != reading.values or not is_its_time
        if times[number] == 1:
            misplaced += number < newest
            newest = max(newest, number)
    return Judgement(
        offered=len(readings),
        accepted=sum(1 for each in readings if each.answer),
        lost=sum(1 for each in readings if each.answer and float(each.number) not in times),
        duplicated=sum(count - 1 for count in times.values()),
        wrong=wrong,
        foreign=foreign,
        misplaced=misplaced,
    )
