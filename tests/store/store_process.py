"""The real store as a child process, and the clients that the tests talk to it with."""

import json
import os
import re
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
from influxdb_client_3 import InfluxDBClient3, WriteOptions
from influxdb_client_3.write_client.client.write_api import WriteType

TOKEN = "apiv3_a-token-for-tests"
ROOT = Path(__file__).parents[2]
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else httpx reads the system's certificates for each client


@dataclass(slots=True)
class StoreProcess:
    """``python -m store`` on a free port. Its log is in ``log``, line by line."""

    data_dir: Path
    log: list[str] = field(default_factory=list)
    port: int = 0
    process: subprocess.Popen[str] | None = None
    _draining: threading.Thread | None = None
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(verify=_NO_TLS, timeout=30))

    def start(self) -> Self:
        """Start, and wait until it listens; a store that ends instead leaves its last words in ``log``."""
        environment = {
            **os.environ,
            "INFLUX_TOKEN": TOKEN,
            "INFLUX_DATABASE": "sensorflow",
            "INFLUX_PORT": "0",
            "DATA_DIR": str(self.data_dir),
        }
        command = [sys.executable, "-m", "store"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"listening on \S+:(\d+)", line):
                self.port = int(found[1])
                self._draining = threading.Thread(target=self.log.extend, args=[self.process.stderr], daemon=True)
                self._draining.start()
                break
        return self

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.ended()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.ended()

    def ended(self) -> int:
        """Wait until it has ended; ``log`` is complete then."""
        assert self.process is not None
        assert self.process.stderr is not None
        code = self.process.wait(15)
        if self._draining:
            self._draining.join()
        self.process.stderr.close()
        self._http.close()
        self._http = httpx.Client(verify=_NO_TLS, timeout=30)
        return code

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, *, use_v2_api: bool = False, enable_gzip: bool = False) -> InfluxDBClient3:
        options = {"write_options": WriteOptions(write_type=WriteType.synchronous, use_v2_api=use_v2_api)}
        return InfluxDBClient3(
            host=self.url, token=TOKEN, database="sensorflow", write_client_options=options, enable_gzip=enable_gzip
        )

    def http(self, method: str, path: str, token: str | None = TOKEN, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._http.request(method, self.url + path, headers=headers | options.pop("headers", {}), **options)

    def write(self, lines: str | bytes, db: str = "sensorflow", **params: str) -> httpx.Response:
        params = {"db": db, "precision": "microsecond", **params}
        body = lines.encode() if isinstance(lines, str) else lines
        return self.http("POST", "/api/v3/write_lp", params=params, content=body)

    def rows(self, sql: str, db: str = "sensorflow", **params: Any) -> list[dict[str, Any]]:
        answer = self.http("GET", "/api/v3/query_sql", params={"db": db, "q": sql, "params": json.dumps(params)})
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()
        return rows
