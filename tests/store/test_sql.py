"""What may run. Each hostile statement is refused; behind the syntax check stand walls that are tested without it."""

import time
from collections.abc import Iterator

import duckdb
import pytest

from store.config import StoreConfig
from store.database import Database, Databases
from store.errors import BusyError, InvalidQueryError, QueryTimeoutError
from store.line_protocol import parse
from store.query import ResultStream
from store.sql import admit

HOSTILE = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    "SELECT * FROM READ_TEXT('/etc/passwd')",
    'SELECT * FROM "read_text"(\'/etc/passwd\')',
    "SELECT * FROM system.main.read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_parquet('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_ndjson_objects('/etc/passwd')",
    "SELECT * FROM read_duckdb('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '/etc/passwd.csv'",
    'SELECT * FROM "/etc/passwd.parquet"',
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x",
    "SELECT * FROM m WHERE s IN (SELECT content FROM read_text('/etc/passwd'))",
    "SELECT * FROM m JOIN LATERAL (SELECT * FROM glob(m.s)) ON true",
    "SELECT 1 UNION ALL SELECT content FROM read_text('/etc/passwd')",
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT main.current_setting('temp_directory')",
    "SELECT getvariable('x')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_databases",
    "SELECT * FROM main.duckdb_databases",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_storage_info('m')",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM pg_settings",
    "SELECT * FROM store.retention",
    "SELECT * FROM public.store.retention",
    "SELECT * FROM memory.influxdb.columns",
    "SELECT * FROM influxdb.columns",
    "WITH duckdb_databases AS (SELECT 1) SELECT * FROM duckdb_databases",
    "SELECT * FROM (WITH pg_settings AS (SELECT 1) SELECT * FROM pg_settings) a, pg_settings b",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('m')",
    "SELECT * FROM json_execute_serialized_sql('{}')",
    "SELECT json_serialize_sql('SELECT 1')",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM force_checkpoint()",
    "SELECT * FROM python_arrow_scan(1, 2, 3)",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT write_log('x')",
    "SELECT sleep_ms(100000)",
    "SELECT nextval('x')",
    "SELECT repeat('x', 4000000000)",
    "SELECT lpad('x', 4000000000, 'y')",
    "SELECT range(1000000000)",
    "SELECT [x FOR x IN range(1000000000)]",
    "SELECT format('{:>4000000000}', 'x')",
    "SELECT last_cache('m')",
    "SELECT * FROM last_cache('nope')",
    "SELECT * FROM last_cache((SELECT 'm'))",
    "COPY m TO '/tmp/x'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "COPY m FROM '/etc/passwd'",
    "EXPORT DATABASE '/tmp/x'",
    "IMPORT DATABASE '/tmp/x'",
    "ATTACH '/tmp/x.duckdb'",
    "DETACH public",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '100GB'",
    "SET GLOBAL enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "PRAGMA table_info('m')",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "COMMIT",
    "INSERT INTO m VALUES (now(), 'x', 1)",
    "UPDATE m SET v = 1",
    "DELETE FROM m",
    "TRUNCATE m",
    "MERGE INTO m USING m AS n ON true WHEN MATCHED THEN DELETE",
    "WITH x AS (INSERT INTO m SELECT * FROM m RETURNING *) SELECT * FROM x",
    "WITH x AS (DELETE FROM m RETURNING *) SELECT * FROM x",
    "CREATE TABLE x (a INT)",
    "CREATE TABLE x AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "DROP TABLE m",
    "ALTER TABLE m ADD COLUMN x INT",
    "COMMENT ON TABLE m IS 'x'",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN DELETE FROM m",
    "EXPLAIN ANALYZE DELETE FROM m",
    "EXPLAIN ANALYZE COPY m TO '/tmp/x'",
    "EXPLAIN (FORMAT JSON) SELECT 1",
    "SHOW DATABASES",
    "SHOW ALL TABLES",
    "SHOW VARIABLES",
    "SELECT * FROM (SHOW DATABASES)",
    "SUMMARIZE m",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE m",
    "SELECT 1 /* ; */; DELETE FROM m",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT '" + "x" * 300_000 + "'",
    "SELECT 1\0",
]  # fmt: skip


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    config = StoreConfig(
        data_dir=tmp_path_factory.mktemp("sql"),
        token="unused",
        query_timeout_s=0.3,
        query_wait_s=0.05,
        query_concurrency=1,
        query_max_rows=1000,
    )
    databases = Databases(config)
    databases.open_all()
    yield databases
    databases.close()


@pytest.fixture(scope="module")
def database(databases: Databases) -> Database:
    database = databases.get("sensorflow")
    lines = 'm,s=a v=1,t="x" 60000000\nm,s=a v=3 180000000\nm,s=b v=2 120000000'
    rows = parse(lines, precision="us", now_us=0).rows
    with database.transaction():
        for part in rows:
            database.tables.adopt({"m": database.tables.columns_with(part.shape, {})})
        database.tables.upsert("m", [(0, part) for part in rows])
    return database


def run(databases: Databases, sql: str) -> list[tuple[object, ...]]:
    stream = ResultStream(databases.config, databases.get("sensorflow"), sql, {})
    return [tuple(row.values()) for batch in stream for row in batch.to_pylist()]


@pytest.mark.parametrize("sql", HOSTILE, ids=lambda sql: sql[:60])
def test_hostile_statement_is_refused(databases: Databases, database: Database, sql: str) -> None:
    reader = database.take_reader()
    try:
        with pytest.raises(InvalidQueryError):
            admit(sql, {}, database.tables.columns(), reader)
    finally:
        database.return_reader(reader)

    with pytest.raises(InvalidQueryError):
        run(databases, sql)
    assert run(databases, "SELECT count(*) FROM m") == [(3,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "COPY m TO '/tmp/store-test'",
        "ATTACH '/tmp/store-test.duckdb'",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM database",
    ],
)
def test_wall_behind_the_check_holds_by_itself(database: Database, sql: str) -> None:
    reader = database.take_reader()
    try:
        with pytest.raises(duckdb.Error):
            reader.execute(sql).fetchall()
    finally:
        database.return_reader(reader)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT s, v FROM m ORDER BY time LIMIT 1", [("a", 1.0)]),
        ("FROM m SELECT v ORDER BY v", [(1.0,), (2.0,), (3.0,)]),
        ("SELECT v FROM iox.m WHERE s = 'b'", [(2.0,)]),
        ("SELECT v FROM public.iox.\"m\" WHERE s = 'b';", [(2.0,)]),
        ("WITH x AS (SELECT max(v) AS v FROM m) SELECT v FROM x", [(3.0,)]),
        ("VALUES (1), (2)", [(1,), (2,)]),
        ("SELECT selector_last(v, time)['value'] FROM m", [(3.0,)]),
        ("SELECT epoch(selector_first(v, time)['time']), selector_max(v, time)['value'] FROM m", [(60.0, 3.0)]),
        ("SELECT approx_percentile_cont(v, 0.5) FROM m", [(2.0,)]),
        ("SELECT last_value(v ORDER BY time), first_value(v ORDER BY time) FROM m", [(3.0, 1.0)]),
        ("SELECT s, v, t FROM last_cache('m') ORDER BY s", [("a", 3.0, None), ("b", 2.0, None)]),
        ("SELECT x.v FROM last_cache('m') AS x WHERE x.s = 'a'", [(3.0,)]),
        ("SELECT hour(tz(TIMESTAMP '2024-07-01T00:00:00Z', 'Europe/Berlin'))", [(2,)]),
        ("SELECT extract(epoch FROM to_timestamp(1700000000000000000))", [(1700000000.0,)]),
        ("SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox'", [("m",)]),
        ("SHOW TABLES", [("public", "iox", "m", "BASE TABLE")]),
        ("SELECT columns.data_type FROM information_schema.columns WHERE column_name = 'v'", [("Float64",)]),
        (
            "SELECT c.data_type FROM public.information_schema.columns AS c WHERE c.column_name = 's'",
            [("Dictionary(Int32, Utf8)",)],
        ),
        ("SELECT count(*) FROM generate_series(1, 10)", [(10,)]),
        ("SELECT count(*) FROM m WHERE time <= now() - interval '1 hour'", [(3,)]),
        ("SELECT count(*) FROM m WHERE time >= '1970-01-01T00:02:00Z' AND time < '1970-01-01T04:00:00+01:00'", [(2,)]),
        ("SELECT count(*) FROM m WHERE time >= cast('1970-01-01T00:02:00Z' AS TIMESTAMP)", [(2,)]),
        ("SELECT s FROM m WHERE s ~ '^a' AND t LIKE 'x%'", [("a",)]),
    ],
)
def test_dashboards_sql_runs(
    databases: Databases, database: Database, sql: str, rows: list[tuple[object, ...]]
) -> None:
    assert run(databases, sql) == rows


def test_show_columns_tells_names_and_types(databases: Databases, database: Database) -> None:
    assert [(row[3], row[4]) for row in run(databases, "SHOW COLUMNS FROM m")] == [
        ("time", "Timestamp(Nanosecond, None)"), ("s", "Dictionary(Int32, Utf8)"), ("v", "Float64"), ("t", "Utf8"),
    ]  # fmt: skip


def test_explain_shows_a_plan(databases: Databases, database: Database) -> None:
    for sql in ("EXPLAIN SELECT * FROM m", "-- c\nexplain analyze SELECT * FROM m"):
        assert "m" in str(run(databases, sql)[0][1])


def test_query_beyond_its_time_is_interrupted_and_the_next_runs(databases: Databases, database: Database) -> None:
    started = time.monotonic()
    with pytest.raises(QueryTimeoutError, match=r"the query took longer than 0\.3 s"):
        run(databases, "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5")

    assert time.monotonic() - started < 3
    assert run(databases, "SELECT 1") == [(1,)]


def test_more_rows_than_the_limit_are_an_error(databases: Databases, database: Database) -> None:
    assert len(run(databases, "SELECT * FROM range(1000)")) == 1000
    with pytest.raises(InvalidQueryError, match="more than 1000 rows: add a LIMIT"):
        run(databases, "SELECT * FROM range(1001)")


def test_waiting_for_a_query_slot_ends_in_a_clear_error(databases: Databases, database: Database) -> None:
    stream = ResultStream(databases.config, database, "SELECT 1", {})
    with pytest.raises(BusyError, match=r"all query slots were in use for 0\.05 s"):
        run(databases, "SELECT 1")

    stream.close()

    assert run(databases, "SELECT 1") == [(1,)]


def test_stream_that_is_dropped_gives_its_slot_back(databases: Databases, database: Database) -> None:
    ResultStream(databases.config, database, "SELECT * FROM range(100)", {})

    assert run(databases, "SELECT 1") == [(1,)]


def test_writing_goes_on_while_a_query_streams(databases: Databases, database: Database) -> None:
    stream = ResultStream(databases.config, database, "SELECT * FROM m", {})
    parsed = parse("other v=1 1", precision="us", now_us=0)
    with database.transaction():
        database.tables.adopt({"other": database.tables.columns_with(parsed.rows[0].shape, {})})
        database.tables.upsert("other", [(0, parsed.rows[0])])

    assert sum(batch.num_rows for batch in stream) == 3
    assert run(databases, "SELECT v FROM other") == [(1.0,)]


def test_failed_transaction_leaves_the_schema_as_it_was(database: Database) -> None:
    parsed = parse("undone v=1 1", precision="us", now_us=0)

    def fail() -> None:
        with database.transaction():
            database.tables.adopt({"undone": database.tables.columns_with(parsed.rows[0].shape, {})})
            database.connection.execute("SELECT nonsense")

    with pytest.raises(duckdb.Error):
        fail()
    assert "undone" not in database.tables.columns()
