import pytest

from bridge.columns import MAX_FIELDS, Columns
from sensorflow.errors import RejectedError
from sensorflow.reading import Value

TABLE = "telemetry"


def test_first_reading_decides_the_types() -> None:
    columns = Columns()

    new = columns.check(TABLE, {"level": 1.0, "open": True, "note": "x"})
    columns.add(new)

    assert new == [(TABLE, "level", "float"), (TABLE, "open", "bool"), (TABLE, "note", "str")]
    assert columns.check(TABLE, {"level": 2.0, "note": "y"}) == []
    assert columns.check("another", {"level": "x"}) == [("another", "level", "str")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("high", "level: text ('high'), but it was a number before"),
        (True, "level: true or false (True), but it was a number before"),
    ],
)
def test_another_type_is_rejected_with_both_named(value: Value, message: str) -> None:
    columns = Columns([(TABLE, "level", "float")])

    with pytest.raises(RejectedError) as rejected:
        columns.check(TABLE, {"level": value, "more": 1.0})

    assert rejected.value.reason == "bad_reading"
    assert str(rejected.value) == message


def test_what_is_only_checked_is_not_remembered() -> None:
    columns = Columns()

    columns.check(TABLE, {"level": 1.0})

    assert columns.check(TABLE, {"level": "high"}) == [(TABLE, "level", "str")]


def test_names_that_differ_only_in_case_are_rejected() -> None:
    columns = Columns([(TABLE, "Level", "float")])

    with pytest.raises(RejectedError, match="level: is called 'Level' in the table"):
        columns.check(TABLE, {"level": 1.0})
    with pytest.raises(RejectedError, match="two fields differ only in case"):
        columns.check(TABLE, {"a": 1.0, "A": 2.0})


def test_table_has_only_so_many_fields() -> None:
    columns = Columns((TABLE, f"f{number}", "float") for number in range(MAX_FIELDS))

    assert columns.check(TABLE, {"f0": 1.0}) == []
    with pytest.raises(RejectedError, match="the table would have 491 fields, at most 490"):
        columns.check(TABLE, {"one_more": 1.0})
