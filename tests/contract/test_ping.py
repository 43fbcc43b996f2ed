"""Whether it is there, and which process it is."""

import uuid

import pytest

from tests.contract.target import Target


def test_health_is_ok(target: Target) -> None:
    answer = target.http("GET", "/health")

    assert (answer.status_code, answer.text) == (200, "OK")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_ping_tells_version_and_process(target: Target, method: str) -> None:
    answer = target.http(method, "/ping")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json().keys() >= {"version", "revision", "process_id"}
    assert answer.headers["x-influxdb-version"] == answer.json()["version"]
    assert answer.headers["x-influxdb-build"]


def test_process_stays_the_same_while_it_runs(target: Target) -> None:
    first, second = (uuid.UUID(target.http("GET", "/ping").json()["process_id"]) for _ in range(2))

    assert first == second


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/ping"), ("GET", "/nothing/here"), ("GET", "/api/v3/write_lp")])
def test_what_is_not_served_is_404(target: Target, method: str, path: str) -> None:
    assert target.http(method, path).status_code == 404
