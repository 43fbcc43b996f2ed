"""A MicroPython board on a computer: ``python board.py SCRIPT``. Beside it are the modules that CPython has not."""

import runpy
import sys
import time


def ticks_ms() -> int:
    """Begins again after 2**30, as on a board, and soon: the scripts must get along with it."""
    return (time.monotonic_ns() // 1_000_000 - _STARTED_MS - 3000) % 2**30


def ticks_diff(later: int, earlier: int) -> int:
    return (later - earlier + 2**29) % 2**30 - 2**29


def sleep_ms(ms: int) -> None:
    time.sleep(ms / 1000)


_STARTED_MS = time.monotonic_ns() // 1_000_000
for function in (ticks_ms, ticks_diff, sleep_ms):
    setattr(time, function.__name__, function)

runpy.run_path(sys.argv[1], run_name="__main__")
