"""Who used which key from where, and what was refused: few lines of many requests, whatever strangers do.

The rule that keeps it simple: a line is written on the first of a kind from an address in a while, and all of them
together are at most ``MAX_LINES``; what is left out is counted in the next line.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from http_api.limits import MAX_COUNTED, Limit
from sensorflow import audit

if TYPE_CHECKING:
    from io import TextIOWrapper

    from sensorflow.keys import Grant

MAX_LINES = "300/minute"
USED_AGAIN_S = 3600.0
REFUSED_AGAIN = "1/minute"
MAX_FILE_BYTES = 10 * 2**20
KEPT_FILES = 5

_log = logging.getLogger("audit")


def start(place: Path) -> None:
    """Write to ``audit.jsonl`` there, and keep ``KEPT_FILES`` more; where that cannot be, write to the log."""
    _log.setLevel(logging.INFO)  # whatever LOG_LEVEL is: in the log, too, these lines are no chatter
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = _File(place / audit.FILE, maxBytes=MAX_FILE_BYTES, backupCount=KEPT_FILES, encoding="utf-8")
    except OSError as error:
        logging.getLogger("http_api").warning("the audit log is written here: %s: %s", place, error.strerror)
        return
    _log.propagate = False
    _log.addHandler(handler)


class Audit:
    """What is worth a line."""

    def __init__(self) -> None:
        self._used: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._refusals = Limit("refusals", REFUSED_AGAIN)
        self._lines = Limit("lines", MAX_LINES)
        self._left_out = 0

    def used(self, who: str, grant: Grant, request_id: str) -> None:
        """A key was used; the first time, and each hour again, this is a line. Knows ``MAX_COUNTED`` such pairs."""
        pair = (who, grant.secret_id or grant.name)
        if (since_s := self._used.get(pair)) is not None and time.monotonic() - since_s < USED_AGAIN_S:
            return
        self._used[pair] = time.monotonic()
        self._used.move_to_end(pair)
        if len(self._used) > MAX_COUNTED:
            self._used.popitem(last=False)
        self._write("key used", key=grant.name, secret_id=grant.secret_id or None, address=who, request_id=request_id)

    def refused(self, status: int, who: str, key: str | None = None, **more: object) -> None:
        """A request was refused; of the same kind, from there, with this key this is one line a minute."""
        if self._refusals.hit(f"{status} {who} {key}").is_over:
            self._left_out += 1
        else:
            self._write("refused", status=status, address=who, key=key, **more)

    def _write(self, event: str, **fields: object) -> None:
        if self._lines.hit("").is_over:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        _log.info("%s", audit.line(event, **fields, left_out=left_out or None))


class _File(RotatingFileHandler):
    """For the owner alone, and for several processes: each follows when another has rotated it.

    A line that cannot be written goes to the log, which says so once.
    """

    _has_complained = False

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802 - the library's name
        if self.stream is not None and not self._is_at_its_place(self.stream):
            new = self._open()
            self.stream.close()
            self.stream = new
        return super().shouldRollover(record)

    def _is_at_its_place(self, file: TextIOWrapper) -> bool:
        try:
            return os.path.samestat(Path(self.baseFilename).stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def _open(self) -> TextIOWrapper:
        path = Path(self.baseFilename)
        path.touch(mode=0o600)
        return path.open("a", encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        if not self._has_complained:
            self._has_complained = True
            logging.getLogger("http_api").error("audit log: cannot write %s", self.baseFilename)
        logging.getLogger().handle(record)
