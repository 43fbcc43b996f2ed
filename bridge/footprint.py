"""What this process takes of the machine. Reads /proc: where there is none, as on macOS, less is known."""

from __future__ import annotations

import resource
from pathlib import Path

_PROC = Path("/proc/self")
_PAGE_BYTES = resource.getpagesize()


def footprint() -> dict[str, float]:
    """``cpu_s`` since the start, and where the system tells: ``memory_bytes`` (resident) and ``open_files``."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    known: dict[str, float] = {"cpu_s": round(used.ru_utime + used.ru_stime, 3)}
    try:
        known["memory_bytes"] = int((_PROC / "statm").read_text().split()[1]) * _PAGE_BYTES
        known["open_files"] = sum(1 for _ in (_PROC / "fd").iterdir()) - 1  # but for the one that looks
    except OSError:  # also where no file can be opened any more, which the log says
        pass
    return known
