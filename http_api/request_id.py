"""One name for one request: in its answer, in the log, in the audit log; the client's own, where it sent a good one."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from itertools import count

HEADER = b"x-request-id"

_SAFE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_process = secrets.token_hex(4)
_numbers = count(1)
_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """That of the request that is being answered here, else empty."""
    return _current.get()


def context() -> dict[str, str]:
    """For the lines of the log."""
    name = _current.get()
    return {"request_id": name} if name else {}


def begin(given: bytes | None) -> str:
    """Take the client's from here on, if it is 1 to 64 letters, digits, '.', '_', '-'; else a new one."""
    name = given.decode() if given is not None and _SAFE.fullmatch(given) else make()
    _current.set(name)
    return name


def make() -> str:
    """One that nobody has: it does not tell how many there were before other processes."""
    return f"{_process}-{next(_numbers)}"
