"""How often somebody may come, counted with the ``limits`` library; no I/O.

Its own memory starts a thread for each hundredth of a second in which there are requests, to look at all it has; and
strangers decide how much that is. Ours is a dictionary with room for so many, and the longest unseen goes.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

import limits
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

if TYPE_CHECKING:
    from collections.abc import Iterable

OFF = "off"
MAX_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands: how many requests more, until when.

    Args:
        policy: What is counted: "key" or "address".
        reset_s: Seconds until all may be used again.
    """

    policy: str
    amount: int
    window_s: int
    remaining: int
    reset_s: int
    is_over: bool


class Limit:
    """So many in a window that begins with the first of them; ``MAX_COUNTED`` are counted at once.

    Args:
        rate: Such as ``6000/minute``, or ``off``.
    """

    def __init__(self, policy: str, rate: str) -> None:
        self.policy = policy
        self.is_on = rate != OFF
        self._item = limits.parse(rate) if self.is_on else limits.RateLimitItemPerSecond(1)
        self._limiter = FixedWindowRateLimiter(_Memory())

    def __str__(self) -> str:
        """For people: ``60 per 1 minute``."""
        return str(self._item)

    def hit(self, who: str) -> Standing:
        """Count one more of theirs; only when it is on."""
        is_over = not self._limiter.hit(self._item, who)
        reset_at_s, remaining = self._limiter.get_window_stats(self._item, who)
        reset_s = max(1, math.ceil(reset_at_s - time.time()))
        return Standing(self.policy, self._item.amount, self._item.get_expiry(), max(0, remaining), reset_s, is_over)


def headers(standings: Iterable[Standing]) -> list[tuple[bytes, bytes]]:
    """As draft-ietf-httpapi-ratelimit-headers says it."""
    standings = list(standings)
    policies = ", ".join(f'"{each.policy}";q={each.amount};w={each.window_s}' for each in standings)
    states = ", ".join(f'"{each.policy}";r={each.remaining};t={each.reset_s}' for each in standings)
    return [(b"ratelimit-policy", policies.encode()), (b"ratelimit", states.encode())] if standings else []


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Who an address is, as far as counting goes: of IPv6 one house has a whole /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False))


class _Memory(Storage):
    """Counters by key, each with its end; those whose window began longest ago make room."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._counters: OrderedDict[str, list[float]] = OrderedDict()  # count, end

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now_s = time.time()
        counter = self._counters.get(key)
        if counter is None or counter[1] <= now_s:
            self._counters.pop(key, None)
            counter = self._counters[key] = [0, now_s + expiry]
            if len(self._counters) > MAX_COUNTED:
                self._counters.popitem(last=False)
        counter[0] += amount
        return int(counter[0])

    def get(self, key: str) -> int:
        counter = self._counters.get(key)
        return 0 if counter is None or counter[1] <= time.time() else int(counter[0])

    def get_expiry(self, key: str) -> float:
        counter = self._counters.get(key)
        return time.time() if counter is None else counter[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        count = len(self._counters)
        self._counters.clear()
        return count

    def clear(self, key: str) -> None:
        self._counters.pop(key, None)
