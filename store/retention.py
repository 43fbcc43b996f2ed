"""Retention: rows older than a database keeps are deleted, at once when the period is set and every minute."""

import asyncio
import logging
import re
import time
from functools import partial

import duckdb

from store.database import Database, Databases
from store.errors import InvalidRequestError
from store.writer import Writer

logger = logging.getLogger("store")

INTERVAL_S = 60

_UNITS_S = {
    **dict.fromkeys(("ms", "msec", "millis"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86_400),
    **dict.fromkeys(("M", "month", "months"), 30.44 * 86_400),
    **dict.fromkeys(("y", "year", "years"), 365.25 * 86_400),
}
_TERM = re.compile(r"\s*([0-9]{1,12})\s*([A-Za-z]+)\s*")


def duration_s(text: str) -> float:
    """Read a duration like ``30d`` or ``1h 30m``, as InfluxDB does (Rust's humantime)."""
    total, at = 0.0, 0
    while term := _TERM.match(text, at):
        if term[2] not in _UNITS_S:
            raise InvalidRequestError(f"unknown unit {term[2]!r} in duration {text[:40]!r}: s, m, h, d, w, M or y")
        total, at = total + int(term[1]) * _UNITS_S[term[2]], term.end()
    if at != len(text) or total <= 0:
        raise InvalidRequestError(f"invalid duration {text[:40]!r}: a positive number and a unit, such as 30d")
    return total


def apply(database: Database) -> None:
    """Delete what is too old now. Runs in the writer's thread."""
    if database.retention_s is not None:
        oldest_us = int((time.time() - database.retention_s) * 1e6)
        database.delete_before(max(oldest_us, 0))


async def keep_applying(databases: Databases, writer: Writer) -> None:
    """Apply every database's retention each ``INTERVAL_S``, until cancelled."""
    while True:
        for database in databases.all():
            try:
                await writer.call(partial(apply, database))
            except duckdb.Error as error:
                logger.error("retention of %r failed, next try in %d s: %s", database.name, INTERVAL_S, error)  # noqa: TRY400 - DuckDB's text says it
        await asyncio.sleep(INTERVAL_S)
