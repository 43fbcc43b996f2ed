"""What became of the readings that a command sent."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REASONS = 5


class Answer(Enum):
    """What the system promised for a reading."""

    DURABLE = "durable"  # 201: on the bridge's disk
    ACCEPTED = "accepted"  # 202 or PUBACK 0x00: the broker has it


class Tally:
    """Counts answers and rejections, and keeps the first few reasons: as many as a person reads.

    Args:
        total: How many readings there are to send; None where only those that were started count.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.started = 0
        self.answers: Counter[Answer] = Counter()
        self.rejected = 0
        self.reasons: list[str] = []

    @property
    def done(self) -> int:
        """How many readings have met their fate."""
        return self.answers.total() + self.rejected

    @property
    def unanswered(self) -> int:
        """How many readings did not get through, or were not even tried."""
        return (self.started if self.total is None else self.total) - self.done

    def start(self) -> None:
        """Count a reading that is on its way."""
        self.started += 1

    def answer(self, answer: Answer) -> None:
        """Count a reading that was taken."""
        self.answers[answer] += 1

    def reject(self, reason: str) -> None:
        """Count a reading that will never be taken."""
        self.rejected += 1
        if len(self.reasons) < MAX_REASONS:
            self.reasons.append(reason)

    def lines(self, seconds: float) -> Iterator[str]:
        """The summary of a run that took ``seconds``."""
        rate = self.answers.total() / seconds if seconds else 0.0
        yield f"sent       {self.answers.total():>9,}  in {seconds:.1f} s, {rate:,.0f} readings/s"
        yield f"  durable  {self.answers[Answer.DURABLE]:>9,}  (201: on disk)"
        yield f"  accepted {self.answers[Answer.ACCEPTED]:>9,}  (202 or PUBACK: the broker has it)"
        yield f"rejected   {self.rejected:>9,}"
        yield from (f"  {reason}" for reason in self.reasons)
        if self.rejected > len(self.reasons):
            yield f"  and {self.rejected - len(self.reasons):,} more"
        yield f"unanswered {self.unanswered:>9,}"
