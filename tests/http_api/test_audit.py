"""Who used which key, and what was refused: in few lines, and never more of them than there is room for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from http_api import audit
from http_api.audit import Audit
from sensorflow.keys import Grant
from tests.http_api.processes import KEY, Api
from tests.http_api.requests import READING
from tests.http_api.test_keys import Ring, post, wait_for

GRANT = Grant("barn", frozenset({"write"}), None, "0123456789ab")


@pytest.fixture
def log(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    audit.start(tmp_path)
    file = tmp_path / "audit.jsonl"
    return lambda: [json.loads(line) for line in file.read_text().splitlines()]


def test_a_keys_first_use_from_an_address_is_one_line(log: Callable[[], list[dict[str, Any]]]) -> None:
    trail = Audit()

    for who in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        trail.used(who, GRANT, "r-1")

    assert [(each["event"], each["key"], each["address"]) for each in log()] == [
        ("key used", "barn", "192.0.2.1"),
        ("key used", "barn", "192.0.2.2"),
    ]


def test_of_a_flood_of_refusals_a_few_lines_stay_and_the_rest_is_counted(
    log: Callable[[], list[dict[str, Any]]],
) -> None:
    trail = Audit()

    for number in range(100):
        trail.refused(401, "192.0.2.1", path=f"/{number}")
    for number in range(1000):
        trail.refused(401, f"10.0.{number // 250}.{number % 250}")

    lines = log()
    assert len(lines) == 300
    assert lines[0] == {
        "time": lines[0]["time"],
        "event": "refused",
        "status": 401,
        "address": "192.0.2.1",
        "path": "/0",
    }
    assert lines[1]["left_out"] == 99


def test_where_nothing_can_be_written_the_log_has_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()

    audit.start(tmp_path / "file")

    assert "the audit log is written here" in caplog.text


@pytest.fixture(autouse=True)
def _as_it_was() -> Any:
    yield
    for handler in list(audit._log.handlers):
        audit._log.removeHandler(handler)
        handler.close()
    audit._log.propagate = True


def test_the_api_notes_uses_and_refusals_by_their_request_id_and_no_query(
    start_bridge: Callable[[], Any], start_api: Callable[..., Api]
) -> None:
    start_bridge()
    api = start_api()
    api.wait_until(bridge="active")
    headers = {"X-API-Key": "nonsense", "X-Request-Id": "who-is-it"}
    httpx.get(f"{api.url}/api/v1/sensor/a/latest?api-key=visible", headers=headers)
    ring = Ring(api)
    key = ring.add("barn", "write", sensors=("barn-1",))
    wait_for(403, lambda: post(api, key, READING))
    file = ring.place / "audit.jsonl"

    lines = [json.loads(line) for line in file.read_text().splitlines()]

    events = {(each["event"], each.get("status"), each.get("key")) for each in lines}
    assert {("key used", None, "barn"), ("refused", 403, "barn"), ("refused", 401, None)} <= events
    refusal = next(each for each in lines if each.get("request_id") == "who-is-it")
    assert (refusal["method"], refusal["path"]) == ("GET", "/api/v1/sensor/a/latest")
    assert "visible" not in file.read_text()
    assert KEY not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
