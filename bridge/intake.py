"""What to make of what arrived: the bridge's decisions, without I/O.

Events in, one :class:`Commit` out, whose parts are carried out in this order: the spool's transaction, the
acknowledgements, the announcements. Nothing is acknowledged that is not in the transaction.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from pydantic_core import to_json

from bridge import fingerprints as fp
from bridge import idempotency
from sensorflow import topics
from sensorflow.errors import FieldError, RejectedError
from sensorflow.kinds import SENSOR_ID_PATTERN, Kind, Kinds, parse_many
from sensorflow.mqtt import Connected, Delivery
from sensorflow.reading import TimeWindow, fields_text, frame, line, parse_time, series

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.columns import Column, Columns
    from bridge.idempotency import Answer, Answers
    from bridge.timeline import Timeline
    from sensorflow.mqtt import Event

MAX_PAYLOAD_BYTES = 65_536
MAX_TARGETS = 100_000

_log = logging.getLogger("bridge")
_CLIENT_IP = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_MICROSECONDS = re.compile(r"[0-9]{1,18}")
_CORRELATION = re.compile(rb"[0-9a-f]{1,32}")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A reading that was rejected, with all that is needed to send it again."""

    time_us: int
    reason: str
    detail: str
    topic: str
    payload: bytes
    client_ip: str | None = None


@dataclass(slots=True)
class Commit:
    """What one group commit writes, acknowledges and announces."""

    time_us: int
    lines: list[str] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    """That the lines add to their tables."""
    dead_letters: list[DeadLetter] = field(default_factory=list)
    fingerprints: list[bytes] = field(default_factory=list)
    starts_session: bool = False
    """Whether the fingerprints of earlier commits are void."""
    deliveries: list[Delivery] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    receipts: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    """By response topic and correlation: for each reading its id in us, or why it was rejected."""
    answers: list[Answer] = field(default_factory=list)
    """To requests that may come again; the spool forgets those before ``oldest_answer_id``."""
    oldest_answer_id: int = 0
    duplicates: int = 0
    """Messages and readings that are in the spool or the store already."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.lines or self.dead_letters or self.fingerprints or self.starts_session)


@dataclass(frozen=True, slots=True)
class _Target:
    """What a topic means; without a sensor, each reading names its own."""

    kind: type[Kind]
    sensor_id: str | None
    series: str


@dataclass(frozen=True, slots=True)
class _Origin:
    """What http_api says of a message. Any device could say the same, so each part is checked."""

    received_us: int
    client_ip: str | None
    idempotency: str | None = None


class Intake:
    """Turns deliveries into commits; remembers what it needs in order to know a reading again."""

    def __init__(
        self,
        kinds: Kinds,
        window: TimeWindow,
        *,
        columns: Columns,
        fingerprints: fp.Fingerprints,
        timeline: Timeline,
        answers: Answers,
    ) -> None:
        self._kinds = kinds
        self._window = window
        self._columns = columns
        self._fingerprints = fingerprints
        self._timeline = timeline
        self._answers = answers
        self._targets: dict[str, _Target] = {}

    def decide(self, events: Iterable[Event], now_us: int) -> Commit:
        """Decide on all that arrived since the last commit, in order of arrival."""
        commit = Commit(now_us)
        for event in events:
            if isinstance(event, Connected):
                if not event.session_present:
                    self._start_session(commit)
            else:
                commit.deliveries.append(event)
                self._take(event, commit)
        return commit

    def _start_session(self, commit: Commit) -> None:
        self._fingerprints.clear()
        commit.fingerprints.clear()
        commit.starts_session = True

    def _take(self, delivery: Delivery, commit: Commit) -> None:
        packet = delivery.packet
        topic, payload = packet.topic, packet.payload
        if packet_id := packet.packet_id:
            entry = fp.entry(packet_id, topic, payload, packet.subscription_ids)
            is_redelivery = packet.duplicate and entry in self._fingerprints
            self._fingerprints.add(entry)
            commit.fingerprints.append(entry)
            if is_redelivery:
                # Its receipt may be lost with the earlier connection; http_api then answers 202, which is true.
                commit.duplicates += 1
                return
        properties = packet.user_properties
        origin = self._origin(dict(properties), commit.time_us) if properties else _Origin(commit.time_us, None)
        outcomes = self._answer(topic, payload, origin, commit)
        response_topic, correlation = packet.response_topic, packet.correlation_data or b""
        if response_topic is not None and topics.is_receipts(response_topic) and _CORRELATION.fullmatch(correlation):
            commit.receipts.setdefault(response_topic, {})[correlation.decode()] = outcomes

    def _answer(self, topic: str, payload: bytes, origin: _Origin, commit: Commit) -> list[Any]:
        """What became of each reading: as it was said before, where http_api has asked before."""
        asked = idempotency.asked(origin.idempotency, topic, payload)
        if asked is None:
            return self._accept_all(topic, payload, origin, commit)
        try:
            known = self._answers.find(asked, commit.time_us)
        except RejectedError as error:
            return [_reject(error, topic, payload, origin, commit)]
        if known is not None:
            commit.duplicates += 1
            return known
        outcomes = self._accept_all(topic, payload, origin, commit)
        commit.answers.append(self._answers.add(asked, outcomes, commit.time_us))
        commit.oldest_answer_id = self._answers.oldest_id
        return outcomes

    def _accept_all(self, topic: str, payload: bytes, origin: _Origin, commit: Commit) -> list[Any]:
        """Put the readings of one payload into the commit, the bad ones as dead letters; what became of each."""
        try:
            target = self._targets.get(topic) or self._target(topic)
            readings = _parse(target.kind, payload)
        except Exception as error:  # noqa: BLE001 - as below
            return [_reject(_rejected(error), topic, payload, origin, commit)]
        outcomes: list[Any] = []
        for reading in readings:
            try:
                outcomes.append(self._accept(target, reading, origin, commit))
            except Exception as unexpected:  # noqa: BLE001 - what stops the bridge comes again, and would stop it for ever
                rejection = _rejected(unexpected)
                if isinstance(reading, Kind) and len(readings) > 1:  # not the good ones beside it
                    rejection.payload = _element(reading)
                own_topic = (
                    topic if target.sensor_id else _own_topic(target.kind, reading, rejection.payload or payload)
                )
                outcomes.append(_reject(rejection, own_topic, payload, origin, commit))
        return outcomes

    def _accept(self, target: _Target, reading: Kind | RejectedError, origin: _Origin, commit: Commit) -> int:
        """Fix the time of a good reading and put it into the commit, unless it is known; its id."""
        if isinstance(reading, RejectedError):
            raise reading
        if target.sensor_id is None:
            target = self._target_of(target.kind, reading)
        elif reading.sensor_id is not None and reading.sensor_id != target.sensor_id:
            detail = f"{reading.sensor_id!r} in the payload, {target.sensor_id!r} in the topic"
            raise RejectedError("bad_topic", FieldError("sensor_id", detail))
        values = reading.values()
        if not values:
            raise RejectedError("bad_reading", FieldError("", "no values, at least 1"))
        new_columns = self._columns.check(target.kind.table, values)
        fields = fields_text(values)
        if reading.time is None:
            time_us = self._timeline.assign(target.series, fields, origin.received_us)
        else:
            time_us = parse_time(reading.time)
            self._window.check(time_us, commit.time_us)
            time_us, is_known = self._timeline.place(target.series, fields, time_us)
            if is_known:
                commit.duplicates += 1
                return time_us
        if new_columns:
            self._columns.add(new_columns)
            commit.columns += new_columns
        commit.frames.append(frame(target.kind.kind, target.sensor_id or "", time_us, values))
        commit.lines.append(line(target.series, fields, time_us, origin.client_ip))
        return time_us

    def _origin(self, properties: dict[str, str], now_us: int) -> _Origin:
        client_ip = properties.get("client_ip", "")
        received = properties.get("received_us", "")
        received_us = int(received) if _MICROSECONDS.fullmatch(received) else now_us
        try:
            self._window.check(received_us, now_us)
        except RejectedError:
            received_us = now_us
        known_ip = client_ip if _CLIENT_IP.fullmatch(client_ip) else None
        return _Origin(received_us, known_ip, properties.get("idempotency"))

    def _target_of(self, kind: type[Kind], reading: Kind) -> _Target:
        if reading.sensor_id is None:
            raise RejectedError("bad_reading", FieldError("sensor_id", "Field required"))
        topic = topics.reading(reading.sensor_id, kind.kind)
        return self._targets.get(topic) or self._target(topic)

    def _target(self, topic: str) -> _Target:
        sensor_id, kind_name = topics.parse_reading(topic)
        kind = self._kinds.get(kind_name)
        if kind is None:
            known = ", ".join(sorted(self._kinds))
            raise RejectedError("unknown_kind", FieldError("kind", f"{kind_name!r}, known are {known}"))
        if len(self._targets) >= MAX_TARGETS:
            self._targets.clear()
        target = self._targets[topic] = _Target(kind, sensor_id, series(kind.table, sensor_id or ""))
        return target


def _parse(kind: type[Kind], payload: bytes) -> list[Kind | RejectedError]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RejectedError(
            "too_large", FieldError("", f"payload of {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
        )
    return parse_many(kind, payload)


def _own_topic(kind: type[Kind], reading: Kind | RejectedError, payload: bytes) -> str:
    """Where a rejected reading of many sensors can be sent again: to its own topic, if it names a sensor."""
    if isinstance(reading, Kind):
        sensor_id: object = reading.sensor_id
    else:
        try:
            members = orjson.loads(payload)
        except orjson.JSONDecodeError:  # numbers that orjson does not take
            members = None
        sensor_id = members.get("sensor_id") if isinstance(members, dict) else None
    if isinstance(sensor_id, str) and re.fullmatch(SENSOR_ID_PATTERN, sensor_id):
        return topics.reading(sensor_id, kind.kind)
    return topics.many(kind.kind)


def _rejected(error: Exception) -> RejectedError:
    """What is no rejection was not foreseen: a value that only a user's kind can make, say."""
    if isinstance(error, RejectedError):
        return error
    _log.error("a reading could not be taken: %r", error)
    return RejectedError("validator_failed", FieldError("", f"{type(error).__name__}: {error!r:.200}"))


def _element(reading: Kind) -> bytes | None:
    """One reading of many, in JSON; None where a user's validator has made of it what JSON has no word for."""
    try:
        return to_json(reading.model_dump(by_alias=True, exclude_unset=True), fallback=str, bytes_mode="base64")
    except Exception:  # noqa: BLE001 - a user's __str__, surrogates
        return None


def _reject(error: RejectedError, topic: str, payload: bytes, origin: _Origin, commit: Commit) -> dict[str, str]:
    commit.dead_letters.append(
        DeadLetter(origin.received_us, error.reason, str(error), topic, error.payload or payload, origin.client_ip)
    )
    return {"reason": error.reason, "field": error.errors[0].field, "detail": str(error)}
