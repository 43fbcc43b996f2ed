"""Asking the store from asyncio: a few threads, a bounded crowd before them, and our own words for what goes wrong."""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sensorflow.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    import pyarrow as pa

    from http_api.store_watch import StoreWatch
    from sensorflow.influx import Influx

MAX_WAITING = 100

T = TypeVar("T")

_log = logging.getLogger("http_api")

# What the stores say about a table, or a whole database, into which nothing was ever written.
NEVER_WRITTEN = re.compile("not found|does not exist", re.IGNORECASE)


class StoreQuestions:
    """At most ``MAX_WAITING`` wait for an answer, ``threads`` of them in the store.

    Args:
        timeout_s: Deadline of each question, with the wait for a thread.
    """

    def __init__(self, influx: Influx, store: StoreWatch, *, threads: int, timeout_s: float) -> None:
        self._influx, self._store, self._timeout_s = influx, store, timeout_s
        self._threads = ThreadPoolExecutor(threads, "store")
        self._waiting = 0

    async def ask(self, question: Callable[[], T]) -> T:
        """What ``question`` returns, which runs in a thread and calls :meth:`table` or :meth:`batches`.

        Raises:
            TransientError: The store is away, too slow or refuses; or too many wait already.
        """
        if self._store.is_away:  # a store that hangs would take the whole timeout to say so
            raise TransientError("the store does not answer")
        if self._waiting >= MAX_WAITING:
            raise TransientError(f"{self._waiting} requests are waiting for the store, at most {MAX_WAITING}")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, question)
        except TimeoutError:
            raise TransientError(f"no answer of the store within {self._timeout_s:g} s") from None
        finally:
            self._waiting -= 1

    def table(self, sql: str, parameters: Mapping[str, Any]) -> pa.Table | None:
        """The whole answer; None where nothing was ever written to what the query names. Blocks."""
        with _our_words(sql):
            return self._influx.query(sql, parameters)
        return None

    def batches(self, sql: str, parameters: Mapping[str, Any]) -> Generator[pa.RecordBatch]:
        """The answer bit by bit, empty as above; to be closed by who does not want all of it. Blocks."""
        with _our_words(sql):
            yield from self._influx.stream(sql, parameters)


@contextmanager
def _our_words(sql: str) -> Iterator[None]:
    """Pass over what was never written."""
    try:
        yield
    except PermanentError as error:
        if NEVER_WRITTEN.search(str(error)):
            return
        _log.error("the store refused %r: %s", sql, error)
        raise TransientError("the store refuses the query; the log says why") from error
    except TransientError as error:
        _log.debug("%s", error)
        raise TransientError("the store does not answer") from error
