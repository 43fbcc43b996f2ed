"""The table of docs/http_api.md: its examples are run, and its rows are the routes that there are."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.system import ROOT, System

pytestmark = pytest.mark.e2e

TEXT = (ROOT / "docs/http_api.md").read_text()
WEBSOCKET = "GET /ws/sensor_updates"  # which no OpenAPI document can have

CURLRC = """
silent
show-error
output = "/dev/null"
write-out = "%{http_code} %{method} %{url_effective}"
"""


@dataclass(frozen=True)
class Row:
    endpoint: str
    scope: str
    status: int
    command: str


def rows() -> list[Row]:
    found = re.findall(r"^\| `((?:GET|POST) [^`]+)` \| (\w*) ?\| .+ \| (\d{3}) \| `(.+)` \|$", TEXT, re.MULTILINE)
    return [Row(endpoint, scope, int(status), command) for endpoint, scope, status, command in found]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("system"))
    system.start()
    try:
        system.wait_until()
        reading = {"sensor_id": "sensor_001", "temperature": 25.5, "humidity": 60.2, "pressure": 1012.5}
        system.post("temperature_reading", reading)  # so that each example can be run alone
        yield system
    finally:
        system.stop_all()


@pytest.fixture(scope="module")
def paths(running: System) -> dict[str, Any]:
    found: dict[str, Any] = running.http.get("/openapi.json").json()["paths"]
    return found


def test_the_table_has_every_route_and_no_other(paths: dict[str, Any]) -> None:
    named = [row.endpoint for row in rows()]
    documented = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}

    assert len(set(named)) == len(named)
    assert set(named) - {WEBSOCKET} == documented
    assert len(named) == len(re.findall(r"^\| `(?:GET|POST) ", TEXT, re.MULTILINE)), "a row that cannot be read"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.endpoint)
def test_an_example_asks_its_own_endpoint_and_gets_its_answer(row: Row, running: System, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text(CURLRC)
    setup = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)[0]
    setup = setup.replace("http://127.0.0.1:8000", running.url)

    done = subprocess.run(
        ["bash", "-euc", setup + row.command],
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(tmp_path), "API_KEY": running.key},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    status, method, url = done.stdout.split(" ")
    assert (done.stderr, int(status)) == ("", row.status)
    assert re.fullmatch(re.sub(r"{\w+}", "[^/]+", row.endpoint), f"{method} {httpx.URL(url).path}")


def test_a_key_is_asked_for_where_the_table_says_so(paths: dict[str, Any]) -> None:
    for row in rows():
        method, _, path = row.endpoint.partition(" ")
        if row.endpoint != WEBSOCKET:
            is_open = paths[path][method.lower()].get("security") == []
            assert is_open == (row.scope == ""), row.endpoint
