"""Queries over gRPC: Arrow Flight as InfluxDB speaks it.

* ``DoGet`` with InfluxDB's ticket, JSON ``{"database", "sql_query", "query_type", "params"}``: the official clients.
* Flight SQL's ``CommandStatementQuery``: Grafana, ADBC. ``GetFlightInfo`` answers with one endpoint, whose ticket holds
  JSON again, wrapped as Flight SQL wants it; the database comes in the header ``database``.

Everything else is UNIMPLEMENTED, which ADBC takes well (it asks for prepared statements and GetSqlInfo). The few fields
of Flight SQL's protobuf that matter are read by hand: three messages do not need a library.
"""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import flight

from store.auth import is_authorized
from store.config import StoreConfig
from store.database import Database, Databases
from store.errors import (
    BusyError,
    InvalidQueryError,
    InvalidRequestError,
    QueryTimeoutError,
    StorageError,
    StoreError,
    UnknownDatabaseError,
)
from store.query import ResultStream, describe

logger = logging.getLogger("store")

_FLIGHT_SQL = "type.googleapis.com/arrow.flight.protocol.sql."


class FlightServer(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow ships no types
    """Serves on a unix socket; the acceptor leads gRPC connections there. Runs in gRPC's own threads."""

    def __init__(self, config: StoreConfig, databases: Databases, socket: Path) -> None:
        # pyarrow sends the traceback of a Python exception to the client, and only exceptions of Python make it answer
        # INVALID_ARGUMENT or NOT_FOUND. This leaves the traceback no frames, in the whole process.
        sys.tracebacklimit = 0  # until shutdown
        super().__init__(f"grpc+unix://{socket}", middleware={"headers": _HeadersFactory(config.token)})
        self._config, self._databases = config, databases

    def shutdown(self) -> None:
        """Wait for the calls that run, and end."""
        super().shutdown()
        sys.tracebacklimit = 1000

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        """Plan a Flight SQL statement."""
        with _Translation():
            kind, command = _unwrapped(descriptor.command or b"")
            if kind != "CommandStatementQuery":
                raise NotImplementedError(f"{kind or 'this descriptor'} is not supported")
            headers = context.get_middleware("headers")
            request = {"database": headers.database, "sql_query": command.get(1, b"").decode()}
            schema = describe(self._config, self._database(request), request["sql_query"], {})
            ticket = _wrapped("TicketStatementQuery", _field(1, json.dumps(request).encode()))
            return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(ticket, [])], -1, -1)

    def do_get(self, _: Any, ticket: Any) -> Any:
        """Run a query."""
        with _Translation():
            request = _request(ticket.ticket)
            parameters = request.get("params") or {}
            stream = ResultStream(self._config, self._database(request), request["sql_query"], parameters)
            return flight.GeneratorStream(stream.schema, _translated(stream))

    def _database(self, request: dict[str, Any]) -> Database:
        name = request.get("database")
        if not isinstance(name, str) or not name:
            raise InvalidQueryError("no database named: the header 'database', or the ticket's field, is missing")
        return self._databases.get(name)


def _translated(stream: ResultStream) -> Iterator[pa.RecordBatch]:
    with _Translation():
        yield from stream


class _Translation:
    """Turns our errors into the exceptions that pyarrow turns into gRPC statuses."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        match error:
            case None | NotImplementedError() | GeneratorExit():
                return
            case UnknownDatabaseError():
                raise pa.ArrowKeyError(str(error)) from None
            case QueryTimeoutError():
                raise flight.FlightTimedOutError(str(error)) from None
            case BusyError():
                raise flight.FlightUnavailableError(str(error)) from None
            case StorageError():
                raise flight.FlightInternalError(str(error)) from None
            case StoreError() | UnicodeDecodeError():
                raise pa.ArrowInvalid(str(error)) from None
            case Exception():
                logger.error("bug in a query: %r", error)
                raise flight.FlightInternalError("internal error; the store's log has the reason") from None


class _Headers(flight.ServerMiddleware):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self, database: str | None) -> None:
        self.database = database


class _HeadersFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self, token: str) -> None:
        self._token = token

    def start_call(self, _: Any, headers: dict[str, list[str | bytes]]) -> _Headers:
        """Let a call through that carries the token."""
        if not self._is_authorized(_first(headers, "authorization")):
            raise flight.FlightUnauthenticatedError("the request was not authenticated")
        return _Headers(_first(headers, "database"))

    def _is_authorized(self, header: str | None) -> bool:
        try:
            return is_authorized(header, self._token)
        except InvalidRequestError:  # over gRPC InfluxDB makes no difference
            return False


def _first(headers: dict[str, list[str | bytes]], name: str) -> str | None:
    value = next(iter(headers.get(name, [])), None)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


# --- Tickets ---------------------------------------------------------------------------------------------------------


def _request(ticket: bytes) -> dict[str, Any]:
    if not ticket.startswith(b"{"):
        kind, message = _unwrapped(ticket)
        if kind != "TicketStatementQuery":
            raise InvalidQueryError("the ticket is neither InfluxDB's JSON nor Flight SQL's TicketStatementQuery")
        ticket = message.get(1, b"")
    try:
        request = json.loads(ticket)
    except ValueError as error:
        raise InvalidQueryError(f"the ticket is no JSON: {error}") from error
    if not isinstance(request, dict) or not isinstance(request.get("sql_query"), str):
        raise InvalidQueryError("the ticket has no sql_query")
    if not isinstance(request.get("params") or {}, dict):
        raise InvalidQueryError("the ticket's params are no object")
    if (language := request.get("query_type", "sql")) != "sql":
        raise InvalidQueryError(f"query_type {language!r} is not supported here, only 'sql'")
    return request


def _unwrapped(message: bytes) -> tuple[str, dict[int, bytes]]:
    """Read a protobuf ``Any`` of Flight SQL: its message's name, and the message's fields. ("", {}) if it is none."""
    outer = _fields(message)
    name = outer.get(1, b"").decode()
    return (name.removeprefix(_FLIGHT_SQL), _fields(outer.get(2, b""))) if name.startswith(_FLIGHT_SQL) else ("", {})


def _wrapped(name: str, message: bytes) -> bytes:
    return _field(1, (_FLIGHT_SQL + name).encode()) + _field(2, message)


def _fields(message: bytes) -> dict[int, bytes]:
    """Read the length-delimited fields of a protobuf message; of others (wire types 0, 1, 5) none are used here."""
    fields, at = {}, 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 != 2:
            raise InvalidQueryError(f"protobuf field of wire type {key & 7}, expected 2")
        size, at = _varint(message, at)
        if at + size > len(message):
            raise InvalidQueryError(f"protobuf field of {size} bytes, {len(message) - at} are left")
        fields[key >> 3] = message[at : at + size]
        at += size
    return fields


def _field(number: int, value: bytes) -> bytes:
    return _as_varint(number << 3 | 2) + _as_varint(len(value)) + value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(message):
            break
        byte, at = message[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise InvalidQueryError("protobuf number is cut off")


def _as_varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _as_varint(rest) if rest else bytes([low])
