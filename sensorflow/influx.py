"""The store's client: ``influxdb3-python`` behind our own errors. Works against InfluxDB 3 and the embedded store.

Every call blocks and has a deadline; asyncio code calls it in a thread. That is also where the client is imported, at
the first call: with what it stands on it takes half of a process's start, and a bridge has to be back before the store.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import urllib3

from sensorflow.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    import pyarrow as pa
    from influxdb_client_3 import InfluxDBClient3

# What the store says about the lines themselves. Everything else is retried: a token or an address that is wrong (401,
# 403, 404) can be put right, and must not make dead letters of all that is in the spool.
_HOPELESS = frozenset({400, 413, 422})
_BAD_TOKEN = "Authorization header was malformed"  # noqa: S105 - a 400 too: a token with a space in it


class PartialWriteError(PermanentError):
    """The store kept the good lines and rejected these.

    Args:
        lines: Number of the line, counted from 1, and the store's reason.
    """

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        super().__init__(f"{len(lines)} lines rejected, the first: {lines[0][1]}")
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Ping:
    """Who answered: ``process_id`` changes when the store was restarted."""

    version: str
    process_id: str | None


class Influx:
    """One database of one store.

    Args:
        host: URL, e.g. ``http://127.0.0.1:8181``.
        timeout_s: Deadline of every call.
    """

    def __init__(self, host: str, token: str, database: str, *, timeout_s: float = 10) -> None:
        self._timeout_s = timeout_s
        self._host, self._token = host, token
        self._made: InfluxDBClient3 | None = None
        self._making = threading.Lock()
        self._http = urllib3.PoolManager(timeout=timeout_s, retries=False, maxsize=2)  # for ping and declare at once
        self._url, self._database = host.rstrip("/"), database
        self._authorization = {"Authorization": f"Bearer {token}"}

    def write(self, lines: bytes) -> None:
        """Write line protocol with times in microseconds; returns when the store has it.

        Raises:
            PartialWriteError: Some lines were rejected, the others are stored.
            PermanentError: The request will never be accepted.
            TransientError: Not now: nothing, or anything, of it may be stored.
        """
        from influxdb_client_3 import InfluxDBError  # noqa: PLC0415 - late, as said above
        from influxdb_client_3.exceptions import InfluxDBPartialWriteError  # noqa: PLC0415 - as above

        try:
            self._client().write(lines)
        except InfluxDBPartialWriteError as error:
            raise PartialWriteError([(line.line_number, line.error_message) for line in error.line_errors]) from error
        except InfluxDBError as error:
            raise _refused(getattr(error, "status", None), str(getattr(error, "message", error))) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(f"store unreachable: {_brief(error)}") from error

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Run one SQL query.

        Raises:
            PermanentError: The store refuses the query as it is.
            TransientError: The store is away or too slow.
        """
        import pyarrow as pa  # noqa: PLC0415 - late, as said above
        from influxdb_client_3.exceptions import InfluxDB3ClientQueryError  # noqa: PLC0415 - as above

        try:
            return self._client().query(sql, language="sql", mode="all", query_parameters=dict(parameters or {}))
        except InfluxDB3ClientQueryError as error:
            raise self._query_error(error.__context__ or error) from error
        except (pa.ArrowException, OSError) as error:
            raise self._query_error(error) from error

    def stream(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Generator[pa.RecordBatch]:
        """Run one SQL query, and give what comes as it comes: a batch is at most some MiB, and no more is held here.

        The deadline is for all of it. Whoever wants no more closes the iterator, which cancels the query.

        Raises:
            PermanentError: The store refuses the query as it is.
            TransientError: The store is away or too slow, maybe in the middle.
        """
        import pyarrow as pa  # noqa: PLC0415 - late, as said above
        from influxdb_client_3.exceptions import InfluxDB3ClientQueryError  # noqa: PLC0415 - as above

        try:
            reader = self._client().query(sql, language="sql", mode="chunk", query_parameters=dict(parameters or {}))
            try:
                for chunk in reader:
                    yield chunk.data
            finally:
                reader.cancel()
        except InfluxDB3ClientQueryError as error:
            raise self._query_error(error.__context__ or error) from error
        except (pa.ArrowException, OSError) as error:
            raise self._query_error(error) from error

    def declare(self, table: str, tags: Sequence[str], fields: Mapping[str, str]) -> None:
        """Have the database and a table with these columns; where there is such a table already, it stays as it is.

        The fields' types are ``float64``, ``int64``, ``uint64``, ``utf8`` or ``bool``.

        Raises:
            PermanentError: The store refuses to have it.
            TransientError: The store is away, or does not know how.
        """
        columns = [{"name": name, "type": type_} for name, type_ in fields.items()]
        self._configure("database", {"db": self._database})
        self._configure("table", {"db": self._database, "table": table, "tags": list(tags), "fields": columns})

    def ping(self) -> Ping:
        """Ask whether the store is there.

        Raises:
            TransientError: It is not.
        """
        try:
            answer = self._http.request("GET", f"{self._url}/ping", headers=self._authorization)
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"store unreachable: {_brief(error)}") from error
        if answer.status != 200:
            raise TransientError(f"store answered {answer.status} to /ping")
        try:
            body = orjson.loads(answer.data or b"{}")
            return Ping(body.get("version", "unknown"), body.get("process_id"))
        except (ValueError, AttributeError):
            raise TransientError(f"store answered {answer.data[:80]!r} to /ping") from None

    def _configure(self, what: str, wanted: Mapping[str, Any]) -> None:
        try:
            answer = self._http.request(
                "POST",
                f"{self._url}/api/v3/configure/{what}",
                body=orjson.dumps(wanted),
                headers={**self._authorization, "Content-Type": "application/json"},
                timeout=urllib3.Timeout(total=self._timeout_s / 2),  # two such requests are one call
            )
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"store unreachable: {_brief(error)}") from error
        if not 200 <= answer.status < 300 and answer.status != 409:  # 409: it is there
            raise _refused(answer.status, answer.data.decode(errors="replace"), f" to a new {what}")

    def _query_error(self, error: BaseException) -> PermanentError | TransientError:
        import pyarrow as pa  # noqa: PLC0415 - late, as said above
        from pyarrow import flight  # noqa: PLC0415 - as above

        is_of_grpc = str(error).startswith("Flight returned")  # else the store itself says that it is busy or too slow
        if is_of_grpc and isinstance(error, flight.FlightTimedOutError):
            return TransientError(f"no answer of {self._url} within {self._timeout_s:g} s")
        if is_of_grpc and isinstance(error, flight.FlightUnavailableError):
            return TransientError(f"nobody answers at {self._url}")
        is_refused = isinstance(error, pa.ArrowInvalid | pa.ArrowKeyError)
        return (PermanentError if is_refused else TransientError)(_first_line(error))

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.close()
        self._http.clear()

    def _client(self) -> InfluxDBClient3:
        with self._making:
            if self._made is None:
                self._made = _client(self._host, self._token, self._database, timeout_s=self._timeout_s)
            return self._made


def _client(host: str, token: str, database: str, *, timeout_s: float) -> InfluxDBClient3:
    from influxdb_client_3 import (  # noqa: PLC0415 - late, as said above
        InfluxDBClient3,
        WriteOptions,
        WritePrecision,
        WriteType,
        write_client_options,
    )

    # All in WriteOptions: the client ignores its own keyword arguments beside them. v3 because the v2 API tells
    # nothing about single lines; write synchronously because batching mode drops data after its retries.
    options = WriteOptions(
        write_type=WriteType.synchronous,
        write_precision=WritePrecision.US,
        use_v2_api=False,
        timeout=int(timeout_s * 1000),
    )
    return InfluxDBClient3(
        host=host,
        token=token,
        database=database,
        write_client_options=write_client_options(write_options=options),
        query_timeout=int(timeout_s * 1000),
    )


def _refused(status: int | None, message: str, request: str = "") -> PermanentError | TransientError:
    is_hopeless = status in _HOPELESS and _BAD_TOKEN not in message
    return (PermanentError if is_hopeless else TransientError)(f"store answered {status}{request}: {message:.200}")


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error!s:.160}"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].partition(". Detail:")[0].partition(". gRPC client debug context:")[0][:300]
