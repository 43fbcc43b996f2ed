"""Logging: one line an event, as text or as JSON, always to standard error."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson


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
        return orjson.dumps(event).decode()


def start_logging(level: str, style: str) -> None:
    """Log from ``level`` on, in ``style`` "text" or "json"."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)-9s %(message)s")
    handler.setFormatter(_Json() if style == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
