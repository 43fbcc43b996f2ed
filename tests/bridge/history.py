"""A bridge's life in steps, each drawn beforehand from a seed, so that those that do not matter can be left out.

Everything that decides is the real thing, down to the bytes of MQTT: ``Session``, ``Intake``, ``Fingerprints``,
``Timeline``, and the spool or a model of it. Only the loop between them (``bridge/service.py``) is played here, because
it has to be stopped between any two of its lines. The broker is ``model_broker.py``.

It runs inside an event loop that never turns: coroutines are sent on by hand.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import mqtt5

from bridge.columns import Columns
from bridge.fingerprints import Fingerprints
from bridge.idempotency import Answers
from bridge.intake import Intake
from bridge.spool import Spool
from bridge.timeline import Timeline
from sensorflow.kinds import load_kinds
from sensorflow.mqtt import Session, _Connection
from sensorflow.reading import TimeWindow, split_line
from tests.bridge.model_broker import BrokenPromiseError, Broker, Link, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from bridge.columns import Column
    from bridge.idempotency import Answer
    from bridge.intake import Commit, DeadLetter

STEPS = 200
START_US = 1_755_354_645_000_000
DEVICE_US = START_US - 10_000_000
RECEIVE_MAXIMUM = 6
# In half of the histories, packet ids come again after 48 messages. The window has to be as many shorter as can be in
# flight, as 60,000 is shorter than 65,535.
LAST_PACKET_ID = 48
WINDOW = LAST_PACKET_ID - RECEIVE_MAXIMUM - 1
KINDS = load_kinds()

CHANCES = {
    "publish": 40,
    "hear": 30,
    "flow": 36,
    "work": 46,
    "connect": 30,
    "cut": 5,
    "crash": 5,
    "fail_disk": 2,
    "heal_disk": 6,
    "save": 6,
    "fall_back": 2,
    "forget": 1,
}
"""How often each step comes; what it does is the method of :class:`History` by that name."""


class Step(NamedTuple):
    """What happens, and the number by which it makes all its choices."""

    what: str
    by: int


def steps_of(seed: int, count: int = STEPS) -> list[Step]:
    """The history of this seed."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated by its seed
    names = chance.choices([*CHANCES], [*CHANCES.values()], k=count)
    return [Step(name, chance.randrange(2**30)) for name in names]


class Disk(Protocol):
    """What a history needs of :class:`bridge.spool.Spool`."""

    def commit(self, commit: Commit) -> None: ...
    def recent_lines(self) -> Iterable[str]: ...
    def columns(self) -> list[Column]: ...
    def fingerprints(self) -> Iterable[bytes]: ...
    def answers(self) -> Iterable[Answer]: ...


class Memory:
    """A spool that keeps all of a commit, in lists."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._columns: list[Column] = []
        self._fingerprints: list[bytes] = []
        self._answers: list[Answer] = []

    def commit(self, commit: Commit) -> None:
        if commit.starts_session:
            self._fingerprints.clear()
        self._fingerprints += commit.fingerprints
        self._lines += commit.lines
        self._columns += commit.columns
        self._answers += commit.answers

    def recent_lines(self) -> list[str]:
        return self._lines

    def columns(self) -> list[Column]:
        return self._columns

    def fingerprints(self) -> list[bytes]:
        return self._fingerprints

    def answers(self) -> list[Answer]:
        return self._answers


@dataclass(frozen=True, slots=True)
class Flaws:
    """What the played loop may do wrong, to see that it is seen."""

    acknowledges_before_commit: bool = False
    acknowledges_what_failed: bool = False
    announces_before_commit: bool = False


@dataclass(slots=True)
class _Work:
    """What the bridge's loop has in hand."""

    commit: Commit
    messages: list[Message]
    is_written: bool


class History:
    """One bridge through all that happens to it.

    Args:
        seed: Chooses the broker: whether it can fall back, whether packet ids soon come again, whether it sends more
            than it may.
        open_disk: Opens the spool as a process does that starts.
    """

    def __init__(self, seed: int, open_disk: Callable[[], Disk], flaws: Flaws | None = None) -> None:
        self._open_disk, self._flaws = open_disk, flaws or Flaws()
        # Not both: what was in flight when the broker saved may come back when its id belongs to another message.
        self._can_fall_back, self.ids_come_again = bool(seed & 1), not seed & 1
        self.broker = Broker(
            last_packet_id=LAST_PACKET_ID if self.ids_come_again else 65_535,
            is_leaky=self._can_fall_back and bool(seed & 2),
            on_acknowledged=self._must_be_durable,
        )
        self._now_us = START_US
        self.messages: list[Message] = []
        self._refused: set[Message] = set()
        self._durable: set[Message] = set()
        self._acknowledged: set[Message] = set()
        self._letters: list[DeadLetter] = []
        self._happened: Counter[str] = Counter()
        self._has_room = True
        self._work: _Work | None = None
        self._failed: _Work | None = None
        self._connecting: Coroutine[Any, Any, bool] | None = None
        self._start()

    def run(self, steps: Sequence[Step]) -> None:
        """Live it, then let everything heal and look at what is there.

        Raises:
            BrokenPromiseError: Of what is promised.
        """
        for step in steps:
            getattr(self, step.what)(step.by)
        self._settle()
        self._judge()

    def tally(self) -> Counter[str]:
        """What there was, for the record."""
        return Counter(
            published=len(self.messages),
            refused=len(self._refused),
            acknowledged=len(self._acknowledged),
            taken=len(self.broker.lost - self._acknowledged),
            **self._happened,
        )

    # --- the steps -------------------------------------------------------------------------------------------------

    def publish(self, by: int) -> None:
        number = len(self.messages) + 1
        keyed = [message for message in self.messages[-20:] if message.request is not None]
        message = _again(keyed[by % len(keyed)], number) if keyed and by % 5 == 0 else _message(number, by)
        self.messages.append(message)
        if not self.broker.publish(message):
            self._refused.add(message)

    def hear(self, by: int) -> None:
        """Some packets reach the broker."""
        self.broker.hear(1 + by % 4)

    def flow(self, by: int) -> None:
        """Some packets reach the bridge, cut in two anywhere, as TCP may."""
        link = self.broker.link
        if link is None or self._transport.is_paused:
            return
        data = b"".join(link.to_client.popleft() for _ in range(min(1 + by % 5, len(link.to_client))))
        middle = by // 8 % (len(data) + 1)
        for piece in filter(None, (data[:middle], data[middle:])):
            self._connection.data_received(piece)
        self._go_on_connecting()

    def work(self, by: int) -> None:
        """The bridge comes to the end of the next line of its loop: decide, commit, acknowledge."""
        if self._work is None:
            self._decide(by)
        elif not self._work.is_written:
            self._write(self._work)
        else:
            self._acknowledge(self._work)
            self._work = None

    def connect(self, _: int) -> None:
        """As ``Session.run`` does, which is played here."""
        if self.broker.link is not None:
            return
        self.broker.link = link = Link()
        self._transport = _Transport(link)
        self._connection = self._session._newest = _Connection(self._session)
        self._links[self._connection] = link
        self._connection.connection_made(cast("Any", self._transport))
        self._connecting = self._session._start(self._connection)
        self._waits_for = self._connecting.send(None)

    def cut(self, _: int) -> None:
        """The connection is lost."""
        self._happened["cuts"] += self.broker.link is not None
        self.broker.cut()
        self._lose_connection()

    def crash(self, by: int) -> None:
        """The bridge dies. A commit that failed may be on the disk all the same, whole."""
        if self._failed is not None and by % 2:
            self._keep(self._failed)
        self._happened["crashes"] += 1
        self.broker.cut()
        self._lose_connection()
        self._start()

    def fail_disk(self, _: int) -> None:
        """It is full, or does not take an fsync."""
        self._has_room = False

    def heal_disk(self, _: int) -> None:
        self._has_room = True

    def save(self, _: int) -> None:
        if self._can_fall_back:
            self.broker.save()

    def fall_back(self, _: int) -> None:
        if self._can_fall_back:
            self._happened["kills"] += 1
            self.broker.fall_back()
            self._lose_connection()

    def forget(self, _: int) -> None:
        self._happened["forgotten"] += 1
        self.broker.forget()
        self._lose_connection()

    # --- the bridge --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """A new process on what the disk has."""
        self.disk = self._open_disk()
        self._intake = Intake(
            KINDS,
            TimeWindow(),
            columns=Columns(self.disk.columns()),
            fingerprints=Fingerprints(self.disk.fingerprints()),
            timeline=Timeline(self.disk.recent_lines()),
            answers=Answers(self.disk.answers()),
        )
        self._session = Session(  # as bridge/__main__.py builds it
            host="",
            port=0,
            client_id="bridge",
            username="bridge",
            password="",
            subscriptions=["sensors/#"],
            with_retained=False,
            clean_start=False,
            session_expiry_s=3600,
            receive_maximum=RECEIVE_MAXIMUM,
        )
        self._links: dict[_Connection, Link] = {}
        self._taken: Counter[_Connection] = Counter()
        self._work = self._failed = self._connecting = None

    def _go_on_connecting(self) -> None:
        try:
            while self._connecting is not None and self._waits_for.done():
                self._waits_for = self._connecting.send(None)
        except StopIteration:
            self._connecting = None

    def _lose_connection(self) -> None:
        if self._connecting is not None:
            self._connecting.close()
            self._connecting = None
        if self._links and not self._connection.lost.done():
            self._connection.connection_lost(None)

    def _decide(self, by: int) -> None:
        """The clock sometimes stands still, or goes back."""
        if not self._session._arrived.is_set():
            return
        try:
            self._session.events().send(None)
        except StopIteration as arrived:
            self._now_us += (0, 1, 5, -3)[by % 4]
            commit = self._intake.decide(arrived.value, self._now_us)
        self._work = _Work(commit, [self._message_of(each.connection) for each in commit.deliveries], commit.is_empty)
        self._happened["known"] += commit.duplicates
        if self._flaws.acknowledges_before_commit:
            self._session.acknowledge(commit.deliveries)
        if self._flaws.announces_before_commit:
            self._announce(commit)

    def _write(self, work: _Work) -> None:
        if self._has_room:
            self._keep(work)
            self._failed = None
            work.is_written = True
        else:
            self._happened["failed"] += 1
            self._failed = work
            work.is_written = self._flaws.acknowledges_what_failed

    def _keep(self, work: _Work) -> None:
        self.disk.commit(work.commit)
        self._durable.update(work.messages)
        self._letters += work.commit.dead_letters

    def _acknowledge(self, work: _Work) -> None:
        if not self._flaws.acknowledges_before_commit:
            self._session.acknowledge(work.commit.deliveries)
        self._announce(work.commit)

    def _announce(self, commit: Commit) -> None:
        for receipts in commit.receipts.values():
            for number in receipts:
                if self.messages[int(number, 16) - 1] not in self._durable:
                    raise BrokenPromiseError(f"receipt for message {int(number, 16)}, which is not on the disk")

    def _message_of(self, connection: _Connection) -> Message:
        """Which message the next delivery of a connection is; that itself does not say."""
        self._taken[connection] += 1
        return self._links[connection].sent[self._taken[connection] - 1]

    # --- the judge ---------------------------------------------------------------------------------------------------

    def _must_be_durable(self, message: Message) -> None:
        if message not in self._durable:
            raise BrokenPromiseError(f"message {message.number} was acknowledged and is not on the disk")
        self._acknowledged.add(message)

    def _settle(self) -> None:
        self._has_room = True
        for _ in range(1_000):
            self.connect(0)
            self.hear(3)
            self.flow(4)
            self.work(0)
            if not (self.broker.held or self._work or self._connecting or self._session._arrived.is_set()):
                return
        raise BrokenPromiseError(f"{len(self.broker.held)} messages are not taken though nothing stands in the way")

    def _judge(self) -> None:
        rows = [_Row.of(line, self.messages) for line in self.disk.recent_lines()]
        letters = Counter(int(letter.client_ip or "0", 16) for letter in self._letters)
        by_message = Counter(row.message for row in rows)
        values = {(row.series, row.fields, row.message.time_us) for row in rows}
        requests: dict[int, list[Message]] = {}
        for message in self.messages:
            requests.setdefault(message.request or -message.number, []).append(message)
        for messages in requests.values():
            message = messages[0]  # those under one key are equal
            least, most = map(max, *map(self._bounds, messages), (0, 0))
            if message.request is not None:
                most = min(most, 1)
            if message.time_us:
                most = min(most, 1)
                least = 0 if (message.series, message.fields, message.time_us) in values else least
            stored = sum(by_message[each] for each in messages)
            buried = sum(letters[each.number] for each in messages)
            _must_be_within(stored, message.readings, least, most, f"rows of {message}")
            _must_be_within(buried, message.bad, least, most, f"dead letters of {message}")
        self._judge_times(rows)
        if isinstance(self.disk, Spool):
            depth = self.disk.depth()
            if depth.accepted != len(rows) + len(self._letters):
                raise BrokenPromiseError(f"{depth} beside {len(rows)} rows and {len(self._letters)} dead letters")

    def _bounds(self, message: Message) -> tuple[int, int]:
        """How often it is stored, at least and at most."""
        if message in self._refused:
            return 0, 0
        is_excused = message.is_at_risk or (message in self.broker.lost and message not in self._acknowledged)
        return int(not is_excused), 1 + message.repeats

    def _judge_times(self, rows: Sequence[_Row]) -> None:
        if len({(row.series, row.time_us) for row in rows}) < len(rows):
            raise BrokenPromiseError("two rows of a sensor share their time")
        assigned: dict[str, deque[_Row]] = {}
        for row in rows:
            if row.message.time_us is None:
                assigned.setdefault(row.series, deque()).append(row)
        for series, its in assigned.items():
            for earlier, later in pairwise(its):
                if earlier.time_us >= later.time_us:
                    raise BrokenPromiseError(f"time went back in {series}: {earlier}, {later}")
                if earlier.message.number > later.message.number and not later.message.repeats:
                    raise BrokenPromiseError(f"order was not kept in {series}: {earlier}, {later}")


class _Transport:
    """Hands the packets to the link, one by one."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.is_paused = False

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            _, used = mqtt5.read(view)
            self._link.to_broker.append(bytes(view[:used]))
            view = view[used:]

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


@dataclass(frozen=True, slots=True)
class _Row:
    message: Message
    series: str
    fields: str
    time_us: int

    @classmethod
    def of(cls, line: str, messages: Sequence[Message]) -> _Row:
        series, fields, time_us, mark = split_line(line)
        return cls(messages[int(mark or "0", 16) - 1], series, fields, time_us)


def _must_be_within(count: int, each: int, least: int, most: int, what: str) -> None:
    if not each * least <= count <= each * most or (each and count % each):
        raise BrokenPromiseError(f"{count} {what}, must be {each} x {least} to {most}")


def _message(number: int, by: int) -> Message:
    """Values are few and most have no time, so that many messages are equal but for their number."""
    by, sensor = divmod(by, 2)
    by, value = divmod(by, 2)
    by, retain = divmod(by, 8)
    by, receipt = divmod(by, 3)
    by, shape = divmod(by, 16)
    by, has_key = divmod(by, 4)
    series = f"telemetry,sensor_id={'ab'[sensor]}"
    more: dict[str, Any] = {"retain": not retain, "wants_receipt": not receipt}
    more["request"] = None if has_key else number
    topic = f"sensors/{'ab'[sensor]}/telemetry"
    payload = b'{"a": %d}' % value
    if shape == 0:
        payload, more = b"{", more | {"readings": 0, "bad": 1}
    elif shape == 1:
        payload, more = b"[%b, %b]" % (payload, payload), more | {"readings": 2}
    elif shape == 2:
        payload, more = b'[{"a": null}, %b]' % payload, more | {"bad": 1}
    elif shape <= 6:
        more["time_us"] = DEVICE_US + 1000 * (by % 3)
        payload = b'{"a": %d, "time": %d}' % (value, more["time_us"])
    elif shape <= 8:
        topic = "sensors/_/telemetry"
        payload = b'[{"sensor_id": "%c", "a": %d}, {"a": 1}]' % (b"ab"[sensor], value)
        more["bad"] = 1
    return Message(number, topic, payload, series, f"a={value}.0", **more)


def _again(message: Message, number: int) -> Message:
    """What a client sends that got no answer: the same, under the same key."""
    return Message(
        number,
        message.topic,
        message.payload,
        message.series,
        message.fields,
        readings=message.readings,
        bad=message.bad,
        time_us=message.time_us,
        wants_receipt=message.wants_receipt,
        request=message.request,
    )
