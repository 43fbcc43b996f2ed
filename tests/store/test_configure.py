"""Databases and tables that are created before their first row."""

from typing import Any

import httpx
import pytest

from tests.store.store_process import StoreProcess

EXISTS = (409, "attempted to create a resource that already exists")
TWIN = "column name 'V' differs from 'v' only in case, which DuckDB does not tell apart"
FIELDS = {"f": "float64", "b": "bool", "s": "utf8", "i": "int64", "u": "uint64"}


def create_database(store: StoreProcess, **wanted: object) -> httpx.Response:
    return store.http("POST", "/api/v3/configure/database", json=wanted)


def create_table(store: StoreProcess, table: str, **wanted: Any) -> httpx.Response:
    """With a tag and a field of each type, unless it says otherwise."""
    fields = [{"name": name, "type": type_} for name, type_ in wanted.pop("fields", FIELDS).items()]
    body = {"db": "sensorflow", "table": table, "tags": ["sensor_id"], "fields": fields, **wanted}
    return store.http("POST", "/api/v3/configure/table", json=body)


def columns(store: StoreProcess, table: str) -> list[tuple[str, str, str]]:
    rows = store.rows(f"SHOW COLUMNS FROM {table}")
    return [(row["column_name"], row["data_type"], row["is_nullable"]) for row in rows]


def test_declared_table_is_there_without_a_row(store: StoreProcess) -> None:
    answer = create_table(store, "c_empty")

    assert (answer.status_code, answer.content) == (200, b"")
    with store.client() as client:
        table = client.query("SELECT * FROM c_empty")
    assert table.num_rows == 0
    assert {field.name: str(field.type) for field in table.schema} == {
        "time": "timestamp[ns]",
        "sensor_id": "string",
        "f": "double",
        "b": "bool",
        "s": "string",
        "i": "int64",
        "u": "uint64",
    }
    assert store.rows("SELECT * FROM c_empty ORDER BY time") == []
    assert store.rows("SELECT count(*) AS n, max(f) AS f FROM c_empty")[0]["n"] == 0
    assert store.rows("SELECT * FROM last_cache('c_empty')") == []


def test_declared_table_looks_as_one_that_its_rows_have_made(store: StoreProcess) -> None:
    create_table(store, "c_declared")
    store.write('c_written,sensor_id=a f=1,b=t,s="x",i=1i,u=1u 1')

    assert columns(store, "c_declared") == columns(store, "c_written")
    assert columns(store, "c_declared")[0][2] == "NO"
    assert {nullable for _, _, nullable in columns(store, "c_declared")[1:]} == {"YES"}


def test_declared_table_takes_rows_of_its_types_and_new_columns(store: StoreProcess) -> None:
    create_table(store, "c_rows")

    statuses = [
        store.write(line).status_code
        for line in (
            'c_rows,sensor_id=a f=1.5,b=t,s="x",i=1i,u=1u 2',
            "c_rows,sensor_id=a,site=north f=2.5,more=1 1",
            "c_rows,sensor_id=a f=3.5 2",
        )
    ]

    assert statuses == [204, 204, 204]
    assert store.rows("SELECT f, b, site, more FROM c_rows ORDER BY time") == [
        {"f": 2.5, "site": "north", "more": 1.0},
        {"f": 3.5, "b": True},
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("f=1i", "column 'f', expected iox::column_type::field::float, got iox::column_type::field::integer"),
        ("s=1", "column 's', expected iox::column_type::field::string, got iox::column_type::field::float"),
        ("sensor_id=1", "column 'sensor_id', expected iox::column_type::tag, got iox::column_type::field::float"),
    ],
)
def test_declared_table_refuses_other_types_as_after_a_write(store: StoreProcess, line: str, message: str) -> None:
    create_table(store, "c_conflict")

    answer = store.write(f"c_conflict {line} 1")

    assert answer.status_code == 400
    assert answer.json()["data"][0]["error_message"] == f"invalid column type for {message}"


def test_what_is_there_is_409_and_stays_as_it_is(store: StoreProcess) -> None:
    store.write("c_there,site=a v=1i 1")

    declared = create_table(store, "c_there")
    database = create_database(store, db="sensorflow")

    assert (declared.status_code, declared.text) == EXISTS
    assert (database.status_code, database.text) == EXISTS
    assert [name for name, _, _ in columns(store, "c_there")] == ["time", "site", "v"]


def test_what_was_created_survives_kill_9(own_store: StoreProcess) -> None:
    assert create_database(own_store, db="other", retention_period="30d").status_code == 200
    assert create_table(own_store, "c_durable").status_code == 200
    assert create_table(own_store, "c_durable", db="third").status_code == 200

    own_store.kill()
    own_store.start()

    listed = own_store.http("GET", "/api/v3/configure/database?format=json").json()
    assert listed == [
        {"iox::database": "other", "retention_period": "2592000s"},
        {"iox::database": "sensorflow"},
        {"iox::database": "third"},
    ]
    for database in ("sensorflow", "third"):
        assert own_store.rows("SELECT * FROM c_durable", db=database) == []
        assert create_table(own_store, "c_durable", db=database).status_code == 409
    assert own_store.write("c_durable,sensor_id=a f=1i 1").status_code == 400
    assert own_store.write("c_durable,sensor_id=a f=1.5 1").status_code == 204


def test_sixth_database_is_422(own_store: StoreProcess) -> None:
    statuses = [create_database(own_store, db=f"db-{number}").status_code for number in range(4)]

    answers = [create_database(own_store, db="db-4"), create_table(own_store, "t", db="db-4")]

    assert statuses == [200] * 4
    for answer in answers:
        assert (answer.status_code, answer.json()) == (
            422,
            {"error": "Adding a new database would exceed limit of 5 databases"},
        )


def test_too_many_columns_are_422(store: StoreProcess) -> None:
    answer = create_table(store, "c_wide", fields={f"f{number}": "float64" for number in range(499)})

    assert answer.status_code == 422
    assert "500 columns" in answer.json()["error"]
    assert create_table(store, "c_wide", fields={f"f{number}": "float64" for number in range(498)}).status_code == 200


@pytest.mark.parametrize("db", ["", "-x", "../etc", "x" * 65, "SensorFlow"])
def test_name_that_no_database_can_have_is_400(store: StoreProcess, db: str) -> None:
    answers = [create_database(store, db=db), create_table(store, "c_nowhere", db=db)]

    for answer in answers:
        assert answer.status_code == 400
        assert "database name" in answer.json()["error"]


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"table": ""}, "invalid configuration provided: table name cannot be empty"),
        ({"tags": [""]}, "invalid configuration provided: tag key cannot be empty"),
        ({"fields": {"": "bool"}}, "invalid configuration provided: field key cannot be empty"),
        ({"tags": ["a\x07"]}, "invalid configuration provided: tag key cannot contain control characters"),
        ({"tags": ["time"]}, "'time' is a reserved column"),
        ({"tags": ["a", "a"]}, "cannot add column a because it already exists with type iox::column_type::tag"),
        ({"tags": [], "fields": {"v": "bool", "V": "bool"}}, f"invalid configuration provided: {TWIN}"),
        ({"table": "x" * 257}, "invalid configuration provided: table name of 257 bytes, at most 256"),
    ],
)
def test_name_that_cannot_be_is_400(store: StoreProcess, wanted: dict[str, Any], text: str) -> None:
    answer = create_table(store, wanted.pop("table", "c_names"), **wanted)

    assert (answer.status_code, answer.text) == (400, text)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("table", b"{", "Invalid JSON"),
        ("table", b"[]", "Input should be an object"),
        ("table", b'{"db": "d", "tags": [], "fields": []}', "table: Field required"),
        ("table", b'{"db": "d", "table": "t", "fields": []}', "tags: Field required"),
        ("table", b'{"db": "d", "table": "t", "tags": [1], "fields": []}', "tags: 0: Input should be a valid string"),
        (
            "table",
            b'{"db": "d", "table": "t", "tags": [], "fields": [{"name": "v", "type": "text"}]}',
            "fields: 0: type: Input should be 'utf8', 'int64', 'uint64', 'float64' or 'bool'",
        ),
        ("database", b"{}", "db: Field required"),
        ("database", b'{"db": "d", "retention_period": "1 fortnight"}', "unknown unit 'fortnight'"),
    ],
)
def test_body_that_is_not_understood_is_400(store: StoreProcess, path: str, body: bytes, text: str) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = store.http("POST", f"/api/v3/configure/{path}", content=body, headers=headers)

    assert answer.status_code == 400
    assert answer.text.startswith(f"serde json error: {text}")


@pytest.mark.parametrize("path", ["database", "table"])
def test_body_of_another_type_is_415(store: StoreProcess, path: str) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = store.http("POST", f"/api/v3/configure/{path}", content=b'{"db": "d"}', headers=headers)

    assert (answer.status_code, answer.text) == (415, "unacceptable content-type, expected: application/json")


@pytest.mark.parametrize("path", ["database", "table"])
def test_nothing_is_created_without_the_token(store: StoreProcess, path: str) -> None:
    answer = store.http("POST", f"/api/v3/configure/{path}", token=None, json={"db": "d"})

    assert (answer.status_code, answer.json()) == (401, {"error": "the request was not authenticated"})
