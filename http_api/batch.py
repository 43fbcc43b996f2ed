"""What to make of a batch: which of its readings are good, and in which messages they go. Pure: no I/O, no clock.

A reading that cannot be accepted costs nothing but itself. The good ones of a kind go in order, many in a message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from sensorflow import kinds as kinds_module
from sensorflow.errors import FieldError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensorflow.kinds import Kind, Kinds

MAX_MESSAGE_BYTES = 60_000  # the bridge takes 65,536
# So that the receipt for it fits into a message too, though all of them were rejected.
MAX_MESSAGE_READINGS = 500
MAX_DETAIL = 300  # characters: a batch of nothing but bad readings must not make an answer much larger than itself


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one reading of a batch, counted from 0, was not accepted; ``field`` is the first that is wrong."""

    index: int
    field: str
    detail: str
    reason: str

    @classmethod
    def of(cls, index: int, error: RejectedError) -> Rejection:
        """As our own checks say it."""
        first, more = error.errors[0], len(error.errors) - 1
        detail = first.detail if not more else str(error).removeprefix(f"{first.field}: ")
        return cls(index, first.field, detail[:MAX_DETAIL], error.reason)

    @classmethod
    def told(cls, index: int, outcome: dict[str, str]) -> Rejection:
        """As the bridge says it in a receipt."""
        name = outcome.get("field", "")
        return cls(index, name, outcome["detail"].removeprefix(f"{name}: ")[:MAX_DETAIL], outcome["reason"])


@dataclass(slots=True)
class Message:
    """Readings of one kind, in the order in which they came, with their places in the batch."""

    kind: type[Kind]
    indexes: list[int] = field(default_factory=list)
    readings: list[Kind] = field(default_factory=list)
    _parts: list[bytes] = field(default_factory=list)
    _bytes: int = 0

    def has_room(self, part: bytes) -> bool:
        """Whether one more reading goes in."""
        return len(self._parts) < MAX_MESSAGE_READINGS and self._bytes + len(part) < MAX_MESSAGE_BYTES

    def put(self, index: int, reading: Kind, part: bytes) -> None:
        """Add a reading, which is ``part`` in JSON."""
        self.indexes.append(index)
        self.readings.append(reading)
        self._parts.append(part)
        self._bytes += len(part) + 1

    def payload(self) -> bytes:
        """A JSON array."""
        return b"[%b]" % b",".join(self._parts)


class Batch:
    """A batch that is taken in, one reading after the other.

    Args:
        check_time: Raises a ``RejectedError`` for a reading whose time is not acceptable.
    """

    def __init__(self, kinds: Kinds, *, may_write: Callable[[str], bool], check_time: Callable[[Kind], object]) -> None:
        self._kinds = kinds
        self._default = next(iter(kinds))
        self._may_write = may_write
        self._check_time = check_time
        self._open: dict[str, Message] = {}
        self.size = 0
        self.messages: list[Message] = []
        """To be published in this order."""
        self.rejections: list[Rejection] = []

    def take(self, element: object) -> None:
        """Take the next reading: its members, or the error for which it has none."""
        index = self.size
        self.size += 1
        try:
            kind, reading, part = self._checked(element)
        except RejectedError as error:
            self.rejections.append(Rejection.of(index, error))
            return
        message = self._open.get(kind.kind)
        if message is None or not message.has_room(part):
            message = self._open[kind.kind] = Message(kind)
            self.messages.append(message)
        message.put(index, reading, part)

    def _checked(self, element: object) -> tuple[type[Kind], Kind, bytes]:
        if isinstance(element, RejectedError):
            raise element
        kind = self._kind_of(element)
        reading = kinds_module.validate(kind, element)
        if reading.sensor_id is None:
            raise RejectedError("bad_reading", FieldError("sensor_id", "Field required"))
        if not self._may_write(reading.sensor_id):
            raise RejectedError(
                "forbidden", FieldError("sensor_id", f"the key is not for the sensor {reading.sensor_id!r}")
            )
        self._check_time(reading)
        part = to_json(element)
        if len(part) >= MAX_MESSAGE_BYTES:
            raise RejectedError("too_large", FieldError("", f"reading of {len(part)} bytes, below {MAX_MESSAGE_BYTES}"))
        return kind, reading, part

    def _kind_of(self, element: Any) -> type[Kind]:
        """The kind that it names, which is not one of its fields."""
        name = element.pop("kind", self._default) if type(element) is dict else self._default
        kind = self._kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            raise RejectedError("unknown_kind", FieldError("kind", f"{name!r:.80}, known are {', '.join(self._kinds)}"))
        return kind
