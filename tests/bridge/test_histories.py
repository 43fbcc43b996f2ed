"""Random histories of a bridge, its broker and its crashes, against a tiny model of what must come out of them."""

import random
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.columns import Columns
from bridge.fingerprints import Fingerprints
from bridge.intake import Commit, Intake
from bridge.spool import Spool
from bridge.timeline import Timeline
from sensorflow.kinds import load_kinds
from sensorflow.mqtt import Connected, Delivery
from sensorflow.reading import TimeWindow, split_line
from tests.bridge.deliveries import delivery

HISTORIES = 60
STEPS = 120
START_US = 1_755_354_645_000_000
DEVICE_US = START_US - 10_000_000

Events = list[Connected | Delivery]


@dataclass(frozen=True)
class Message:
    """What a device published once. Without a time, two messages may be equal but for their number."""

    number: int
    sensor_id: str
    value: int
    time_us: int | None

    @property
    def payload(self) -> bytes:
        time = f', "time": {self.time_us}' if self.time_us else ""
        return b'{"a": %d%b}' % (self.value, time.encode())


class Broker:
    """As much of Mosquitto as matters: packet ids in sequence, redelivery in order with DUP, sessions that get lost."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._published = 0
        self._packet_id = 0
        self._queue: deque[Message] = deque()
        self.in_flight: dict[int, Message] = {}
        self.acknowledged: set[Message] = set()

    def publish(self) -> None:
        self._published += 1
        time_us = self._chance.choice([None, None, DEVICE_US + 1000 * self._chance.randrange(3)])
        sensor_id, value = self._chance.choice("ab"), self._chance.randrange(2)
        self._queue.append(Message(self._published, sensor_id, value, time_us))

    def deliver(self) -> Events:
        if not self._queue:
            return []
        self._packet_id = self._packet_id % 65_535 + 1
        self.in_flight[self._packet_id] = self._queue.popleft()
        return [self._delivery(self._packet_id, duplicate=False)]

    def reconnect(self) -> Events:
        return [Connected(True), *(self._delivery(packet_id, duplicate=True) for packet_id in self.in_flight)]

    def lose_session(self) -> Events:
        self.in_flight.clear()
        self._packet_id = 0
        return [Connected(False)]

    def acknowledge(self, commit: Commit) -> None:
        for each in commit.deliveries:
            assert each.packet_id is not None
            self.acknowledged.add(self.in_flight.pop(each.packet_id))

    def _delivery(self, packet_id: int, *, duplicate: bool) -> Delivery:
        message = self.in_flight[packet_id]
        topic = f"sensors/{message.sensor_id}/telemetry"
        return delivery(message.payload, topic, packet_id=packet_id, duplicate=duplicate)


class History:
    """One bridge through all that happens to it; ``committed`` is what the spool must hold."""

    def __init__(self, seed: int, directory: Path) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - to be repeated by its seed
        self._directory = directory
        self._now_us = START_US
        self._events: Events = [Connected(False)]
        self.broker = Broker(self._chance)
        self.committed: set[Message] = set()
        self._start()

    def run(self) -> None:
        steps = [self.broker.publish, self._deliver, self._commit, self._cut, self._crash, self._lose_session]
        for _ in range(STEPS):
            self._chance.choices(steps, [16, 16, 6, 2, 2, 1])[0]()
        while arrived := self.broker.deliver():
            self._events += arrived
        self.broker.acknowledge(self._write())

    def _start(self) -> None:
        self.spool = Spool(self._directory, max_bytes=2**30)
        self._intake = Intake(
            load_kinds(),
            TimeWindow(),
            columns=Columns(self.spool.columns()),
            fingerprints=Fingerprints(self.spool.fingerprints()),
            timeline=Timeline(self.spool.recent_lines()),
        )

    def _deliver(self) -> None:
        self._events += self.broker.deliver()

    def _write(self) -> Commit:
        """Decide and commit, but acknowledge nothing. The clock sometimes stands still or goes back."""
        self._now_us += self._chance.choice([0, 1, 5, -3])
        commit = self._intake.decide(self._events, self._now_us)
        self._events = []
        self.spool.commit(commit)
        self.committed.update(self.broker.in_flight[each.packet_id or 0] for each in commit.deliveries)
        return commit

    def _commit(self) -> None:
        self.broker.acknowledge(self._write())

    def _cut(self) -> None:
        """The connection breaks before, or right after, a commit that can then not be acknowledged."""
        if self._chance.random() < 0.5:
            self._write()
        unseen: Events = [event for event in self._events if event == Connected(False)]
        self._events = unseen + self.broker.reconnect()

    def _crash(self) -> None:
        """The bridge dies before, or right after, a commit; never before it has noted that its session is new."""
        if self._chance.random() < 0.5 or Connected(False) in self._events:
            self._write()
        self.spool.close()
        self._start()
        self._events = self.broker.reconnect()

    def _lose_session(self) -> None:
        self._events = self.broker.lose_session()


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_each_acknowledged_message_is_in_the_spool_exactly_once(seed: int, tmp_path: Path) -> None:
    history = History(seed, tmp_path / "spool")

    history.run()

    rows = [split_line(line) for line in history.spool.recent_lines()]
    history.spool.close()
    assert history.broker.acknowledged <= history.committed
    assert len({(series, time_us) for series, _, time_us, _ in rows}) == len(rows)
    timed = {(each.sensor_id, each.value, each.time_us) for each in history.committed if each.time_us}
    untimed = [(each.sensor_id, each.value) for each in history.committed if not each.time_us]
    expected = Counter([(sensor_id, value) for sensor_id, value, _ in timed] + untimed)
    assert Counter((series[-1], int(fields[2])) for series, fields, _, _ in rows) == expected
