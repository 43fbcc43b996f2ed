"""The time of readings that bring none."""

from __future__ import annotations


class Clock:
    """Microseconds since 1970 that strictly increase, even when the system's clock is set back."""

    def __init__(self) -> None:
        self._last_us = 0

    def next_us(self, now_us: int) -> int:
        """Now, or one microsecond after the last answer."""
        self._last_us = max(now_us, self._last_us + 1)
        return self._last_us
