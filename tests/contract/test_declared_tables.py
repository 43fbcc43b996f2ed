"""Tables made before their first row, as the bridge makes them, so that dashboards show no data, not an error."""

import httpx
import pyarrow as pa
import pytest

from tests.contract.target import Target

FIELDS = {"f": "float64", "i": "int64", "u": "uint64", "b": "bool", "s": "utf8"}


def declare(target: Target, table: str, **fields: str) -> httpx.Response:
    wanted = [{"name": name, "type": kind} for name, kind in fields.items()]
    body = {"db": target.database, "table": table, "tags": ["sensor_id"], "fields": wanted}
    return target.http("POST", "/api/v3/configure/table", json=body)


def test_declared_table_has_its_columns_and_no_rows(target: Target, table: str) -> None:
    answer = declare(target, table, **FIELDS)

    assert (answer.status_code, answer.content) == (200, b"")
    with target.client() as client:
        result = client.query(f"SELECT time, sensor_id, f, i, u, b, s FROM {table}")
    assert result.num_rows == 0
    assert result.schema.types == [
        pa.timestamp("ns"), pa.string(), pa.float64(), pa.int64(), pa.uint64(), pa.bool_(), pa.string(),
    ]  # fmt: skip


def test_declared_table_takes_rows_and_further_fields(target: Target, table: str) -> None:
    declare(target, table, f="float64")

    assert target.write(f"{table},sensor_id=a f=1.5,more=2 1").status_code == 204

    assert target.rows(f"SELECT sensor_id, f, more FROM {table}") == [{"sensor_id": "a", "f": 1.5, "more": 2.0}]


def test_declared_table_refuses_another_type(target: Target, table: str) -> None:
    declare(target, table, f="float64")

    answer = target.write(f"{table},sensor_id=a f=1i 1")

    assert answer.json()["data"][0]["error_message"] == (
        "invalid column type for column 'f', expected iox::column_type::field::float,"
        " got iox::column_type::field::integer"
    )


def test_what_is_there_already_is_409(target: Target, table: str) -> None:
    target.write(f"{table} v=1 1")

    database = target.http("POST", "/api/v3/configure/database", json={"db": target.database})

    assert (declare(target, table, v="float64").status_code, database.status_code) == (409, 409)


@pytest.mark.parametrize("path", ["database", "table"])
def test_body_that_does_not_say_that_it_is_json_is_415(target: Target, path: str) -> None:
    body = b'{"db": "x", "table": "t", "tags": [], "fields": []}'

    answer = target.http("POST", f"/api/v3/configure/{path}", content=body, headers={"Content-Type": "text/plain"})

    assert answer.status_code == 415
