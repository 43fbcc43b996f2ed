import csv
import io
import json
from datetime import date

import pyarrow as pa
import pytest
from rich.console import Console

from sensorflow.cli.results import Format, table, write

TIME_NS = 1_755_354_645_123_456_789
RESULT = pa.table(
    {
        "time": pa.array([TIME_NS, None], pa.timestamp("ns")),
        "sensor_id": ["a,b", None],
        "temperature": [25.5, None],
        "n": pa.array([2**62, None], pa.int64()),
        "on": [True, None],
        "day": [date(2025, 8, 16), None],
    }
)


def written(result: pa.Table, style: Format) -> str:
    out = io.StringIO()
    write(result, out, style)
    return out.getvalue()


@pytest.mark.parametrize(
    ("ticks", "unit", "text"),
    [
        (TIME_NS, "ns", "2025-08-16T14:30:45.123456789"),
        (TIME_NS // 1000, "us", "2025-08-16T14:30:45.123456"),
        (TIME_NS // 10**6 * 10**6, "ns", "2025-08-16T14:30:45.123"),
        (TIME_NS // 10**9, "s", "2025-08-16T14:30:45.000"),
        (-1, "ms", "1969-12-31T23:59:59.999"),
    ],
)
@pytest.mark.parametrize(("zone", "suffix"), [(None, ""), ("UTC", "Z"), ("Europe/Lisbon", "Z")])
def test_times_have_the_digits_they_need_and_z_only_where_the_zone_is_known(
    ticks: int, unit: str, text: str, zone: str | None, suffix: str
) -> None:
    result = pa.table({"time": pa.array([ticks], pa.timestamp(unit, zone))})

    assert written(result, Format.CSV) == f"time\n{text}{suffix}\n"


def test_csv_quotes_what_needs_it_and_leaves_missing_values_empty() -> None:
    rows = list(csv.reader(io.StringIO(written(RESULT, Format.CSV))))

    assert rows[0] == RESULT.column_names
    assert rows[1] == ["2025-08-16T14:30:45.123456789", "a,b", "25.5", str(2**62), "true", "2025-08-16"]
    assert rows[2] == [""] * 6


def test_json_has_the_types_of_the_values() -> None:
    first, second = json.loads(written(RESULT, Format.JSON))

    assert first == {
        "time": "2025-08-16T14:30:45.123456789",
        "sensor_id": "a,b",
        "temperature": 25.5,
        "n": 2**62,
        "on": True,
        "day": "2025-08-16",
    }
    assert set(second.values()) == {None}


def test_json_of_no_rows_is_an_empty_array() -> None:
    assert json.loads(written(RESULT.slice(0, 0), Format.JSON)) == []


def test_jsonl_is_one_object_a_line() -> None:
    lines = written(RESULT, Format.JSONL).splitlines()

    assert [json.loads(line)["temperature"] for line in lines] == [25.5, None]


def test_dictionaries_lists_and_durations_are_written_as_they_read() -> None:
    result = pa.table(
        {
            "tag": pa.array(["x", "x"]).dictionary_encode(),
            "list": [[1, 2], None],
            "took": pa.array([1500, None], pa.duration("ms")),
        }
    )

    assert json.loads(written(result, Format.JSONL).splitlines()[0]) == {"tag": "x", "list": [1, 2], "took": "1500"}


def test_table_escapes_what_a_terminal_would_act_on() -> None:
    out = io.StringIO()

    Console(file=out, width=200).print(
        table(pa.table({"a": ["\x1b[31m[bold]red\u202e"], "b": pa.array([None], "int8")}))
    )

    assert out.getvalue().splitlines()[1].strip() == "\\x1b[31m[bold]red\\u202e"
