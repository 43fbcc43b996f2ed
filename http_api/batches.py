"""A batch's way from its readings to the bridge's disk: a few messages, all on their way at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from http_api.batch import Batch, Message, Rejection
from http_api.ingest import NO_KIND, Origin
from http_api.latest import Newest
from sensorflow import topics
from sensorflow.errors import FieldError, RejectedError, TransientError
from sensorflow.kinds import MAX_READINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from http_api.idempotency import RequestKey
    from http_api.ingest import Ingest
    from sensorflow.kinds import Kinds

SLICE = 100  # readings that are checked in a row, about 1 ms: in between it is the turn of single ones
READINGS_PER_S = 5_000  # that even a busy bridge stores: so much longer than for one reading is a batch waited for
PLACE = "batch"  # of which Idempotency-Keys of batches are the keys
SEND_AGAIN = (
    "none of the batch counts as stored, some of it may be; send all of it again: what has times, or an "
    "Idempotency-Key, is not stored twice"
)


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose batch it is."""

    client_ip: str
    may_write: Callable[[str], bool]
    request_key: RequestKey | None


@dataclass(slots=True)
class Report:
    """What became of a batch.

    Args:
        ids: Of each reading, in order; None for what was rejected, or is not durable yet.
        pending: How many of the accepted ones only the broker has.
    """

    ids: list[int | None]
    rejections: list[Rejection]
    pending: int = 0

    @property
    def accepted(self) -> int:
        """How many are safe, on the bridge's disk or in the broker."""
        return len(self.ids) - len(self.rejections)


class Batches:
    """Takes batches in. Only one is checked at a time, in slices; any number may be on their way."""

    def __init__(self, kinds: Kinds, ingest: Ingest) -> None:
        self._kinds = kinds
        self._ingest = ingest
        self._turn = asyncio.Lock()

    async def accept(self, parse: Callable[[bytes], Iterable[object]], body: bytes, sender: Sender) -> Report:
        """Bring all good readings of a body to safety.

        ``parse`` takes the body apart: of each reading its members, or the error for which there are none.

        Raises:
            RejectedError: There is nothing to tell apart, or more than ``MAX_READINGS``, or the Idempotency-Key was
                used for something else.
            TransientError: Not all of it is safe: the client should send all of it again.
        """
        received_us = self._ingest.clock.next_us(time.time_ns() // 1000)
        async with self._turn:
            batch = await self._check(parse(body), sender, received_us)
        counts = self._ingest.counts_by_kind
        counts[NO_KIND, "rejected"] += len(batch.rejections)
        report = Report([None] * batch.size, batch.rejections)
        try:
            outcomes = await self._deliver(batch.messages, sender, received_us)
        except TransientError as error:
            counts.update(_by_kind(batch.messages, "unavailable"))
            raise TransientError(f"{error}; {SEND_AGAIN}") from error
        except RejectedError:
            counts.update(_by_kind(batch.messages, "rejected"))
            raise
        for message, told in zip(batch.messages, outcomes, strict=True):
            self._note(message, told, report, sender.client_ip)
        report.rejections.sort(key=lambda each: each.index)
        return report

    async def _check(self, elements: Iterable[object], sender: Sender, received_us: int) -> Batch:
        batch = Batch(
            self._kinds,
            may_write=sender.may_write,
            check_time=lambda each: self._ingest.time_us(each, received_us, has_key=sender.request_key is not None),
        )
        rest = iter(elements)
        for element in rest:
            for each in chain([element], islice(rest, SLICE - 1)):
                batch.take(each)
            if batch.size > MAX_READINGS:
                raise RejectedError("too_large", FieldError("", f"a batch of more than {MAX_READINGS} readings"))
            await asyncio.sleep(0)
        if not batch.size:
            raise RejectedError("bad_reading", FieldError("", "an empty batch, at least 1 reading"))
        return batch

    async def _deliver(self, messages: list[Message], sender: Sender, received_us: int) -> list[list[Any] | None]:
        """All at once; the outcomes of each."""
        payloads = [each.payload() for each in messages]
        # Of what is sent, not of the body: where a retry is cut or checked otherwise, all of it is another request.
        content = b"\n".join(payloads)
        mark = self._ingest.marks.mark(sender.request_key, PLACE, content) if sender.request_key else None
        more_s = sum(len(each.readings) for each in messages) / READINGS_PER_S
        outcomes = await asyncio.gather(
            *(
                self._ingest.deliver(
                    topics.many(message.kind.kind),
                    payload,
                    Origin(received_us, sender.client_ip, mark.of(number) if mark else None),
                    more_s=more_s,
                )
                for number, (message, payload) in enumerate(zip(messages, payloads, strict=True))
            ),
            return_exceptions=True,
        )
        if errors := [each for each in outcomes if isinstance(each, BaseException)]:
            raise next((each for each in errors if not isinstance(each, TransientError)), errors[0])
        told = [each for each in outcomes if not isinstance(each, BaseException)]
        for each in filter(None, told):
            if isinstance(each[0], dict) and each[0]["reason"] == "idempotency_mismatch":
                raise RejectedError("idempotency_mismatch", FieldError("", each[0]["detail"]))
        return told

    def _note(self, message: Message, outcomes: list[Any] | None, report: Report, client_ip: str) -> None:
        """Put down what became of one message's readings."""
        counts = Counter[str]()
        if outcomes is not None and len(outcomes) != len(message.indexes):  # rejected as a whole
            outcomes = outcomes[:1] * len(message.indexes)
        for place, (index, reading) in enumerate(zip(message.indexes, message.readings, strict=True)):
            outcome = outcomes[place] if outcomes is not None else None
            if isinstance(outcome, dict):
                counts["rejected"] += 1
                report.rejections.append(Rejection.told(index, outcome))
            elif outcome is None:
                counts["pending"] += 1
                report.pending += 1
            else:
                counts["accepted"] += 1
                report.ids[index] = outcome
                series = (reading.sensor_id or "", message.kind.kind)
                self._ingest.latest.offer(series, Newest(outcome, reading.values(), client_ip))
        self._ingest.counts_by_kind.update({(message.kind.kind, name): count for name, count in counts.items()})


def _by_kind(messages: list[Message], outcome: str) -> Counter[tuple[str, str]]:
    counts = Counter[tuple[str, str]]()
    for message in messages:
        counts[message.kind.kind, outcome] += len(message.readings)
    return counts
