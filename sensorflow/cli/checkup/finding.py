"""What was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Args:
        part: Where: ``broker``, ``spool``, …
        what: What is so, in plain words.
        advice: What to do about it.
        is_fault: Whether it has to be put right; a note only wants to be known.
    """

    part: str
    what: str
    advice: str
    is_fault: bool = True
