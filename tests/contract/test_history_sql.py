"""The SQL that history is made of gives the same on a target and on DataFusion, with parameters only in WHERE."""

import itertools
import re
from collections.abc import Iterator

import datafusion
import pyarrow as pa
import pytest

from http_api.history_pages import Key, Window
from http_api.history_sql import AGGREGATES, OF_NUMBERS, Selection, statement
from tests.contract.target import Target
from tests.datafusion_engine import assert_equal, engine

TABLE = "history_of_many_types"
FIRST_US = 1_755_345_600_000_000
START_NS, END_NS = (FIRST_US - 1_000_000) * 1000, (FIRST_US + 500_000_000) * 1000
COLUMNS = ("x", "y", "is_open", "note")
MIDDLE = Key((FIRST_US + 120_000_000) * 1000, "b-1")

SELECTIONS = [
    Selection(TABLE, COLUMNS, is_descending=is_descending, sensor_ids=sensor_ids, prefix=prefix, are_chosen=are_chosen)
    for is_descending, sensor_ids, prefix, are_chosen in itertools.product(
        (False, True), ((), ("b-1",), ("a-1", "b-1", "nobody")), ("", "b-"), (False, True)
    )
]
BINS = [
    Selection(TABLE, COLUMNS[:2] if aggregate in OF_NUMBERS else COLUMNS, every_s=every_s, aggregate=aggregate,
              is_descending=is_descending)
    for aggregate in AGGREGATES
    for every_s, is_descending in ((7, False), (60, True), (366 * 86_400, False))
]  # fmt: skip


@pytest.fixture(scope="module")
def judge(target: Target) -> datafusion.SessionContext:
    lines = [
        f"{TABLE},sensor_id={sensor} {fields} {FIRST_US + n * 10_000_000}"
        for n in range(40)
        for sensor in ("a-1", "b-1", "b-2", "c.d_e")
        for fields in [_fields(n, sensor)]
    ]
    assert target.write("\n".join(lines)).status_code == 204
    with target.client() as client:
        return engine({TABLE: client.query(f"SELECT * FROM {TABLE}")}, {"sensor_id"})


def _fields(n: int, sensor: str) -> str:
    """With gaps, so that null is met everywhere."""
    if sensor == "c.d_e":
        return f"other={n}.0"
    fields = [f"x={n * 7 % 13}.25"]
    fields += [f"y=-{n}.5"] * (n % 3 > 0) + [f"is_open={'tf'[n % 2]}"] * (n % 5 > 0) + [f'note="n{n % 4}"'] * (n % 2)
    return ",".join(fields)


@pytest.mark.parametrize("after", [None, MIDDLE], ids=["first page", "next page"])
@pytest.mark.parametrize("selection", [*SELECTIONS, *BINS], ids=repr)
def test_text_gives_what_datafusion_gives(
    target: Target, judge: datafusion.SessionContext, selection: Selection, after: Key | None
) -> None:
    sql, parameters = statement(selection, Window(START_NS, END_NS, after), rows=50)
    expected = pa.table(judge.sql(sql, param_values=parameters))

    with target.client() as client:
        result = client.query(sql, query_parameters=parameters)

    assert_equal(result, expected)
    assert expected.num_rows > 0 or after


@pytest.mark.parametrize("selection", [*SELECTIONS, *BINS], ids=repr)
def test_parameters_stand_in_where(selection: Selection) -> None:
    sql, parameters = statement(selection, Window(START_NS, END_NS, MIDDLE), rows=50)

    used = re.findall(r"\$(\w+)", sql)
    assert set(used) == set(parameters)
    assert set(used) == set(_compared(sql))


def _compared(sql: str) -> Iterator[str]:
    """What stands behind an operator, in a list of IN, or in starts_with."""
    yield from re.findall(r"(?:>=|<|>|=) \$(\w+)", sql)
    for names in re.findall(r" IN \(([^)]*)\)", sql):
        yield from re.findall(r"\$(\w+)", names)
    yield from re.findall(r"starts_with\(sensor_id, \$(\w+)\)", sql)


def test_there_are_few_texts_whatever_clients_ask() -> None:
    many = [tuple(f"s{n}" for n in range(count)) for count in range(129)]
    window = Window(START_NS, END_NS, None)

    texts = {
        statement(Selection(TABLE, COLUMNS, sensor_ids=ids), window, rows)[0]
        for ids in many
        for rows in (1, 2, 10, 11, 100, 1_001, 9_999, 10_001, 50_001)
    }

    assert len(texts) == 9 * 6
