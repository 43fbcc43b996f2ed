"""Which type each field of a table has, so that the store does not refuse what was accepted.

Declared kinds have fixed types; telemetry has not: there the first reading that was accepted decides, as in the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensorflow.errors import FieldError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sensorflow.reading import Value

MAX_FIELDS = 490  # of a table: InfluxDB 3 Core has 500 columns for these, the time, sensor_id and client_ip
_WORDS = {"float": "a number", "bool": "true or false", "str": "text"}

Column = tuple[str, str, str]
"""Table, field, and the name of its Python type."""


class Columns:
    """The fields of all tables, by what was accepted so far; at most ``MAX_FIELDS`` a table."""

    def __init__(self, known: Iterable[Column] = ()) -> None:
        self._types: dict[str, dict[str, str]] = {}
        self._spellings: dict[tuple[str, str], str] = {}
        self.add(known)

    def check(self, table: str, values: Mapping[str, Value]) -> list[Column]:
        """The columns that a reading would add.

        Raises:
            RejectedError: ``bad_reading``: a field has a type that no column has, had another type or another spelling
                before, or there are too many.
        """
        types = self._types.get(table, {})
        new: list[Column] = []
        errors: list[FieldError] = []
        for name, value in values.items():
            kind = type(value).__name__
            known = types.get(name)
            if kind not in _WORDS:  # a user's validator may return anything
                detail = f"{kind} ({value!r:.80}) cannot be stored, only {', '.join(_WORDS.values())}"
                errors.append(FieldError(name, detail))
            elif known is None:
                new.append((table, name, kind))
                if (spelling := self._spellings.get((table, name.lower()))) is not None:
                    errors.append(FieldError(name, f"is called {spelling!r} in the table; the case has to be the same"))
            elif known != kind:
                errors.append(FieldError(name, f"{_WORDS[kind]} ({value!r:.80}), but it was {_WORDS[known]} before"))
        if len({name.lower() for _, name, _ in new}) < len(new):
            errors.append(FieldError("", "two fields differ only in case"))
        if len(types) + len(new) > MAX_FIELDS:
            errors.append(FieldError("", f"the table would have {len(types) + len(new)} fields, at most {MAX_FIELDS}"))
        if errors:
            raise RejectedError("bad_reading", *errors)
        return new

    def add(self, columns: Iterable[Column]) -> None:
        """Remember columns of a reading that is accepted."""
        for table, name, kind in columns:
            self._types.setdefault(table, {})[name] = kind
            self._spellings[table, name.lower()] = name
