"""The command on files as they are; what http_api makes of them: tests/http_api/test_keys.py."""

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sensorflow import keys
from sensorflow.keys import Index
from tests.sensorflow.cli.conftest import Run

BOUND = "a duration has at most 9 digits, and nothing ends after the year 9999"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data"


def opens(place: Path, shown: str, after: timedelta = timedelta()) -> bool:
    index = Index(keys.parse((place / keys.FILE).read_bytes()))
    return index.find(shown, (datetime.now(UTC) + after).timestamp()) is not None


def audit(place: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (place / "audit.jsonl").read_text().splitlines()]


def test_add_prints_the_secret_alone_and_keeps_its_digest_for_the_owner(run: Run, place: Path) -> None:
    result = run("keys", "add", "barn", "--scope", "write", "--scope", "read", "--sensor", "barn-1")

    secret = result.stdout.strip()
    assert result.exit_code == 0
    assert opens(place, secret)
    assert result.stderr == "key 'barn' added: write, read for sensors barn-1\n"
    for path in place.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert secret not in path.read_text()


@pytest.mark.parametrize(
    ("expires", "good_for"), [("30d", timedelta(days=30)), (None, timedelta(days=9999)), ("90s", timedelta(seconds=90))]
)
def test_a_key_ends_when_it_was_said(run: Run, place: Path, expires: str | None, good_for: timedelta) -> None:
    secret = run("keys", "add", "a", "--scope", "read", *(["--expires", expires] if expires else [])).stdout.strip()

    assert opens(place, secret, good_for - timedelta(seconds=30))
    assert opens(place, secret, good_for + timedelta(seconds=1)) == (expires is None)


def test_a_key_ends_at_a_time(run: Run, place: Path) -> None:
    run("keys", "add", "a", "--scope", "read", "--expires", "2099-01-31T12:00:00+02:00")

    assert json.loads(run("keys", "list", "--json").stdout)["expires"] == "2099-01-31T10:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("a", "--scope", "read", "--expires", "soon"), "--expires: 'soon' is neither a duration such as 30d nor"),
        (("a", "--scope", "read", "--expires", "9999999d"), f"--expires: '9999999d' ends too late; {BOUND}"),
        (("a", "--scope", "read", "--expires", "99999999999d"), BOUND),
        (("a", "--scope", "read", "--expires", "2020-01-01T00:00:00Z"), "it would have expired already"),
        (("a", "--scope", "fly"), "'fly' is not one of"),
        (("a",), "Missing option '--scope'"),
        (("a/b", "--scope", "read"), "name: String should match pattern"),
        (("a", "--scope", "live", "--sensor", "b"), "live and admin are for all sensors"),
    ],
)
def test_what_cannot_be_added_is_said_and_leaves_nothing(
    run: Run, place: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    result = run("keys", "add", *arguments)

    assert result.exit_code != 0
    assert complaint in result.stderr
    assert not (place / keys.FILE).exists()


def test_rotate_leaves_the_old_secret_for_the_overlap(run: Run, place: Path) -> None:
    old = run("keys", "add", "barn", "--scope", "write").stdout.strip()

    result = run("keys", "rotate", "barn", "--overlap", "2h")

    new = result.stdout.strip()
    assert result.stderr == "key 'barn' has a new secret; the old one ends in 2h\n"
    assert [opens(place, old), opens(place, new)] == [True, True]
    assert [opens(place, each, timedelta(hours=2)) for each in (old, new)] == [False, True]
    assert json.loads(run("keys", "list", "--json").stdout)["state"] == "rotating"


def test_rotate_without_overlap_ends_the_old_secret_now(run: Run, place: Path) -> None:
    old = run("keys", "add", "barn", "--scope", "write").stdout.strip()

    new = run("keys", "rotate", "barn", "--overlap", "0").stdout.strip()

    assert [opens(place, old), opens(place, new)] == [False, True]


@pytest.mark.parametrize(
    ("overlap", "complaint"),
    [
        ("soon", "--overlap: 'soon' is not a duration"),
        ("9999999d", f"--overlap: '9999999d' ends too late; {BOUND}"),
        ("999999999d", f"--overlap: '999999999d' ends too late; {BOUND}"),
        ("99999999999d", BOUND),
    ],
)
def test_an_overlap_that_cannot_be_is_said_and_changes_nothing(
    run: Run, place: Path, overlap: str, complaint: str
) -> None:
    run("keys", "add", "barn", "--scope", "write")
    before = (place / keys.FILE).read_text()

    result = run("keys", "rotate", "barn", "--overlap", overlap)

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert (place / keys.FILE).read_text() == before


def test_revoke_takes_the_key_away(run: Run, place: Path) -> None:
    secret = run("keys", "add", "barn", "--scope", "write").stdout.strip()

    assert run("keys", "revoke", "barn").exit_code == 0
    assert not opens(place, secret)
    again = run("keys", "revoke", "barn")
    assert (again.exit_code, again.stderr) == (1, "sensorflow: no key 'barn'; there are: none so far\n")


def test_list_shows_each_key_and_when_it_was_last_used(run: Run, place: Path) -> None:
    secret = run("keys", "add", "barn", "--scope", "write", "--sensor", "barn-1").stdout.strip()
    run("keys", "add", "screen", "--scope", "read", "--scope", "live")
    used = {keys.secret_id(secret): "2026-11-23T12:00:00Z", "API_KEY": "2026-11-23T13:00:00Z"}
    (place / keys.USED_FILE).write_text(json.dumps(used))

    lines = [line.split() for line in run("keys", "list").stdout.splitlines()]

    assert lines == [
        ["name", "state", "scopes", "sensors", "expires", "last", "used"],
        ["barn", "active", "write", "barn-1", "-", "2026-11-23T12:00:00Z"],
        ["screen", "active", "read,", "live", "all", "-", "-"],
        ["API_KEY", "setting", "-", "-", "-", "2026-11-23T13:00:00Z"],
    ]


def test_a_broken_file_is_named_and_not_touched(run: Run, place: Path) -> None:
    place.mkdir()
    (place / keys.FILE).write_text("{")

    for command in (("list",), ("add", "a", "--scope", "read"), ("rotate", "a"), ("revoke", "a")):
        result = run("keys", *command)
        assert result.exit_code == 1
        assert f"{place / keys.FILE}: Invalid JSON" in result.stderr
    assert (place / keys.FILE).read_text() == "{"


def test_keys_dir_may_be_elsewhere(run: Run, settings: object, tmp_path: Path) -> None:
    assert callable(settings)
    settings(keys_dir=tmp_path / "elsewhere")

    secret = run("keys", "add", "a", "--scope", "read").stdout.strip()

    assert opens(tmp_path / "elsewhere", secret)


def test_each_change_is_in_the_audit_log(run: Run, place: Path) -> None:
    run("keys", "add", "barn", "--scope", "write", "--sensor", "barn-1")
    run("keys", "rotate", "barn")
    run("keys", "revoke", "barn")

    assert [(each["event"], each["key"]) for each in audit(place)] == [
        ("key added", "barn"),
        ("key rotated", "barn"),
        ("key revoked", "barn"),
    ]
    assert {"time", "scopes", "sensors", "secret_ids", "by"} <= audit(place)[0].keys()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_changes_stays_with_the_user_of_the_directory(run: Run, place: Path) -> None:
    place.mkdir()
    os.chown(place, 1001, 1002)

    run("keys", "add", "barn", "--scope", "write")
    run("keys", "revoke", "barn")

    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in place.iterdir()}
    assert owners == dict.fromkeys((keys.FILE, ".keys.lock", "audit.jsonl"), (1001, 1002))


def test_commands_that_run_at_once_lose_nothing(run: Run, place: Path) -> None:
    command = [sys.executable, "-m", "sensorflow.cli", "keys", "add", "--scope", "read"]
    processes = [subprocess.Popen([*command, f"key-{number}"], stdout=subprocess.DEVNULL) for number in range(6)]

    assert [process.wait(60) for process in processes] == [0] * 6
    assert len(keys.parse((place / keys.FILE).read_bytes()).keys) == 6
