"""A reading's way from an HTTP body to the bridge's disk, and what to answer when."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from http_api.latest import Newest
from sensorflow import kinds, reading, topics
from sensorflow.errors import FieldError, ForbiddenError, RejectedError, TransientError
from sensorflow.mqtt import NO_MATCHING_SUBSCRIBERS, RefusedError, Session, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from http_api.bridge_status import BridgeStatus
    from http_api.clock import Clock
    from http_api.idempotency import Marks, RequestKey
    from http_api.latest import Latest
    from http_api.receipts import Receipts
    from sensorflow.kinds import Kind

PUBACK_TIMEOUT_S = 4.0
# How long a receipt may take when the bridge is known to be away: it might come back this moment.
ABSENT_BRIDGE_TIMEOUT_S = 0.05

OUTCOMES = ("accepted", "pending", "rejected", "unavailable")
"""On the bridge's disk; in the broker; refused by our check or the bridge's; not safe, to be sent again."""
NO_KIND = "-"
"""Counts what our check refuses of a batch: a reading's kind may be what is wrong with it."""

_log = logging.getLogger("http_api")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A reading that is safe: on the bridge's disk when it ``is_durable``, else in the broker."""

    record: dict[str, Any]
    is_durable: bool


@dataclass(frozen=True, slots=True)
class Origin:
    """What the bridge is told of a message.

    Args:
        mark: By which a request is known again, where its client wants that.
    """

    received_us: int
    client_ip: str
    mark: tuple[str, str] | None = None

    def properties(self) -> list[tuple[str, str]]:
        """As MQTT user properties."""
        properties = [("received_us", str(self.received_us)), ("client_ip", self.client_ip)]
        return [*properties, self.mark] if self.mark else properties


def _nobody_measures(_: float) -> None:
    pass


@dataclass
class Ingest:
    """Publishes readings and waits for the bridge's receipt.

    Args:
        on_puback: Called with how long the broker took for a message, in seconds.
        on_receipt: Called with how long it took until the bridge's receipt was here; not where none came.
    """

    session: Session
    response_topic: str
    receipts: Receipts
    bridge: BridgeStatus
    latest: Latest
    clock: Clock
    marks: Marks
    window: reading.TimeWindow
    zone: ZoneInfo
    receipt_timeout_s: float
    on_puback: Callable[[float], None] = _nobody_measures
    on_receipt: Callable[[float], None] = _nobody_measures

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self._has_failed = False
        self._refusal: int | None = None
        self.counts_by_kind: Counter[tuple[str, str]] = Counter()  # by kind and outcome

    @property
    def counts(self) -> dict[str, int]:
        """The readings by outcome."""
        by_outcome = dict.fromkeys(OUTCOMES, 0)
        for (_, outcome), count in self.counts_by_kind.items():
            by_outcome[outcome] += count
        return by_outcome

    @property
    def has_failed(self) -> bool:
        """Whether the broker did not take the last reading, and the bridge has not been heard since."""
        return self._has_failed

    def bridge_lives(self) -> None:
        """The bridge was heard: what failed may pass now. Without it health could stay bad for want of a POST."""
        self._has_failed, self._refusal = False, None

    async def accept(
        self,
        kind: type[Kind],
        body: bytes,
        client_ip: str,
        may_write: Callable[[str], bool],
        request_key: RequestKey | None = None,
    ) -> Accepted:
        """Bring one reading to safety; of several requests with the same key, one.

        Raises:
            ForbiddenError: Whoever sent it may not write for its sensor.
            RejectedError: It cannot be accepted, by our own check or the bridge's.
            TransientError: It is not safe, though it may still arrive; the client should send it again.
        """
        try:
            accepted = await self._accept(kind, body, client_ip, may_write, request_key)
        except RejectedError:
            self.counts_by_kind[kind.kind, "rejected"] += 1
            raise
        except TransientError:
            self.counts_by_kind[kind.kind, "unavailable"] += 1
            raise
        self.counts_by_kind[kind.kind, "accepted" if accepted.is_durable else "pending"] += 1
        return accepted

    async def deliver(self, topic: str, payload: bytes, origin: Origin, *, more_s: float = 0.0) -> list[Any] | None:
        """Bring one message to the broker; what then became of each of its readings, see :meth:`Receipts.expect`.

        None where the bridge does not say it in time (``more_s`` longer than for a single reading), or the stop of the
        server cut the wait short: only the broker has the message.

        Raises:
            TransientError: It is not safe, though it may still arrive.
        """
        if self.bridge.is_full:
            raise TransientError("the bridge's spool is full: the store has been away for too long")
        with self.receipts.expect() as (correlation, receipt):
            began_s = time.perf_counter()
            await self._publish(topic, payload, correlation, origin, receipt)
            self.on_puback(time.perf_counter() - began_s)
            outcomes = await self._receipt(receipt, more_s)
        if outcomes is not None:
            self.on_receipt(time.perf_counter() - began_s)
        elif not self.bridge.has_session:
            # Somebody is subscribed who may read nothing, such as a device to "#"; else this had been a PUBACK 0x10.
            raise TransientError(_refusal_detail(NO_MATCHING_SUBSCRIBERS))
        return outcomes

    async def _accept(
        self,
        kind: type[Kind],
        body: bytes,
        client_ip: str,
        may_write: Callable[[str], bool],
        request_key: RequestKey | None,
    ) -> Accepted:
        if not body:
            raise RejectedError("bad_json", FieldError("", "the body is empty"))
        parsed = kinds.parse_one(kind, body)
        sensor_id = parsed.sensor_id
        if sensor_id is None:
            raise RejectedError("bad_reading", FieldError("sensor_id", "Field required"))
        if not may_write(sensor_id):
            raise ForbiddenError(f"the key is not for the sensor {sensor_id!r}")
        received_us = self.clock.next_us(time.time_ns() // 1000)
        time_us = self.time_us(parsed, received_us, has_key=request_key is not None)
        topic = topics.reading(sensor_id, kind.kind)
        mark = self.marks.mark(request_key, topic, body).of(0) if request_key else None

        outcomes = await self.deliver(topic, body, Origin(received_us, client_ip, mark))

        values = parsed.values()
        if outcomes is None:
            record = reading.record(kind.kind, sensor_id, time_us, values, client_ip, self.zone)
            return Accepted(record | {"durable": False}, is_durable=False)
        id_us = outcomes[0]
        if not isinstance(id_us, int):
            raise RejectedError(id_us["reason"], FieldError("", id_us["detail"]))
        record = reading.record(kind.kind, sensor_id, id_us, values, client_ip, self.zone)
        self.latest.offer((sensor_id, kind.kind), Newest(id_us, values, client_ip))
        return Accepted(record, is_durable=True)

    def time_us(self, parsed: Kind, received_us: int, *, has_key: bool) -> int:
        """The time that a reading will have, as far as we can tell.

        Under an Idempotency-Key whether it is too old is for the bridge to say: by the time of a retry it may have
        become too old, and it may have been stored.

        Raises:
            RejectedError: ``bad_time``.
        """
        if parsed.time is None:
            return received_us
        time_us = reading.parse_time(parsed.time)
        if not has_key:
            self.window.check(time_us, received_us)
        return time_us

    async def _publish(
        self, topic: str, payload: bytes, correlation: str, origin: Origin, receipt: asyncio.Future[list[Any]]
    ) -> None:
        try:
            await self.session.publish(
                topic,
                payload,
                response_topic=self.response_topic,
                correlation_data=correlation.encode(),
                user_properties=origin.properties(),
                timeout_s=PUBACK_TIMEOUT_S,
            )
        except RefusedError as error:
            self._has_failed = True
            self._note_refusal(error)
            raise TransientError(_refusal_detail(error.reason_code)) from error
        except UnavailableError:
            if not receipt.done():  # the receipt counts for more than the PUBACK that got lost
                self._has_failed = True
                raise
        self._has_failed, self._refusal = False, None

    async def _receipt(self, receipt: asyncio.Future[list[Any]], more_s: float) -> list[Any] | None:
        is_active = self.bridge.is_active(time.monotonic())
        timeout_s = self.receipt_timeout_s + more_s if is_active else ABSENT_BRIDGE_TIMEOUT_S
        with suppress(asyncio.CancelledError):  # the broker has the message, and the client shall know it
            await asyncio.wait([receipt], timeout=timeout_s)
        return receipt.result() if receipt.done() else None

    def _note_refusal(self, error: RefusedError) -> None:
        """Log the first of a row: all that follow say the same."""
        if self._refusal != error.reason_code:
            log = _log.warning if error.reason_code == NO_MATCHING_SUBSCRIBERS else _log.error
            log("%s", error)
        self._refusal = error.reason_code


def _refusal_detail(reason_code: int) -> str:
    if reason_code == NO_MATCHING_SUBSCRIBERS:
        return "nobody takes readings: the bridge has not been connected to this broker yet"
    return f"the broker refused the reading with reason code 0x{reason_code:02x}"
