from collections.abc import Iterator
from typing import Any, cast

import pyarrow as pa
import pytest

from http_api import history
from http_api.history import Walk
from http_api.history_question import Question, columns
from sensorflow.kinds import Telemetry

QUESTION = Question(
    kind=Telemetry,
    fields=(),
    start_ns=0,
    end_ns=1_000_000_000,
    sensor_ids=(),
    prefix="",
    every_s=None,
    aggregate="avg",
    is_descending=False,
)


class Store:
    """Has always the same batches, whatever is asked; counts how often it was asked, and what was taken."""

    def __init__(self, *sizes: int) -> None:
        self.sizes, self.asked, self.taken = sizes, 0, 0

    def batches(self, _: str, __: object) -> Iterator[pa.RecordBatch]:
        self.asked += 1
        at = 0
        for size in self.sizes:
            times = pa.array([(at + n) * 1000 for n in range(size)], pa.timestamp("ns"))
            at += size
            self.taken += 1
            yield pa.RecordBatch.from_pydict({"time": times, "sensor_id": ["a"] * size, "rpm": [1.0] * size})


def walk(store: Store, stored: dict[str, str]) -> Walk:
    return Walk(cast("Any", store), QUESTION, columns(QUESTION, stored))


def test_where_no_column_is_there_nothing_is_asked() -> None:
    store = Store(1)

    page = walk(store, {}).page(10)

    assert (page.rows, page.is_cut, store.asked) == (0, False, 0)


def test_a_page_is_cut_where_there_is_one_row_more() -> None:
    assert not walk(Store(3, 2), {"rpm": "Float64"}).page(5).is_cut
    page = walk(Store(3, 3), {"rpm": "Float64"}).page(5)
    assert (page.is_cut, page.rows, [batch.num_rows for batch in page.batches]) == (True, 5, [3, 2])
    assert page.last is not None
    assert page.last.time_ns == 4000


def test_a_page_ends_before_it_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_PAGE_BYTES", 1000)
    store = Store(100, 100, 100)

    page = walk(store, {"rpm": "Float64"}).page(1000)

    assert (page.rows, page.is_cut, store.taken) == (100, True, 1)


def test_what_the_store_does_not_have_is_null() -> None:
    (batch,) = walk(Store(2), {"rpm": "Float64"}).page(5).batches

    assert batch.schema.names == ["sensor_id", "id", "timestamp", "rpm"]
    assert batch.column("id").to_pylist() == [0, 1]
