"""How long to wait before the next try. The retry loops themselves are where the state is: in the two clients."""

from __future__ import annotations

import random


def backoff_s(attempt: int, *, first_s: float = 0.1, most_s: float = 5.0) -> float:
    """Seconds before try ``attempt`` (from 0): doubling up to ``most_s``, half of it by chance.

    The chance keeps clients that were cut off together from coming back together.
    """
    return random.uniform(0.5, 1) * min(most_s, first_s * 2.0 ** min(attempt, 20))  # noqa: S311 - jitter, not a secret
