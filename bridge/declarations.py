"""The tables that the store should have before their first row: a dashboard then shows no data, and not an error.

A courtesy: the store makes a table at its first row anyway, so nothing waits for this, and a failure changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge import stats
from sensorflow.backoff import backoff_s
from sensorflow.errors import PermanentError, TransientError
from sensorflow.kinds import types_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Protocol

    from bridge.columns import Column
    from sensorflow.kinds import Kind, Kinds

    class Store(Protocol):
        """What is used of :class:`sensorflow.influx.Influx`."""

        def declare(self, table: str, tags: Sequence[str], fields: Mapping[str, str]) -> None: ...


ATTEMPTS = 5  # some ten seconds: a store that answers may not be ready for more

_STORE_TYPES = {"float": "float64", "bool": "bool", "str": "utf8"}  # by the names of the spool's columns

_log = logging.getLogger("bridge")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One table, with the names and types of its fields as InfluxDB 3 calls them."""

    table: str
    tags: tuple[str, ...]
    fields: dict[str, str]


def declarations(kinds: Kinds, columns: Iterable[Column] = ()) -> list[Declaration]:
    """The tables of all kinds, and the bridge's own.

    A field that has another type in ``columns``, those of the readings so far, is left out: what is spooled with that
    type must still fit.
    """
    known = {(table, name): type_ for table, name, type_ in columns}
    own = Declaration(stats.TABLE, (stats.TAG,), dict.fromkeys(stats.FIELDS, "float64"))
    return [*(_declaration(kind, known) for kind in kinds.values()), own]


def _declaration(kind: type[Kind], known: Mapping[tuple[str, str], str]) -> Declaration:
    types = {name: _type(kind, name) for name in kind.value_names}
    usable = {name: type_ for name, type_ in types.items() if type_ and known.get((kind.table, name), type_) == type_}
    fields = {name: _STORE_TYPES[type_] for name, type_ in usable.items()}
    return Declaration(kind.table, ("sensor_id",), fields | {"client_ip": "utf8"})


def _type(kind: type[Kind], name: str) -> str | None:
    """None where it may be one of several: then the first reading decides, as ever."""
    types = {each.__name__ for each in types_of(kind.model_fields[name].annotation)}
    return types.pop() if len(types) == 1 else None


class Declarer:
    """Declares tables when told that a store is there, which may be an empty one."""

    def __init__(self, influx: Store, wanted: Sequence[Declaration]) -> None:
        self._influx, self._wanted = influx, wanted
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="declare")
        self._is_there = asyncio.Event()
        self._has_failed = False

    def wake(self) -> None:
        """A store answers that we have not seen before."""
        self._is_there.set()

    async def run(self) -> None:
        """Declare, for ever. Cancel it to stop: a call under way ends by its own deadline."""
        while True:
            await self._is_there.wait()
            self._is_there.clear()
            for declaration in self._wanted:
                await self._declare(declaration)

    async def _declare(self, wanted: Declaration) -> None:
        loop, call = asyncio.get_running_loop(), self._influx.declare
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await loop.run_in_executor(self._thread, call, wanted.table, wanted.tags, wanted.fields)
            except (TransientError, PermanentError) as error:
                if attempt == ATTEMPTS or isinstance(error, PermanentError):
                    self._give_up(wanted, error)
                    return
                await asyncio.sleep(backoff_s(attempt, first_s=0.5))
            else:
                return

    def _give_up(self, wanted: Declaration, error: Exception) -> None:
        if not self._has_failed:
            _log.warning("table %s appears only with its first row: %s", wanted.table, error)
        self._has_failed = True
