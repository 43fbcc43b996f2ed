"""Named keys against the running API; the file is written as `sensorflow keys` writes it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from http_api.keys import Keyring
from sensorflow import keys
from sensorflow.credentials import write_private
from sensorflow.keys import Keys
from tests.http_api.processes import KEY, Api, StandIn
from tests.http_api.requests import READING, assert_problem
from tests.waiting import until

OTHER = READING | {"sensor_id": "another"}


class Ring:
    """The keys file of an API."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.place = api.log.parent / "data"
        self.place.mkdir(exist_ok=True)
        self.keys = Keys()
        self.write()

    def add(self, name: str, *scopes: str, sensors: tuple[str, ...] = (), expires_s: float | None = None) -> str:
        expires = None if expires_s is None else datetime.now(UTC) + timedelta(seconds=expires_s)
        self.keys, told = self.keys.add(name, scopes, sensors=sensors, expires=expires, now=datetime.now(UTC))
        self.write()
        return told

    def rotate(self, name: str, overlap_s: float) -> str:
        self.keys, told = self.keys.rotate(name, timedelta(seconds=overlap_s), now=datetime.now(UTC))
        self.write()
        return told

    def revoke(self, name: str) -> None:
        self.keys = self.keys.revoke(name)
        self.write()

    def write(self) -> None:
        write_private(self.place / keys.FILE, keys.dump(self.keys))


@pytest.fixture
def ring(api: Api) -> Ring:
    return Ring(api)


def post(api: Api, key: str, reading: dict[str, object] = READING) -> httpx.Response:
    return api.post("temperature_reading", reading, {"X-API-Key": key})


def latest(api: Api, key: str, sensor_id: str = "sensor_001") -> httpx.Response:
    return api.client.get(f"/api/v1/sensor/{sensor_id}/latest", headers={"X-API-Key": key})


def wait_for(status: int, ask: Callable[[], httpx.Response], timeout_s: float = 5) -> httpx.Response:
    def wanted() -> httpx.Response | None:
        answer = ask()
        return answer if answer.status_code == status else None

    answer: httpx.Response = until(wanted, timeout_s)
    return answer


def listen(api: Api, key: str) -> ClientConnection:
    return connect(f"{api.ws_url}?api-key={key}")


def test_a_key_that_was_just_added_is_good_in_either_header(api: Api, ring: Ring) -> None:
    key = ring.add("barn", "write")

    wait_for(201, lambda: post(api, key))

    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {key}", "Content-Type": "application/json"}
        url = f"{api.url}/api/v1/temperature_reading"
        assert httpx.post(url, content=json.dumps(READING), headers=headers).status_code == 201


def test_a_revoked_key_is_refused_within_a_second(api: Api, ring: Ring) -> None:
    key = ring.add("barn", "write")
    wait_for(201, lambda: post(api, key))

    ring.revoke("barn")
    revoked_s = time.monotonic()
    refusal = wait_for(401, lambda: post(api, key))

    assert time.monotonic() - revoked_s < 1
    assert_problem(refusal, 401)


def test_an_expired_key_is_refused(api: Api, ring: Ring) -> None:
    key = ring.add("guest", "write", expires_s=1.5)

    wait_for(201, lambda: post(api, key))

    wait_for(401, lambda: post(api, key))


def test_during_a_rotation_both_secrets_are_good_and_then_the_new_one(api: Api, ring: Ring) -> None:
    old = ring.add("barn", "write")
    wait_for(201, lambda: post(api, old))

    new = ring.rotate("barn", overlap_s=2)

    wait_for(201, lambda: post(api, new), 1)
    assert post(api, old).status_code == 201
    wait_for(401, lambda: post(api, old))
    assert post(api, new).status_code == 201


def test_a_key_with_sensors_writes_for_no_other(api: Api, bridge: StandIn, ring: Ring) -> None:
    key = ring.add("barn", "write", sensors=("sensor_001", "sensor_002"))
    wait_for(201, lambda: post(api, key))
    bridge.received.clear()

    refusal = post(api, key, OTHER)

    assert_problem(refusal, 403, "sensor 'another'")
    assert bridge.received == []
    assert post(api, key, READING | {"sensor_id": "sensor_002"}).status_code == 201


def test_a_key_with_sensors_reads_of_no_other(api: Api, ring: Ring) -> None:
    post(api, KEY)
    post(api, KEY, OTHER)
    key = ring.add("screen", "read", sensors=("sensor_001",))

    wait_for(200, lambda: latest(api, key))

    assert_problem(latest(api, key, "another"), 403, "the key 'screen' is not for the sensor 'another'")


@pytest.mark.parametrize("path", ["sensors", "history", "stats"])
def test_a_key_with_sensors_reads_nothing_that_tells_of_all(api: Api, ring: Ring, path: str) -> None:
    limited, not_limited = ring.add("screen", "read", sensors=("sensor_001",)), ring.add("wall", "read")

    def get(key: str) -> httpx.Response:
        return api.client.get(f"/api/v1/{path}", headers={"X-API-Key": key})

    until(lambda: get(not_limited).status_code not in {401, 403})

    assert_problem(get(limited), 403, "the key 'screen' is for some sensors alone, and this tells of all")


def test_a_good_key_without_the_scope_is_403_and_a_strange_one_401(api: Api, ring: Ring) -> None:
    reads, writes, does_all = ring.add("screen", "read"), ring.add("barn", "write"), ring.add("root", "admin")
    wait_for(201, lambda: post(api, does_all))

    assert_problem(post(api, reads), 403, "the key 'screen' lacks the scope write; it has read")
    assert_problem(latest(api, writes), 403, "the key 'barn' lacks the scope read; it has write")
    assert latest(api, reads).status_code == latest(api, does_all).status_code == 200
    for strange in (reads[:-1], reads + "x", f"sf_{'0' * 12}_{'x' * 43}", "sf_", "sf__"):
        assert_problem(post(api, strange), 401)


def test_a_broken_file_leaves_the_last_good_keys_and_is_one_line_in_the_log(api: Api, ring: Ring) -> None:
    key = ring.add("barn", "write")
    wait_for(201, lambda: post(api, key))
    before = api.log.read_text()

    write_private(ring.place / keys.FILE, "{")
    until(lambda: api.log.read_text() != before)
    assert post(api, key).status_code == 201
    again = ring.add("barn-2", "write")
    wait_for(201, lambda: post(api, again))

    complaint = api.log.read_text().removeprefix(before)
    assert complaint.count("\n") == 1
    assert f"the keys stay as they were: data/{keys.FILE}: Invalid JSON" in complaint


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path, SecretStr("boards"), SecretStr("browsers"))


def test_file_that_becomes_readable_is_read(keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_, told = Keys().add("barn", ["write"], now=datetime.now(UTC))
    write_private(tmp_path / keys.FILE, keys.dump(all_))
    with monkeypatch.context() as refused:  # root, too, may run this test, and root may read everything
        refused.setattr(Path, "read_bytes", Mock(side_effect=PermissionError(13, "Permission denied")))
        keyring.look()
    assert keyring.find(told) is None

    (tmp_path / keys.FILE).chmod(0o640)
    keyring.look()

    assert keyring.find(told) is not None


def test_without_the_file_the_settings_keys_are_all_there_is(api: Api, ring: Ring) -> None:
    key = ring.add("barn", "write")
    wait_for(201, lambda: post(api, key))

    (ring.place / keys.FILE).unlink()

    wait_for(401, lambda: post(api, key))
    assert post(api, KEY).status_code == 201


def test_the_websocket_opens_to_keys_with_the_scope_live(api: Api, bridge: StandIn, ring: Ring) -> None:
    live, writes = ring.add("screen", "live"), ring.add("barn", "write")
    wait_for(201, lambda: post(api, writes))

    with listen(api, live) as by_query, connect(api.ws_url, additional_headers={"X-API-Key": live}) as by_header:
        bridge.announce(("vat", "v", 1_755_354_645_123_456, {"level": 1.0, "is_open": True}))
        assert by_query.recv(timeout=5)
        assert by_header.recv(timeout=5)
    with pytest.raises(InvalidStatus) as refused, listen(api, writes):
        pass

    assert refused.value.response.status_code == 403
    assert b"lacks the scope live" in (refused.value.response.body or b"")


def test_the_connections_of_a_revoked_key_are_closed(api: Api, ring: Ring) -> None:
    key, other = ring.add("screen", "live"), ring.add("wall", "live")
    until(lambda: can_listen(api, key))

    with listen(api, key) as client, listen(api, other) as stays:
        ring.revoke("screen")

        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
        with pytest.raises(TimeoutError):
            stays.recv(timeout=0.1)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the key is not good any more")


def test_connections_are_counted_for_each_key(start_api: Callable[..., Api]) -> None:
    api = start_api(MAX_WS_CONNECTIONS_PER_KEY=1)
    api.wait_until(mqtt="connected")
    ring = Ring(api)
    screens = [ring.add(f"screen-{number}", "live") for number in range(5)]
    until(lambda: can_listen(api, screens[-1]))

    with ExitStack() as stack:
        for key in screens[:3]:
            stack.enter_context(listen(api, key))
        until(lambda: can_listen(api, screens[3]))
        stack.enter_context(listen(api, screens[3]))

        assert refusal(api, screens[0]) == "1 connections with this key, at most 1"
        assert refusal(api, screens[4]) == "4 connections with all keys, at most 4"


def can_listen(api: Api, key: str) -> bool:
    try:
        with listen(api, key):
            return True
    except InvalidStatus:
        return False


def refusal(api: Api, key: str) -> str:
    with pytest.raises(InvalidStatus) as refused, listen(api, key):
        pass
    assert refused.value.response.status_code == 429
    detail: str = json.loads(refused.value.response.body or b"")["detail"]
    return detail


def test_when_a_key_was_used_is_kept_and_listed(start_api: Callable[..., Api]) -> None:
    api = start_api()
    api.wait_until(mqtt="connected")
    place = api.log.parent / "data"
    key = command(place, "add", "screen", "--scope", "read").strip()
    started = datetime.now(UTC).replace(microsecond=0)
    until(lambda: latest(api, key).status_code != 401)

    until((place / keys.USED_FILE).exists)
    listed = json.loads(command(place, "list", "--json").splitlines()[0])

    assert started <= datetime.fromisoformat(listed["last_used"]) <= datetime.now(UTC)
    assert (place / keys.USED_FILE).stat().st_mode & 0o077 == 0


def command(place: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", "sensorflow.cli", "keys", *arguments, "--data-dir", place],
        cwd=place.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_no_secret_is_ever_written_anywhere(start_bridge: Callable[[], StandIn], start_api: Callable[..., Api]) -> None:
    start_bridge()
    api = start_api(LOG_LEVEL="DEBUG", LOG_FORMAT="json", API_KEY_WS="browsers-enter-by-this-one")
    api.wait_until(bridge="active")
    ring = Ring(api)
    key, live = ring.add("barn", "write"), ring.add("screen", "live")
    wrong = f"{key[:-8]}WRONGKEY"
    wait_for(201, lambda: post(api, key))

    for shown in (wrong, live, "mistyped-secret-of-somebody"):
        post(api, shown)
        api.client.get(f"/ws/sensor_updates?api-key={shown}")
        api.client.get(f"/nowhere?api-key={shown}")
        assert not can_listen(api, shown) or shown == live
    api.stop()

    for file in (api.log, *ring.place.iterdir()):
        text = file.read_text()
        for secret in (key, live, wrong, "browsers-enter", KEY, "mistyped-secret"):
            assert secret not in text, file
            assert secret.rpartition("_")[2] not in text, file
