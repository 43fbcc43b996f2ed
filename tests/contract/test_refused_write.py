"""What is refused, in which words, and what of it is stored all the same."""

import gzip
import json
from typing import Any

import pytest
from influxdb_client_3 import InfluxDBError
from influxdb_client_3.exceptions import InfluxDBPartialWriteError

from tests.contract.target import Target

PARTIAL = "partial write of line protocol occurred"
NO_SPACE = "Expected at least one space character, got end of input"
CONFLICT = "invalid column type for column '{}', expected iox::column_type::{}, got iox::column_type::{}"
MIB = 2**20


def refused(error: dict[str, Any]) -> tuple[int, str]:
    return error["line_number"], error["error_message"]


def test_good_lines_are_stored_and_each_bad_one_is_told_of(target: Target, table: str) -> None:
    answer = target.write(f"{table},s=a v=1 1\nthis_is_no_line_protocol\n{table},s=a v=3 3\n{table},s=a v=4i 4")

    assert answer.status_code == 400
    body = answer.json()
    assert (body.keys(), body["error"]) == ({"error", "data"}, PARTIAL)
    assert [refused(error) for error in body["data"]] == [
        (2, NO_SPACE),
        (4, CONFLICT.format("v", "field::float", "field::integer")),
    ]
    assert [row["v"] for row in target.rows(f"SELECT v FROM {table} ORDER BY time")] == [1.0, 3.0]


def test_refused_line_is_echoed_up_to_20_bytes(target: Target, table: str) -> None:
    short, long = "short", "0123456789012345678901234567890123456789"

    answer = target.write(f"{short}\n{long}\n{table} v=1 1")

    assert [error["original_line"] for error in answer.json()["data"]] == [short, long[:20]]


@pytest.mark.parametrize(
    ("first", "second", "column", "expected", "got"),
    [
        ("v=1", "v=1i", "v", "field::float", "field::integer"),
        ("v=1i", "v=1", "v", "field::integer", "field::float"),
        ("v=1i", "v=1u", "v", "field::integer", "field::uinteger"),
        ("v=t", 'v="t"', "v", "field::boolean", "field::string"),
        ('v="t"', "v=t", "v", "field::string", "field::boolean"),
        ("v=1", "s=1", "s", "tag", "field::float"),
    ],
)
def test_columns_first_value_decides_its_type(
    target: Target, table: str, first: str, second: str, column: str, expected: str, got: str
) -> None:
    target.write(f"{table},s=a {first} 1")

    answer = target.write(f"{table} {second} 2")

    assert (answer.status_code, answer.json()["error"]) == (400, PARTIAL)
    assert [refused(error) for error in answer.json()["data"]] == [(1, CONFLICT.format(column, expected, got))]


def test_field_cannot_become_a_tag(target: Target, table: str) -> None:
    target.write(f"{table} v=1 1")

    answer = target.write(f"{table},v=x w=1 2")

    assert [refused(error) for error in answer.json()["data"]] == [(1, CONFLICT.format("v", "field::float", "tag"))]


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", NO_SPACE),
        (" ", "No fields were provided"),
        (",s v=1", "Tag set malformed: could not find equals sign in `s v=1`"),
        (",s= v=1", "Expected tag value, got ` v=1`"),
        (" v=1 5 6 7", "Could not parse entire line. Found trailing content: `6 7`"),
        (" v=9223372036854775808i", "Unable to parse integer value `9223372036854775808`"),
        (" v=1 99999999999999999999", "Unable to parse timestamp value `99999999999999999999`"),
        (",s=a s=1", CONFLICT.format("s", "tag", "field::float")),
    ],
)
def test_line_that_is_none_is_told_why(target: Target, table: str, rest: str, message: str) -> None:
    answer = target.write(table + rest)

    assert answer.status_code == 400
    assert [refused(error) for error in answer.json()["data"]] == [(1, message)]


@pytest.mark.parametrize("bad", ["this_is_no_line_protocol", "{} v=2i 2"])
def test_all_or_nothing_write_stores_nothing_and_tells_of_one_line(target: Target, table: str, bad: str) -> None:
    answer = target.write(f"{table} v=1 1\n{bad.format(table)}\n", accept_partial="false")

    assert answer.status_code == 400
    assert answer.json()["error"] in {"line protocol parsing error", "parsing failed for write_lp endpoint"}
    assert answer.json()["data"]["line_number"] == 2
    assert answer.json()["data"].keys() == {"line_number", "error_message", "original_line"}
    assert tables(target, table) == []


def test_v2_write_is_all_or_nothing_with_v2s_error(target: Target, table: str) -> None:
    body = f"{table} v=1 1\nthis_is_no_line_protocol".encode()

    answer = target.http("POST", "/api/v2/write", params={"org": "", "bucket": target.database}, content=body)

    assert answer.status_code == 400
    assert (answer.json().keys(), answer.json()["code"]) == ({"code", "message"}, "invalid")
    assert tables(target, table) == []


def test_official_client_tells_of_each_line(target: Target, table: str) -> None:
    with target.client() as client, pytest.raises(InfluxDBPartialWriteError) as caught:
        client.write(f"{table} v=1 1\nnonsense\n{table} v=3i 3\n{table} v=4 4", write_precision="us")

    assert [(error.line_number, error.error_message) for error in caught.value.line_errors] == [
        (2, NO_SPACE),
        (3, CONFLICT.format("v", "field::float", "field::integer")),
    ]
    assert target.rows(f"SELECT count(*) AS n FROM {table}") == [{"n": 2}]


def test_official_client_by_v2_has_the_status(target: Target, table: str) -> None:
    with target.client(use_v2_api=True) as client, pytest.raises(InfluxDBError) as caught:
        client.write(f"{table} v=1 1\nnonsense")

    assert caught.value.status == 400


def test_more_columns_than_a_table_may_have_are_422(target: Target, table: str) -> None:
    answer = target.write(f"{table} {','.join(f'f{n}=1' for n in range(600))} 1")

    assert (answer.status_code, answer.json()["error"]) == (422, PARTIAL)
    assert "exceed number of columns per table limit of 500" in answer.json()["data"][0]["error_message"]


@pytest.mark.parametrize("zipped", [True, False])
def test_body_of_more_than_10_mib_is_413(
    target: Target,
    table: str,
    zipped: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    body = f'{table} s="{"x" * 10 * MIB}" 1'.encode()

    answer = target.write(gzip.compress(body, 1) if zipped else body, {"Content-Encoding": "gzip"} if zipped else None)

    assert answer.status_code == 413
    assert str(10 * MIB) in answer.text
    assert tables(target, table) == []


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b"", {}, "incoming write was empty"),
        (b"# only a comment\n\n", {}, "incoming write was empty"),
        (b"t v=1", {"Content-Encoding": "br"}, "content-encoding"),
    ],
)
def test_body_that_cannot_be_meant_is_400(target: Target, body: bytes, headers: dict[str, str], words: str) -> None:
    answer = target.write(body, headers)

    assert answer.status_code == 400
    assert words in answer.text


@pytest.mark.parametrize(
    "params",
    [
        {"db": ""},
        {"db": "-begins_with_a_dash"},
        {"db": "has space"},
        {"db": "läuft"},
        {"db": "x" * 65},
        {"db": "../etc"},
        {"precision": "fortnight"},
        {"accept_partial": "perhaps"},
        {"no_sync": "perhaps"},
    ],
    ids=json.dumps,
)
def test_parameter_that_cannot_be_meant_is_400(target: Target, params: dict[str, str]) -> None:
    assert target.write("t v=1 1", None, **params).status_code == 400


def test_parameters_that_are_not_known_are_passed_over(target: Target, table: str) -> None:
    assert target.write(f"{table} v=1 1", org="default").status_code == 204


def tables(target: Target, name: str) -> list[dict[str, Any]]:
    return target.rows("SELECT table_name FROM information_schema.tables WHERE table_name = $name", name=name)
