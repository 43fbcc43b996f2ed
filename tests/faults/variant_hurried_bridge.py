"""The bridge with its waits for the store cut short, and with small chunks: else R7's 5,000 writes would take hours."""

import random

from bridge import __main__ as bridge
from bridge import shipper, spool

bridge.STORE_TIMEOUT_S = 0.05
shipper.LINGER_S = 0.0
spool.MAX_CHUNK_READINGS = 1  # a chunk is what one commit has brought


def _soon(attempt: int, *, first_s: float = 0.1, most_s: float = 5.0) -> float:
    return random.uniform(0.001, 0.003)  # noqa: S311 - jitter, not a secret


shipper.backoff_s = _soon  # type: ignore[attr-defined] # mypy: not exported; it is replaced where it is used

if __name__ == "__main__":
    bridge.main()
