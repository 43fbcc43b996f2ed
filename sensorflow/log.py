"""Logging: one line an event, as text or as JSON, always to standard error.

Every module logs with ``logging.getLogger(service)``; what is said beside the message goes in ``extra``, and a process
can name a ``context`` that each line carries, such as the request that it is about. Only the standard library: see
docs/decisions/0008-logs-and-metrics.md.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Context = Callable[[], Mapping[str, object]]

_TEXT = "%(asctime)s %(levelname)-7s %(name)-9s %(message)s"
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "1;31", "CRITICAL": "1;31"}  # ECMA-48, 8.3.117
# What logging itself puts on a record; the rest came by ``extra``.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"asctime", "message", "taskName"}
# A line end in foreign text would fake a line of the log, an escape sequence would move the reader's cursor.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) != "\t"}


def start_logging(level: str, style: str, context: Context = dict) -> None:
    """Log from ``level`` on, in ``style`` "text" (coloured for a terminal) or "json".

    What ``context`` returns when a line is logged stands in that line; its own keys go first.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_Context(context))
    if style == "json":
        handler.setFormatter(_Json())
    else:
        handler.setFormatter(_Coloured(_TEXT) if _is_terminal() else _Text(_TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class _Context(logging.Filter):
    """Keeps all, and notes on each what it is about."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in self._context().items():
            vars(record).setdefault(name, value)
        return True


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        event = _extra(record) | event
        try:
            return orjson.dumps(event, default=str).decode()
        except TypeError:  # half a surrogate pair, or a number beyond 64 bits: a line that reads badly, not a lost one
            return orjson.dumps({name: _plain(value) for name, value in event.items()}).decode()


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging calls it
        message = record.message.translate(_CONTROL)
        extra = "".join(f" {name}={_plain(value).translate(_CONTROL)}" for name, value in _extra(record).items())
        return self._line(vars(record) | {"message": message + extra})

    def _line(self, values: dict[str, Any]) -> str:
        return _TEXT % values


class _Coloured(_Text):
    def _line(self, values: dict[str, Any]) -> str:
        colour = _COLOURS.get(values["levelname"], "0")
        return "\x1b[2m{asctime}\x1b[0m \x1b[{colour}m{levelname:<7}\x1b[0m \x1b[2m{name:<9}\x1b[0m {message}".format(
            colour=colour, **values
        )


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _plain(value: object) -> str:
    return str(value).encode(errors="backslashreplace").decode()


def _is_terminal() -> bool:
    """Whether there is somebody to see colours, who has not said that they want none (no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
