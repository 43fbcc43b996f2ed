import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator, model_validator

from sensorflow.errors import RejectedError
from sensorflow.kinds import (
    MAX_TELEMETRY_FIELDS,
    Kind,
    Telemetry,
    TemperatureReading,
    load_kinds,
    measure,
    parse_many,
    parse_one,
)

GOOD = {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5}
DEEP = 5_000


class Valve(Kind):
    """As a user writes one: with a plain ``str``, which kinds do not bound."""

    label: str
    level: float | None = measure("%", ge=0, le=100)
    is_open: bool | None = None


@pytest.fixture(autouse=True)
def modules_as_before() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def rejected(kind: type[Kind], body: bytes) -> RejectedError:
    """The same from either way in: as one object, and as the only one of an array."""
    with pytest.raises(RejectedError) as caught:
        parse_one(kind, body)
    with pytest.raises(RejectedError) as caught_many:
        parse_many(kind, body)
    assert str(caught_many.value) == str(caught.value)
    try:
        (element,) = parse_many(kind, b"[%b]" % body)
    except RejectedError as error:
        element = error
    assert isinstance(element, RejectedError)
    assert element.reason == caught.value.reason
    return caught.value


# --- temperature_reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        GOOD,
        {"temperature": -100, "humidity": 0, "pressure": 0},
        {"temperature": 1000, "humidity": 100, "pressure": 2000},
    ],
)
def test_reading_within_its_bounds_is_accepted_as_floats(values: dict[str, float]) -> None:
    accepted = parse_one(TemperatureReading, json.dumps(values).encode()).values()

    assert accepted == values
    assert {type(value) for value in accepted.values()} == {float}


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        ("temperature", "-100.01", "greater than or equal to -100, got -100.01"),
        ("temperature", "1000.1", "less than or equal to 1000, got 1000.1"),
        ("humidity", "-0.1", "greater than or equal to 0, got -0.1"),
        ("humidity", "101", "less than or equal to 100, got 101"),
        ("pressure", "-1", "greater than or equal to 0, got -1"),
        ("pressure", "2000.5", "less than or equal to 2000, got 2000.5"),
        ("temperature", "NaN", "finite number, got NaN"),
        ("temperature", "Infinity", "finite number, got Infinity"),
        ("temperature", "-Infinity", "finite number, got -Infinity"),
        ("temperature", "1e999", "finite number, got Infinity"),
        ("temperature", "1" + "0" * 400, "number, got 1000"),
        ("temperature", "true", "valid number, got true"),
        ("temperature", '"25.5"', 'valid number, got "25.5"'),
        ("temperature", "null", "valid number, got null"),
        ("temperature", "[25.5]", "valid number, got [25.5]"),
        ("sensor_id", '"a/b"', r'''should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', got "a/b"'''),
        ("sensor_id", '"a\\n"', "should match pattern"),
        ("sensor_id", '"' + "a" * 65 + '"', "should match pattern"),
        ("sensor_id", "7", "valid string, got 7"),
        ("time", "true", "got true"),
        ("time", "{}", "time: Input should be a valid integer"),
        ("colour", '"red"', 'Extra inputs are not permitted, got "red"'),
    ],
)
def test_field_that_is_wrong_is_named_with_value_and_bound(field: str, value: str, detail: str) -> None:
    members = {name: json.dumps(number) for name, number in GOOD.items()} | {field: value}
    body = "{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}"
    if value in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(RejectedError) as caught:
            parse_one(TemperatureReading, body.encode())
        error = caught.value
    else:
        error = rejected(TemperatureReading, body.encode())

    assert error.reason == "bad_reading"
    assert [each.field for each in error.errors] == [field]
    assert str(error).startswith(f"{field}: ")
    assert detail in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_array_with_a_constant_that_json_does_not_have_is_bad_json(constant: bytes) -> None:
    with pytest.raises(RejectedError) as caught:
        parse_many(TemperatureReading, b'[{"temperature": %b}]' % constant)

    assert caught.value.reason == "bad_json"


def test_each_missing_field_is_named() -> None:
    error = rejected(TemperatureReading, b'{"humidity": 1}')

    assert str(error) == "temperature: Field required; pressure: Field required"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="open"),
        pytest.param(b'{"a":1}{"a":1}', id="two"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b'{"a":1,}', id="trailing comma"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate"),
        pytest.param(b'{"a":"\\ud800"}', id="escaped surrogate"),
        pytest.param(b'{"\\udfff":1}', id="escaped surrogate in a name"),
        pytest.param(b'{"a":"\n"}', id="control character"),
        pytest.param(b'{"a":' + b"1" * 5_000 + b"}", id="5,000 digits"),
        pytest.param(b'{"a":' * DEEP + b"1" + b"}" * DEEP, id="deep"),
    ],
)
def test_what_is_no_json_is_bad_json(body: bytes) -> None:
    error = rejected(Telemetry, body)

    assert error.reason == "bad_json"
    assert error.errors[0].field == ""
    assert len(str(error)) < 200


@pytest.mark.parametrize("body", [b"", b" \n ", b"[" * 100_000, b"[" * 10_000 + b"]" * 10_000, b"[1", b"[{}"])
def test_what_is_no_json_array_is_bad_json(body: bytes) -> None:
    with pytest.raises(RejectedError) as caught:
        parse_many(Telemetry, body)

    assert caught.value.reason == "bad_json"


@pytest.mark.parametrize("body", [b"5", b"null", b'"text"', b"true"])
def test_what_is_no_object_is_a_bad_reading(body: bytes) -> None:
    error = rejected(Telemetry, body)

    assert error.reason == "bad_reading"
    assert "object" in str(error)


# --- names that stand twice ------------------------------------------------------------------------------------------

TWICE = [
    (TemperatureReading, b'{"temperature": 1, "humidity": 2, "pressure": 3, "temperature": 1}', "temperature"),
    (
        TemperatureReading,
        b'{"temperature": 1, "humidity": 2, "pressure": 3, "sensor_id": "a", "sensor_id": "b"}',
        "sensor_id",
    ),
    (Telemetry, b'{"a": 1, "b": 2, "a": 1}', "a"),
    (Telemetry, b'{"a": 1, "\\u0061": 2}', "a"),
    (Telemetry, b'{"time": 1, "a": "x:y", "time": "z:"}', "time"),
    (Telemetry, b'{"a": "x:y", "a": "x"}', "a"),
]


@pytest.mark.parametrize(("kind", "body", "name"), TWICE, ids=range(len(TWICE)))
def test_name_that_stands_twice_is_bad_json_and_named(kind: type[Kind], body: bytes, name: str) -> None:
    error = rejected(kind, body)

    assert error.reason == "bad_json"
    assert str(error) == f"{name}: given more than once"


def test_name_that_stands_twice_beside_an_escaped_colon_in_a_time_is_found() -> None:
    now = b"2026-11-02T10\\u003a11\\u003a12Z"

    error = rejected(Telemetry, b'{"a": 1, "a": 1, "a": 1, "time": "%b"}' % now)

    assert str(error) == "a: given more than once"


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "x:y", "b": ":::"}',
        b'{"a": "\\"a\\": 1, \\"a\\": 2"}',
        b'{"time": "2026-11-02T10:11:12+01:00", "a": 1}',
        b'{"time": "2026-11-02T10\\u003a11:12Z", "a": ":"}',
    ],
)
def test_colon_in_a_text_is_no_second_name(body: bytes) -> None:
    assert parse_one(Telemetry, body).values()
    assert isinstance(parse_many(Telemetry, b"[%b,%b]" % (body, body))[1], Telemetry)


def test_element_with_a_name_twice_costs_nothing_but_itself_and_keeps_what_was_written() -> None:
    first, second, third = parse_many(Telemetry, b'[{"a": 1}, {"a": 1, "b": [{}], "a": 2}, {"a": "x:y"}]')

    assert isinstance(first, Telemetry)
    assert isinstance(second, RejectedError)
    assert (second.reason, second.payload) == ("bad_json", b'{"a":1,"b":[{}],"a":2}')
    assert isinstance(third, Telemetry)
    assert third.values() == {"a": "x:y"}


class Doubling(Kind):
    """As a user writes one that adds a field before validation."""

    x: float
    double: float

    @model_validator(mode="before")
    @classmethod
    def _double(cls, members: dict[str, Any]) -> dict[str, Any]:
        return members | {"double": 2 * members["x"]}


def test_name_that_stands_twice_is_found_in_a_kind_that_adds_fields_of_its_own() -> None:
    assert parse_one(Doubling, b'{"x": 1}').values() == {"x": 1.0, "double": 2.0}

    assert str(rejected(Doubling, b'{"x": 1, "x": 1}')) == "x: given more than once"


# --- telemetry -------------------------------------------------------------------------------------------------------


def test_telemetry_is_numbers_booleans_and_short_strings() -> None:
    body = b'{"sensor_id": "a", "time": 17, "on": true, "n": 3, "x": -1.5e-3, "text": "caf\\u00e9 \\ud83d\\ude00"}'

    accepted = parse_one(Telemetry, body)

    assert (accepted.sensor_id, accepted.time) == ("a", 17)
    assert accepted.values() == {"on": True, "n": 3.0, "x": -0.0015, "text": "café 😀"}
    assert [type(value) for value in accepted.values().values()] == [bool, float, float, str]


def test_telemetry_has_64_fields_at_most_and_1_at_least() -> None:
    def body(count: int) -> bytes:
        return json.dumps({f"f{number}": number for number in range(count)}).encode()

    assert len(parse_one(Telemetry, body(MAX_TELEMETRY_FIELDS)).values()) == MAX_TELEMETRY_FIELDS
    assert "65 fields, at least 1 and at most 64" in str(rejected(Telemetry, body(MAX_TELEMETRY_FIELDS + 1)))
    assert "0 fields, at least 1" in str(rejected(Telemetry, b"{}"))
    assert "0 fields, at least 1" in str(rejected(Telemetry, b'{"sensor_id": "a", "time": 5}'))


@pytest.mark.parametrize(
    "name", ["client_ip", "date_recorded", "id", "kind", "time_recorded", "timestamp"]
)  # time and sensor_id have a meaning of their own
def test_telemetry_cannot_use_our_names(name: str) -> None:
    error = rejected(Telemetry, json.dumps({name: 1, "a": 1}).encode())

    assert f"['{name}'] cannot be names of fields" in str(error)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a,b", "a=b", 'a"b', "a\\", "ä", "a\n", "-", "a" * 65, "a\0"])
def test_telemetry_field_name_must_be_an_identifier(name: str) -> None:
    error = rejected(Telemetry, json.dumps({name: 1}).encode())

    assert error.reason == "bad_reading"
    assert "^[A-Za-z_][A-Za-z0-9_]{0,63}$" in str(error)


@pytest.mark.parametrize(
    "value", ["null", "[]", "{}", "1e999", '"' + "x" * 257 + '"', '"a\\u0000"', '"a\\nb"', '"\\u001b[2J"', '"\\u007f"']
)
def test_telemetry_value_must_be_one_and_short_and_printable(value: str) -> None:
    error = rejected(Telemetry, b'{"a": %b}' % value.encode())

    assert error.reason == "bad_reading"
    assert str(error).startswith("a: ")


def test_many_wrong_fields_are_not_all_told() -> None:
    body = b"{" + b",".join(b'"-%d":1' % number for number in range(8_000)) + b"}"

    error = rejected(Telemetry, body)

    assert len(str(error)) < 2_000
    assert "7990 more" in str(error)


def test_wrong_field_with_an_endless_name_is_told_in_short() -> None:
    error = rejected(Telemetry, json.dumps({"-" * 60_000: 1}).encode())

    assert len(str(error)) < 400


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_bad_element_costs_nothing_but_itself() -> None:
    bad = {"temperature": "hot"}

    first, second, third = parse_many(TemperatureReading, json.dumps([GOOD, bad, GOOD]).encode())

    assert isinstance(first, TemperatureReading)
    assert isinstance(third, TemperatureReading)
    assert first.values() == third.values() == GOOD
    assert isinstance(second, RejectedError)
    assert second.reason == "bad_reading"
    assert json.loads(second.payload or b"") == bad


def test_elements_that_are_no_objects_are_bad_readings_each() -> None:
    readings = parse_many(TemperatureReading, b'[5, null, "x", [], true, {}]')

    assert [getattr(reading, "reason", None) for reading in readings] == ["bad_reading"] * 6
    assert [getattr(reading, "payload", None) for reading in readings] == [
        b"5",
        b"null",
        b'"x"',
        b"[]",
        b"true",
        b"{}",
    ]


def test_empty_array_is_a_bad_reading() -> None:
    with pytest.raises(RejectedError, match="an empty array, at least 1 reading") as caught:
        parse_many(Telemetry, b" [ ] ")

    assert caught.value.reason == "bad_reading"


def test_endless_array_is_too_large_as_a_whole() -> None:
    with pytest.raises(RejectedError, match="array of 20000 readings, at most 10000") as caught:
        parse_many(Telemetry, b"[" + b"{}," * 19_999 + b"{}]")

    assert caught.value.reason == "too_large"


# --- a user's kinds --------------------------------------------------------------------------------------------------


def test_control_character_in_a_users_plain_text_is_rejected() -> None:
    assert parse_one(Valve, b'{"label": "a", "level": 3}').values() == {"label": "a", "level": 3.0}

    for text in ("\\n", "a\\u0000b", "\\u007f", "\\t"):
        error = rejected(Valve, b'{"label": "%b", "level": 3}' % text.encode())
        assert error.reason == "bad_reading"
        assert "label: control character in" in str(error)


class Brittle(Kind):
    """As a user writes one that breaks."""

    x: float

    @field_validator("x")
    @classmethod
    def _breaks(cls, x: float) -> float:
        return {1.0: 10.0}[x]


def test_users_validator_that_breaks_costs_its_reading_alone() -> None:
    error = rejected(Brittle, b'{"x": 2}')
    first, second = parse_many(Brittle, b'[{"x": 2}, {"x": 1}]')

    assert (error.reason, str(error)) == ("validator_failed", "KeyError: 2.0")
    assert isinstance(first, RejectedError)
    assert first.payload == b'{"x":2}'
    assert isinstance(second, Brittle)


class Silent(Exception):  # noqa: N818 - as a user may name it
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("raised", "detail"),
    [
        (RecursionError("too deep"), "RecursionError: too deep"),
        (MemoryError(), "MemoryError: "),
        (SystemExit(3), "SystemExit: 3"),
        (OSError("\ud800"), "OSError: \\ud800"),
        (Silent(), "Silent: "),
    ],
)
def test_whatever_a_users_validator_raises_costs_its_reading_alone(raised: BaseException, detail: str) -> None:
    class Raising(Kind):
        x: float

        @field_validator("x")
        @classmethod
        def _raises(cls, _: float) -> float:
            raise raised

    error = rejected(Raising, b'{"x": 1}')

    assert (error.reason, str(error)) == ("validator_failed", detail)


def test_users_message_that_is_no_unicode_costs_its_reading_alone() -> None:
    class Rude(Kind):
        x: float

        @field_validator("x")
        @classmethod
        def _refuses(cls, _: float) -> float:
            raise ValueError("\ud800")

    error = rejected(Rude, b'{"x": 1}')

    assert error.reason == "validator_failed"
    assert str(error).encode()


def test_number_that_a_users_validator_makes_infinite_is_rejected() -> None:
    class Endless(Kind):
        x: float

        @field_validator("x")
        @classmethod
        def _explodes(cls, x: float) -> float:
            return x * float("inf")

    assert str(rejected(Endless, b'{"x": 1}')) == "x: inf is not a finite number"


def test_kind_and_table_are_named_after_the_class_unless_it_says_so() -> None:
    class CleanInPlace2(Kind):
        x: float

    class Named(Kind):
        kind = "other"
        table = "others"

        x: float

    assert (CleanInPlace2.kind, CleanInPlace2.table) == ("clean_in_place2", "clean_in_place2")
    assert (Named.kind, Named.table) == ("other", "others")
    assert (TemperatureReading.kind, TemperatureReading.table) == ("temperature_reading", "sensor_readings")


USERS_KIND = """
from sensorflow.kinds import Kind, Text, measure

class Vat(Kind):
    '''A vat.'''

    level: float = measure("%", ge=0, le=100)
    note: Text | None = None
"""


def write(directory: Path, source: str, name: str = "vats.py") -> str:
    path = directory / name
    path.write_text(source)
    return str(path)


def test_users_kind_is_loaded_from_a_path(tmp_path: Path) -> None:
    kinds = load_kinds([write(tmp_path, USERS_KIND)])

    assert sorted(kinds) == ["telemetry", "temperature_reading", "vat"]
    assert parse_one(kinds["vat"], b'{"level": 5, "note": "ok"}').values() == {"level": 5.0, "note": "ok"}


def test_users_kind_is_loaded_from_a_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plant").mkdir()
    write(tmp_path / "plant", USERS_KIND)
    monkeypatch.syspath_prepend(tmp_path)

    assert "vat" in load_kinds(["plant.vats"])


def test_two_files_of_one_name_are_both_loaded(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = write(tmp_path / "a", USERS_KIND)
    second = write(tmp_path / "b", USERS_KIND.replace("Vat", "Tank"))

    assert {"vat", "tank"} <= load_kinds([first, second]).keys()


def test_kind_that_is_only_imported_is_not_loaded_again(tmp_path: Path) -> None:
    source = (
        "from sensorflow.kinds import TemperatureReading\nclass Indoor(TemperatureReading):\n    table = 'indoor'\n"
    )

    assert "indoor" in load_kinds([write(tmp_path, source)])


def test_shipped_kinds_are_there_without_any_module() -> None:
    assert load_kinds() == {"temperature_reading": TemperatureReading, "telemetry": Telemetry}


def kind_source(body: str, name: str = "Vat") -> str:
    return f"import datetime\nfrom typing import *\nfrom sensorflow.kinds import *\nclass {name}(Kind):\n    {body}\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (kind_source("kind = 'Big Vat'; x: float"), "kind 'Big Vat' and table 'Big Vat' must match"),
        (kind_source("kind = 'a/b'; table = 'ab'; x: float"), "kind 'a/b' and table 'ab' must match"),
        (kind_source("table = 'a; DROP TABLE b'; x: float"), "table 'a; DROP TABLE b' must match"),
        (kind_source("kind = 'health'; x: float"), "a kind cannot be called 'health'"),
        (kind_source("kind = 'telemetry'; table = 'mine'; x: float"), "kind 'telemetry' .* is already Telemetry's"),
        (kind_source("table = 'sensor_readings'; x: float"), "table 'sensor_readings' is already TemperatureReading's"),
        (kind_source("client_ip: Text"), "a field cannot be called 'client_ip'"),
        (kind_source("timestamp: float"), "a field cannot be called 'timestamp'"),
        (kind_source("größe: float"), "a field cannot be called 'größe'"),
        (kind_source("count: int"), "field 'count' is int: float, bool and Text can be stored"),
        (kind_source("at: datetime.datetime"), "field 'at' is datetime"),
        (kind_source("values_: list[float]"), "field 'values_' is list"),
        (kind_source("anything: Any"), "field 'anything' is Any"),
        (kind_source("mixed: float | list[float]"), "field 'mixed' is list"),
        (kind_source("model_config = ConfigDict(extra='allow'); x: float"), "only Telemetry"),
        (kind_source("pass"), "no fields"),
    ],
)
def test_kind_that_cannot_be_used_says_why(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_kinds([write(tmp_path, source)])


def test_kind_with_every_type_that_can_be_stored_is_loaded(tmp_path: Path) -> None:
    source = kind_source(
        "a: float; b: bool; c: str; d: Text | None = None; e: float | None = None; f: Literal['on', 'off'] = 'on'"
    )

    kinds = load_kinds([write(tmp_path, source)])

    values = parse_one(kinds["vat"], b'{"a": 1, "b": true, "c": "x", "f": "off"}').values()
    assert values == {"a": 1.0, "b": True, "c": "x", "f": "off"}


def test_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"KINDS: no file '{tmp_path}/no.py'")):
        load_kinds([f"{tmp_path}/no.py"])
    with pytest.raises(ValueError, match=r"KINDS: cannot import 'plant\.no_such_module'"):
        load_kinds(["plant.no_such_module"])


@pytest.mark.parametrize("source", ["class Vat(Kind:", "1 / 0", "from sensorflow.kinds import NoSuchName"])
def test_module_that_cannot_be_run_is_named_with_what_is_wrong(tmp_path: Path, source: str) -> None:
    path = write(tmp_path, source)

    with pytest.raises(ValueError, match=re.escape(path)):
        load_kinds([path])


def test_every_shipped_field_has_its_unit_in_the_schema() -> None:
    properties: dict[str, Any] = TemperatureReading.model_json_schema()["properties"]

    assert {name: properties[name]["unit"] for name in TemperatureReading.value_names} == {
        "temperature": "°C",
        "humidity": "%",
        "pressure": "hPa",
    }


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_value_beyond_its_normal_bounds_is_accepted() -> None:
    accepted = parse_one(TemperatureReading, json.dumps(GOOD | {"temperature": 900, "pressure": 1}).encode()).values()

    assert accepted == GOOD | {"temperature": 900, "pressure": 1}


def test_normal_bounds_stand_in_the_schema_beside_those_of_acceptance() -> None:
    properties: dict[str, Any] = TemperatureReading.model_json_schema()["properties"]

    assert {"minimum": -100, "low": -40, "high": 60, "maximum": 1000}.items() <= properties["temperature"].items()
    assert not {"low", "high"} & properties["humidity"].keys()


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"ge": 0, "low": -1}, "bounds are out of order: ge=0, low=-1"),
        ({"low": 5, "high": 4.5}, "bounds are out of order: low=5, high=4.5"),
        ({"high": 101, "le": 100}, "bounds are out of order: high=101, le=100"),
        ({"ge": 2, "le": 1}, "bounds are out of order: ge=2, le=1"),
    ],
)
def test_bounds_in_the_wrong_order_are_named(bounds: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure("%", **bounds)


def test_bounds_may_be_equal_or_absent() -> None:
    for bounds in ({}, {"high": 3}, {"ge": 0, "low": 0, "high": 100, "le": 100}):
        assert measure("%", **bounds).json_schema_extra.items() >= {"unit": "%"}.items()
