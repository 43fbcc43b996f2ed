"""Who used which key, and what was refused: in few lines, and never more of them than there is room for."""

import json
import logging
import shutil
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


@pytest.fixture
def quiet_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log as with LOG_LEVEL=WARNING, which is the level of the logger and of no handler."""
    caplog.set_level(logging.WARNING)
    caplog.handler.setLevel(logging.NOTSET)
    return caplog


def test_where_nothing_can_be_written_the_log_has_it_at_any_level(
    tmp_path: Path, quiet_log: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()

    audit.start(tmp_path / "file")
    Audit().used("192.0.2.1", GRANT, "r-1")

    assert "the audit log is written here" in quiet_log.text
    assert '"address":"192.0.2.1"' in quiet_log.text


def test_what_can_no_longer_be_written_is_in_the_log(tmp_path: Path, quiet_log: pytest.LogCaptureFixture) -> None:
    audit.start(tmp_path / "data")
    trail = Audit()
    trail.used("192.0.2.1", GRANT, "r-1")

    shutil.rmtree(tmp_path / "data")
    trail.used("192.0.2.2", GRANT, "r-2")
    trail.used("192.0.2.3", GRANT, "r-3")

    assert quiet_log.text.count("cannot write") == 1
    assert [number for number in "123" if f'"address":"192.0.2.{number}"' in quiet_log.text] == ["2", "3"]


def test_when_another_process_has_rotated_the_file_lines_go_to_the_new_one(
    tmp_path: Path, log: Callable[[], list[dict[str, Any]]]
) -> None:
    trail = Audit()
    trail.used("192.0.2.1", GRANT, "r-1")

    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.jsonl.1")
    trail.used("192.0.2.2", GRANT, "r-2")
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.jsonl.2")
    (tmp_path / "audit.jsonl").touch()
    trail.used("192.0.2.3", GRANT, "r-3")

    assert [each["address"] for each in log()] == ["192.0.2.3"]
    assert '"192.0.2.2"' in (tmp_path / "audit.jsonl.2").read_text()
    assert '"192.0.2.2"' not in (tmp_path / "audit.jsonl.1").read_text()


@pytest.fixture(autouse=True)
def _as_it_was() -> Any:
    yield
    for handler in list(audit._log.handlers):
        audit._log.removeHandler(handler)
        handler.close()
    audit._log.propagate = True
    audit._log.setLevel(logging.NOTSET)


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
