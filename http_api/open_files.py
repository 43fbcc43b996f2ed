"""How many connections the system lets this process have: each is an open file."""

from __future__ import annotations

import resource

# Broker, store (a pool for each of a few threads), log, event loop, libraries; about 40 on a quiet day.
RESERVED = 200


def connections(wanted: int) -> int:
    """As many as ``wanted``, with the soft limit raised for it, or what the hard limit leaves, and at least one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        # Most systems start a process with 1,024, for programs that use select(), which we do not.
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - RESERVED))
