"""The errors that our own code raises. The type tells the caller what to do with the reading."""

from __future__ import annotations

from dataclasses import dataclass


class SensorFlowError(Exception):
    """Whatever we raise on purpose. Anything else is a bug and stops the service."""


class PermanentError(SensorFlowError):
    """It will never succeed: reject it, count it, keep the evidence."""


class TransientError(SensorFlowError):
    """It may succeed later: keep the reading and back off."""


class ForbiddenError(PermanentError):
    """Whoever sends it may not: another key could."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a reading; ``field`` is empty where it is wrong with the whole."""

    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}" if self.field else self.detail


class RejectedError(PermanentError):
    """A reading that cannot be accepted.

    Args:
        reason: One of the words that name a topic below ``dead_letters/``.
        errors: At least one; each names the field, the value and the bound.
        payload: The rejected element, where it came in an array with others.
    """

    def __init__(self, reason: str, *errors: FieldError, payload: bytes | None = None) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.reason = reason
        self.errors = errors
        self.payload = payload
