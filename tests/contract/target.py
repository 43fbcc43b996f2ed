"""An InfluxDB 3 under contract, and the ways in which it is spoken to: HTTP, the official client, Flight SQL."""

import json
import secrets
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_flightsql import dbapi as flightsql
from influxdb_client_3 import InfluxDBClient3, WriteOptions
from influxdb_client_3.write_client.client.write_api import WriteType
from pyarrow import flight

GRAFANA_MESSAGE_BYTES = 4 * 2**20
"""What grpc-go takes in one message by default, which Grafana leaves as it is."""

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Target:
    """One server, and the one database that the tests use in it; each test writes to tables of its own."""

    name: str
    url: str
    token: str = field(repr=False)
    database: str = field(default_factory=lambda: f"contract_{secrets.token_hex(4)}")
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=TIMEOUT_S), repr=False)

    def http(self, method: str, path: str, *, authorization: str | None = None, **options: Any) -> httpx.Response:
        """Send a request, with the token unless ``authorization`` is given; "" sends no such header."""
        if authorization is None:
            authorization = f"Bearer {self.token}"
        headers = {"Authorization": authorization.encode()} if authorization else {}
        return self._http.request(method, self.url + path, headers=headers | options.pop("headers", {}), **options)

    def write(self, lines: str | bytes, headers: Mapping[str, str] | None = None, **params: str) -> httpx.Response:
        """Write line protocol, in microseconds if ``params`` do not say otherwise."""
        return self.http(
            "POST",
            "/api/v3/write_lp",
            params={"db": self.database, "precision": "microsecond", **params},
            content=lines.encode() if isinstance(lines, str) else lines,
            headers=headers or {},
        )

    def query(self, sql: str, **params: Any) -> httpx.Response:
        return self.http("GET", "/api/v3/query_sql", params={"db": self.database, "q": sql, **params})

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Query; nulls have no keys."""
        answer = self.query(sql, params=json.dumps(parameters))
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()
        return rows

    def client(self, *, token: str | None = None, use_v2_api: bool = False, gzip: bool = False) -> InfluxDBClient3:
        options = WriteOptions(write_type=WriteType.synchronous, use_v2_api=use_v2_api, timeout=TIMEOUT_S * 1000)
        return InfluxDBClient3(
            host=self.url,
            token=token or self.token,
            database=self.database,
            write_client_options={"write_options": options},
            enable_gzip=gzip,
        )

    def grafana(self) -> Any:
        """Connect as Grafana does: by Flight SQL, with the database in a header, and 4 MiB a message."""
        options = {
            DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {self.token}",
            DatabaseOptions.RPC_CALL_HEADER_PREFIX.value + "database": self.database,
            DatabaseOptions.WITH_MAX_MSG_SIZE.value: str(GRAFANA_MESSAGE_BYTES),
        }
        return closing(flightsql.connect(self._flight_uri("grpc"), db_kwargs=options, autocommit=True))

    def flight_client(self) -> flight.FlightClient:
        return flight.connect(self._flight_uri("grpc+tcp"))

    def flight_options(self, authorization: str | None = None) -> flight.FlightCallOptions:
        header = f"Bearer {self.token}" if authorization is None else authorization
        headers = [(b"database", self.database.encode())]
        headers += [(b"authorization", header.encode())] if header else []
        return flight.FlightCallOptions(headers=headers, timeout=TIMEOUT_S)

    def delete_database(self) -> None:
        """Take the database out of the five that InfluxDB 3 Core allows."""
        params = {"db": self.database, "hard_delete_at": "now"}
        answer = self.http("DELETE", "/api/v3/configure/database", params=params)
        assert answer.is_success, answer.text

    def close(self) -> None:
        self._http.close()

    def _flight_uri(self, plain: str) -> str:
        parts = urlsplit(self.url)
        return f"{'grpc+tls' if parts.scheme == 'https' else plain}://{parts.netloc}"


def real_target(environment: Mapping[str, str]) -> Target | None:
    """Return the InfluxDB 3 that ``INFLUX_CONTRACT_URL`` names, None where it names none.

    Raises:
        ValueError: It has no token, in ``INFLUX_CONTRACT_TOKEN`` or in the file ``INFLUX_CONTRACT_TOKEN_FILE``.
    """
    url = environment.get("INFLUX_CONTRACT_URL")
    if not url:
        return None
    token = environment.get("INFLUX_CONTRACT_TOKEN", "")
    if not token and (path := environment.get("INFLUX_CONTRACT_TOKEN_FILE")):
        token = Path(path).read_text(encoding="utf-8").strip()
    if not token:
        raise ValueError("INFLUX_CONTRACT_URL needs INFLUX_CONTRACT_TOKEN or INFLUX_CONTRACT_TOKEN_FILE")
    return Target("real", url.rstrip("/"), token)
