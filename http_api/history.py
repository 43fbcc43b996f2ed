"""The readings of a time range, page by page, out of the store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from http_api import history_question, history_sql
from http_api.history_pages import Key, Pages

if TYPE_CHECKING:
    from http_api.history_pages import Window
    from http_api.history_question import Columns, Question
    from http_api.history_sql import Selection
    from http_api.store_questions import StoreQuestions
    from sensorflow.kinds import Kind

# Of one page, in memory. A row of three numbers takes 50 bytes, one of telemetry can take 16 KiB.
MAX_PAGE_ROWS = history_sql.LIMITS[-1] - 1
MAX_PAGE_BYTES = 8 * 2**20
COLUMNS_FOR_S = 5.0  # a field that is new is seen after that
FIRST_SPAN_S = 86_400  # of an export's windows

_NS = pa.timestamp("ns")
_SECOND_NS = 1_000_000_000
_PRECISION_NS = 1_000  # what the embedded store makes of a time: "before t + 1 ns" would leave out t itself there


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, as batches of the answer's schema.

    Args:
        last: The place of the last one.
        is_cut: Whether the window has more of them.
    """

    batches: list[pa.RecordBatch]
    rows: int
    last: Key | None
    is_cut: bool


class Walk:
    """The pages of one question's answer, one after the other. Blocks: for one thread at a time."""

    def __init__(
        self,
        questions: StoreQuestions,
        question: Question,
        columns: Columns,
        *,
        after: Key | None = None,
        first_span_s: int | None = None,
    ) -> None:
        self._questions, self._schema = questions, columns.schema
        self._selection = history_question.selection(question, columns.stored)
        self._pages = Pages(
            question.start_ns,
            question.end_ns if columns.stored else question.start_ns,
            after=after,
            is_descending=question.is_descending,
            step_ns=(question.every_s or 0) * _SECOND_NS or _PRECISION_NS,
            span_ns=first_span_s and first_span_s * _SECOND_NS,
        )

    @property
    def is_done(self) -> bool:
        """Whether there are no more pages."""
        return self._pages.is_done

    def page(self, rows: int) -> Page:
        """The next one, with at most ``rows``; an empty one does not mean the end.

        Raises:
            TransientError: The store is away, too slow or refuses.
        """
        if self.is_done:
            return Page([], 0, None, is_cut=False)
        rows = min(rows, MAX_PAGE_ROWS)
        page = _page(self._questions, self._selection, self._pages.window(), self._schema, rows)
        self._pages.had(page.rows, page.last, is_cut=page.is_cut, wanted=rows)
        return page


class TableColumns:
    """Which columns the tables have, remembered for ``COLUMNS_FOR_S``."""

    def __init__(self, questions: StoreQuestions) -> None:
        self._questions = questions
        self._known: dict[str, tuple[float, dict[str, str]]] = {}  # one for each kind's table

    async def of(self, kind: type[Kind]) -> dict[str, str]:
        """The names of types by those of columns; empty where no reading was ever written.

        Raises:
            TransientError: The store is away, too slow or refuses.
        """
        asked_s, columns = self._known.get(kind.table, (float("-inf"), {}))
        if time.monotonic() - asked_s < COLUMNS_FOR_S:
            return columns
        columns = await self._questions.ask(lambda: self._columns(kind.table))
        if columns:  # else the first reading of a kind would go unseen for a while
            self._known[kind.table] = time.monotonic(), columns
        return columns

    def _columns(self, table: str) -> dict[str, str]:
        sql = (
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'iox' AND table_name = $table_name AND column_name NOT IN ('time', 'sensor_id')"
        )
        found = self._questions.table(sql, {"table_name": table})
        return {} if found is None else dict(zip(*(column.to_pylist() for column in found.columns), strict=True))


def _page(questions: StoreQuestions, selection: Selection, window: Window, schema: pa.Schema, rows: int) -> Page:
    sql, parameters = history_sql.statement(selection, window, rows + 1)  # to know whether there are more
    taken: list[pa.RecordBatch] = []
    count = size = 0
    is_cut = False
    stream = questions.batches(sql, parameters)
    try:
        for batch in stream:
            part = batch.slice(0, rows - count)
            is_cut = part.num_rows < batch.num_rows or size + part.nbytes >= MAX_PAGE_BYTES
            if part.num_rows:
                taken.append(part)
            count, size = count + part.num_rows, size + part.nbytes
            if is_cut:
                break
    finally:
        stream.close()
    return Page([_shaped(part, schema) for part in taken], count, _last(taken[-1]) if taken else None, is_cut)


def _last(batch: pa.RecordBatch) -> Key:
    return Key(
        batch.column("time").cast(_NS).cast(pa.int64())[-1].as_py(),
        batch.column("sensor_id")[-1].as_py(),
    )


def _shaped(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """In the answer's columns; what the store does not have is null."""
    times = batch.column("time").cast(pa.timestamp("us"), safe=False)
    made = {"id": times.cast(pa.int64()), "timestamp": times.cast(pa.timestamp("us", "UTC"))}
    there = set(batch.schema.names)
    columns = [
        made[field.name]
        if field.name in made
        else batch.column(field.name).cast(field.type)
        if field.name in there
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
