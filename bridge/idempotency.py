"""Which requests of http_api were answered before: a retry under the same Idempotency-Key gets the same answer.

What http_api says of a message in the user property ``idempotency``::

    | request: who asks for what, 32 hex | . | content: digest of the request's body, 32 hex | . | number, hex |

``request`` is a keyed digest that nobody but http_api can make, and ``number`` counts the messages of one request. Any
device can send the property too; so the sensor of the real topic is part of what a request is known by here, and a
device that may write for one sensor alone reaches no request but those for that sensor.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from sensorflow.errors import FieldError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_ANSWERS = 10_000  # messages: so many single readings, or batches of some five million
MAX_BYTES = 16 * 2**20  # of their outcomes: about a million readings in batches
MAX_AGE_US = 24 * 3600 * 1_000_000

_PROPERTY = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{1,4})")
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """One message of a request that may come again.

    Args:
        request: Digest of the request and of the sensor in the topic; 16 bytes.
        content: Digest of what the whole request brought.
        payload: Digest of what this message brought: another release of http_api may cut a batch elsewhere.
    """

    request: bytes
    number: int
    content: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one message.

    Args:
        id: Counted from 1, in order of arrival.
        outcomes: As in the receipt, in JSON.
    """

    id: int
    time_us: int
    asked: Asked
    outcomes: bytes


@dataclass(slots=True)
class _Request:
    content: bytes
    answers: dict[int, Answer] = field(default_factory=dict)


def asked(text: str | None, topic: str, payload: bytes) -> Asked | None:
    """What the property says of a message; None where it says nothing."""
    if text is None or not (found := _PROPERTY.fullmatch(text)):
        return None
    sensor = topic.rpartition("/")[0]  # sensors/{sensor_id}: the kind may differ between the messages of a batch
    return Asked(
        request=_digest(found[1].encode() + sensor.encode()),
        number=int(found[3], 16),
        content=bytes.fromhex(found[2]),
        payload=_digest(payload),
    )


class Answers:
    """The last answers: at most ``MAX_ANSWERS`` or ``MAX_BYTES``, and none older than ``MAX_AGE_US``.

    What is beyond is forgotten, the oldest first. A retry that comes later than that is a new request.

    Args:
        kept: What the spool has, oldest first.
    """

    def __init__(self, kept: Iterable[Answer] = ()) -> None:
        self._requests: dict[bytes, _Request] = {}
        self._row: deque[Answer] = deque()
        self._bytes = 0
        self._last_id = 0
        for answer in kept:
            self._keep(answer)

    def find(self, message: Asked, now_us: int) -> list[Any] | None:
        """What became of the same message before; None where it is new.

        Raises:
            RejectedError: ``idempotency_mismatch``: the key was used for something else.
        """
        self._forget_old(now_us)
        request = self._requests.get(message.request)
        if request is None:
            return None
        known = request.answers.get(message.number)
        if request.content != message.content or (known and known.asked.payload != message.payload):
            raise RejectedError(
                "idempotency_mismatch", FieldError("Idempotency-Key", "it was used for another request before")
            )
        outcomes: list[Any] | None = orjson.loads(known.outcomes) if known else None
        return outcomes

    def add(self, message: Asked, outcomes: list[Any], now_us: int) -> Answer:
        """Remember what became of a new message; the answer, for the spool."""
        answer = Answer(self._last_id + 1, now_us, message, orjson.dumps(outcomes))
        self._keep(answer)
        return answer

    @property
    def oldest_id(self) -> int:
        """Of those that are remembered; the spool needs none before it."""
        return self._row[0].id if self._row else self._last_id + 1

    def _keep(self, answer: Answer) -> None:
        asked = answer.asked
        request = self._requests.setdefault(asked.request, _Request(asked.content))
        request.answers[asked.number] = answer
        self._row.append(answer)
        self._bytes += len(answer.outcomes)
        self._last_id = answer.id
        while len(self._row) > MAX_ANSWERS or (self._bytes > MAX_BYTES and len(self._row) > 1):
            self._forget_oldest()

    def _forget_old(self, now_us: int) -> None:
        while self._row and self._row[0].time_us < now_us - MAX_AGE_US:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = self._row.popleft()
        self._bytes -= len(oldest.outcomes)
        answers = self._requests[oldest.asked.request].answers
        del answers[oldest.asked.number]
        if not answers:
            del self._requests[oldest.asked.request]


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()
