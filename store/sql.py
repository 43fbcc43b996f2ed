"""Which SQL may run, decided on its syntax tree, and what of InfluxDB's dialect is put into DuckDB's.

A statement runs if it is one SELECT (also WITH or VALUES), EXPLAIN of one, SHOW TABLES or SHOW COLUMNS, reads only our
tables, and calls only functions listed here. So nothing depends on knowing every function that could do harm, today or
in the next DuckDB. Behind it stand three more walls: transactions are read-only, external access is off, the
configuration is locked.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from store.errors import InvalidQueryError
from store.line_grammar import Kind
from store.tables import Columns, quoted, tags_of

MAX_SQL_BYTES = 256 * 1024

_QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "CTE_NODE", "RECURSIVE_CTE_NODE"}
_TABLE_FUNCTIONS = {"unnest", "generate_series", "range", "last_cache"}
_INFORMATION_SCHEMA = {"tables", "schemata"}  # besides ``columns``, which is a view of ours

_FUNCTIONS = frozenset(
    """
    abs acos acosh add age ago any_value approx_count_distinct approx_distinct approx_median
    approx_percentile_cont approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_min argmax argmin
    array_agg array_contains array_has array_length array_to_string arrow_typeof ascii asin asinh atan atan2 atanh
    avg bin bit_and bit_count bit_length bit_or bit_xor bool_and bool_or btrim cbrt ceil ceiling century
    char_length character_length chr coalesce concat concat_ws contains corr cos cosh cot count count_if
    count_star covar covar_pop covar_samp cume_dist current_database current_date current_localtimestamp
    current_schema current_time current_timestamp date_add date_bin date_diff date_part date_sub date_trunc
    datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade degrees
    dense_rank divide element_at ends_with entropy epoch epoch_ms epoch_ns epoch_us even exp factorial fdiv fill
    first first_value floor fmod from_unixtime gcd get_current_time get_current_timestamp greatest group_concat
    grouping grouping_id hash hex histogram hour if ifnull instr isfinite isinf isnan isodow isoyear iszero
    json_extract json_extract_string julian kurtosis lag last last_day last_value lcase lcm lead least left len
    length levenshtein list list_aggregate list_avg list_contains list_extract list_max list_min list_sort
    list_sum list_value ln log log10 log2 lower ltrim mad make_date make_timestamp make_timestamptz map_extract
    max max_by md5 mean median microsecond millisecond min min_by minute mod mode month monthname multiply nanvl
    now nth_value ntile nullif nvl octet_length ord percent_rank percentile_cont percentile_disc pi position pow
    power prefix product quantile quantile_cont quantile_disc quarter radians random rank regexp_extract
    regexp_full_match regexp_like regexp_matches regexp_replace regr_avgx regr_avgy regr_count regr_intercept
    regr_r2 regr_slope regr_sxx regr_sxy regr_syy replace reverse right round row row_number rtrim second
    selector_first selector_last selector_max selector_min sem sign signbit signum sin sinh skewness split_part
    sqrt starts_with stddev stddev_pop stddev_samp str_split strftime string_agg string_split strlen strpos
    strptime struct_extract struct_pack substr substring subtract suffix sum tan tanh time_bucket timezone to_days
    to_hex to_hours to_microseconds to_milliseconds to_minutes to_months to_seconds to_timestamp
    to_timestamp_micros to_timestamp_millis to_timestamp_nanos to_timestamp_seconds to_weeks to_years today
    translate trim trunc try_strptime typeof tz ucase unicode unnest upper var var_pop var_samp variance week
    weekday weekofyear xor year yearweek
    """.split()  # noqa: SIM905 - three hundred quotes would hide the names
)
"""Left out besides what touches files, settings and the process: what makes long strings or lists out of nothing
(``repeat``, ``lpad``, ``range`` as a list), which neither the memory limit nor the time limit stops in time."""

_RENAMED = {"first_value": "first", "last_value": "last"}
"""InfluxDB's ordered aggregates, which DuckDB knows as window functions only."""

_SYSTEM_OPERATORS = re.compile(r"[^a-zA-Z_]+|__(?:between|cast)|(?:not_)?i?like_escape|list_value|struct_pack|map")
"""What the parser makes of operators and literals."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A statement that may run, with the parameters it uses."""

    sql: str
    parameters: dict[str, Any]


def admit(
    sql: str, parameters: Mapping[str, Any], tables: Mapping[str, Columns], reader: duckdb.DuckDBPyConnection
) -> Admitted:
    """Check a statement and translate it. ``reader`` is used to parse only.

    Raises:
        InvalidQueryError: It says what may not run, or where the syntax is wrong.
    """
    statement = _one_statement(sql)
    if statement is None:
        return Admitted("SELECT 1", {})  # Grafana's health check sent an empty statement in some versions
    names = statement.named_parameters
    chosen = {name: value for name, value in parameters.items() if name in names}
    if missing := sorted(names - set(chosen)):
        raise InvalidQueryError(f"no value for parameter ${missing[0]}")
    return Admitted(_translated(statement, tables, reader), chosen)


def _one_statement(sql: str) -> duckdb.Statement | None:
    size = len(sql.encode())
    if size > MAX_SQL_BYTES:
        raise InvalidQueryError(f"statement of {size} bytes, at most {MAX_SQL_BYTES}")
    if "\0" in sql:
        raise InvalidQueryError("statement contains NUL")
    try:
        statements = duckdb.extract_statements(_shown(sql) or sql)
    except duckdb.Error as error:
        raise InvalidQueryError(str(error)) from error
    if len(statements) > 1:
        raise InvalidQueryError(f"{len(statements)} statements, one at a time")
    return statements[0] if statements else None


_SHOW_TABLES = re.compile(r"\s*show\s+tables\s*;?\s*", re.IGNORECASE)
_SHOW_COLUMNS = re.compile(r"""\s*show\s+columns\s+(?:from|in)\s+(?:"((?:[^"]|"")+)"|(\w+))\s*;?\s*""", re.IGNORECASE)


def _shown(sql: str) -> str | None:
    """Put SHOW as the SELECT it stands for, or None if it is none."""
    if _SHOW_TABLES.fullmatch(sql):
        return (
            "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables"
            " WHERE table_schema = 'iox' ORDER BY table_name"
        )
    if found := _SHOW_COLUMNS.fullmatch(sql):
        name = (found[1] or found[2]).replace('""', '"').replace("'", "''")
        return (
            "SELECT table_catalog, table_schema, table_name, column_name, data_type, is_nullable"  # noqa: S608 - escaped
            f" FROM information_schema.columns WHERE table_schema = 'iox' AND table_name = '{name}'"
            " ORDER BY ordinal_position"
        )
    return None


_EXPLAIN = re.compile(r"(?:\s+|--[^\n]*\n|/\*.*?\*/)*explain\s+(analyze\s+)?", re.IGNORECASE | re.DOTALL)


def _translated(statement: duckdb.Statement, tables: Mapping[str, Columns], reader: duckdb.DuckDBPyConnection) -> str:
    query = statement.query.strip().rstrip(";")
    if statement.type == duckdb.StatementType.SELECT:
        return _translated_select(query, tables, reader)
    if statement.type == duckdb.StatementType.EXPLAIN and (explain := _EXPLAIN.match(query)):
        return explain[0].lstrip() + _translated_select(query[explain.end() :], tables, reader)
    raise InvalidQueryError(f"{statement.type.name} may not run here, only SELECT, EXPLAIN and SHOW TABLES or COLUMNS")


def _translated_select(query: str, tables: Mapping[str, Columns], reader: duckdb.DuckDBPyConnection) -> str:
    tree = _parse(query, reader)
    check = _Check(tables, _names_of_ctes(tree), reader)
    try:
        check.walk(tree)
    except RecursionError:
        raise InvalidQueryError("the statement is nested too deeply") from None
    if not check.is_changed:
        return query
    row = reader.execute("SELECT json_deserialize_sql($1::JSON)", [json.dumps(tree)]).fetchone()
    return str(row[0]) if row else query


def _parse(query: str, reader: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    try:
        row = reader.execute("SELECT json_serialize_sql($1::VARCHAR)", [query]).fetchone()
        tree: dict[str, Any] = json.loads(row[0]) if row else {}
    except (duckdb.Error, ValueError) as error:
        raise InvalidQueryError(str(error)) from error
    except RecursionError:
        raise InvalidQueryError("the statement is nested too deeply") from None
    if tree.get("error") is not False:
        raise InvalidQueryError(f"only SELECT, EXPLAIN and SHOW may run: {tree.get('error_message')}")
    return tree


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    pending = [value]
    while pending:
        match pending.pop():
            case dict() as found:
                yield found
                pending += found.values()
            case list() as found:
                pending += found


_CTE_NAME = re.compile(r"(?!duckdb_|pragma_|sqlite_|pg_)\w[\w ]*")


def _names_of_ctes(tree: dict[str, Any]) -> set[str]:
    """Collect the names that WITH gives; outside of their query they must not mean a system view."""
    names = set[str]()
    for node in _objects(tree):
        if "cte_map" in node:
            names |= {entry["key"].casefold() for entry in node["cte_map"]["map"]}
        if node.get("type") in {"CTE_NODE", "RECURSIVE_CTE_NODE"}:
            names.add(str(node.get("cte_name")).casefold())
    if forbidden := sorted(name for name in names if not _CTE_NAME.fullmatch(name)):
        raise InvalidQueryError(f"'{forbidden[0]}' cannot be the name of a WITH query here")
    return names


class _Check:
    """Walks a syntax tree as ``json_serialize_sql`` gives it, and translates it in place."""

    def __init__(self, tables: Mapping[str, Columns], ctes: Collection[str], reader: duckdb.DuckDBPyConnection) -> None:
        self._tables, self._reader = tables, reader
        self._by_folded_name = {name.casefold(): name for name in tables}
        self._ctes = ctes
        self.is_changed = False
        self._table_calls = set[int]()
        self._checks: dict[str, Callable[[dict[str, Any]], None]] = {
            "BASE_TABLE": self._base_table,
            "TABLE_FUNCTION": self._table_function,
            "FUNCTION": self._function,
            "WINDOW": self._function,
            "SHOW_REF": self._refuse_show,
        }

    def walk(self, tree: dict[str, Any]) -> None:
        for node in _objects(tree):
            kind = str(node.get("type", ""))
            if kind.endswith("_NODE") and kind not in _QUERY_NODES:
                raise InvalidQueryError("only SELECT, EXPLAIN and SHOW may run")
            check = self._checks.get(str(node.get("class"))) or self._checks.get(kind)
            if check:
                check(node)

    def _base_table(self, node: dict[str, Any]) -> None:
        path = [str(part) for part in node["qualified_name"]["path"]]
        match [part.casefold() for part in path]:
            case [name] if name in self._ctes or name in self._by_folded_name:
                return
            case ["iox", name] | ["public", "iox", name] if name in self._by_folded_name:
                return
            case ["information_schema", "columns"] | ["public", "information_schema", "columns"]:
                node["qualified_name"] = {"path": ["memory", "influxdb", "columns"]}
                node.update(catalog_name="memory", schema_name="influxdb")
                self.is_changed = True
                return
            case ["information_schema", name] | ["public", "information_schema", name] if name in _INFORMATION_SCHEMA:
                return
        raise InvalidQueryError(f"table '{'.'.join(['public', 'iox', *path][-3:])}' not found")

    def _table_function(self, node: dict[str, Any]) -> None:
        name = str(node["function"]["function_name"]).casefold()
        if name not in _TABLE_FUNCTIONS:
            raise InvalidQueryError(f"table function '{name}' not found")
        if name == "last_cache":
            self._last_cache(node)
        else:
            self._table_calls.add(id(node["function"]))

    def _last_cache(self, node: dict[str, Any]) -> None:
        """Put the newest row of each series in the place of ``last_cache('table')``."""
        arguments = [
            argument["expression"].get("literal", {}).get("text") for argument in node["function"]["arguments"]
        ]
        if not arguments or arguments[0] not in self._tables:
            raise InvalidQueryError(f"last_cache: no table {arguments[0] if arguments else None!r}")
        query = _newest_rows(arguments[0], self._tables[arguments[0]])
        row = self._reader.execute("SELECT json_serialize_sql($1::VARCHAR)", [query]).fetchone()
        subquery = json.loads(row[0])["statements"][0] if row else {}
        alias = node["alias"] or "last_cache"
        node.clear()
        node.update(type="SUBQUERY", alias=alias, sample=None, subquery=subquery, column_name_alias=[])
        self.is_changed = True

    def _function(self, node: dict[str, Any]) -> None:
        name = str(node["function_name"]).casefold()
        if node.get("schema") or node.get("catalog"):
            raise InvalidQueryError(f"function '{name}' is named with a schema")
        if name not in _FUNCTIONS and id(node) not in self._table_calls and not _SYSTEM_OPERATORS.fullmatch(name):
            raise InvalidQueryError(f"function '{name}' not found, or not allowed here")
        if node["class"] == "FUNCTION" and name in _RENAMED:
            node["function_name"] = _RENAMED[name]
            node["qualified_name"] = {"path": [_RENAMED[name]]}
            self.is_changed = True

    def _refuse_show(self, _: dict[str, Any]) -> None:
        raise InvalidQueryError("only SHOW TABLES and SHOW COLUMNS FROM a table may run")


def _newest_rows(table: str, columns: Columns) -> str:
    tags = [quoted(tag) for tag in tags_of(columns)]
    selected = ", ".join(_newest(quoted(name), kind) for name, kind in columns.items())
    grouping = f"GROUP BY {', '.join(tags)}" if tags else "HAVING count(*) > 0"
    return f"SELECT {selected} FROM public.iox.{quoted(table)} {grouping}"  # noqa: S608 - quoted


def _newest(column: str, kind: Kind) -> str:
    if kind is Kind.TAG:
        return column
    return "max(time) AS time" if kind is Kind.TIME else f"arg_max_null({column}, time) AS {column}"
