import os
import queue
import re
import stat
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensorflow.credentials import complete, password_file, write_private
from sensorflow.settings import BoardSettings, DeviceSettings, QuerySettings, UpSettings, kept_file, read
from sensorflow.up import broker as shipped
from tests.broker import Broker

KEY = "0123456789abcdef"


pytestmark = pytest.mark.usefixtures("no_settings")


def test_secrets_are_strong_and_all_different(tmp_path: Path) -> None:
    made = complete(read(UpSettings, data_dir=tmp_path / "data"))

    secrets = {name: value.get_secret_value() for name, value in made if hasattr(value, "get_secret_value")}
    assert len(set(secrets.values())) == len(secrets) == 9
    assert re.fullmatch(r"apiv3_[0-9a-f]{64}", secrets.pop("influx_token"))
    assert all(re.fullmatch(r"[0-9a-f]{32}", secret) for secret in secrets.values())


def test_secrets_are_made_once_and_kept_for_their_owner_alone(tmp_path: Path) -> None:
    first = complete(read(UpSettings, data_dir=tmp_path / "data"))
    second = complete(read(UpSettings, data_dir=tmp_path / "data"))

    assert first == second
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE(kept_file(tmp_path / "data").stat().st_mode) == 0o600


def test_given_secret_wins_and_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_key = complete(read(UpSettings, data_dir=tmp_path)).api_key
    monkeypatch.setenv("API_KEY", KEY)

    given = complete(read(UpSettings, data_dir=tmp_path))

    assert given.api_key.get_secret_value() == KEY
    assert KEY not in kept_file(tmp_path).read_text()
    monkeypatch.delenv("API_KEY")
    assert complete(read(UpSettings, data_dir=tmp_path)).api_key == kept_key


def test_tools_in_another_terminal_find_the_ports_used_last(tmp_path: Path) -> None:
    complete(read(UpSettings, data_dir=tmp_path, http_port=8001, mqtt_port=1884, influx_port=8182))

    assert read(BoardSettings, data_dir=tmp_path).http_port == 8001
    assert read(DeviceSettings, data_dir=tmp_path).mqtt_port == 1884
    assert read(QuerySettings, data_dir=tmp_path).influx_host == "http://127.0.0.1:8182"


def test_listening_to_everybody_must_be_asked_for_each_time(tmp_path: Path) -> None:
    complete(read(UpSettings, data_dir=tmp_path, http_host="0.0.0.0", mqtt_host="::"))

    again = read(UpSettings, data_dir=tmp_path)

    assert (again.http_host, again.mqtt_host) == ("127.0.0.1", "::1")


def test_private_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    write_private(tmp_path / "kept", "old")

    with pytest.raises(UnicodeEncodeError):
        write_private(tmp_path / "kept", "new \udcff")

    assert (tmp_path / "kept").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    ("old", "directory", "new"),
    [
        ((1001, 1002), (1003, 1004), (1001, 1002)),
        (None, (1003, 1004), (1003, 1004)),
        ((0, 0), (1003, 1004), (1003, 1004)),  # as an earlier version left it, so that the others could not read it
        ((0, 0), (0, 0), (0, 0)),
    ],
)
def test_what_root_writes_belongs_to_who_had_it(
    tmp_path: Path, old: tuple[int, int] | None, directory: tuple[int, int], new: tuple[int, int]
) -> None:
    kept = tmp_path / "kept"
    if old:
        kept.touch()
        os.chown(kept, *old)
    os.chown(tmp_path, *directory)

    write_private(kept, "new")

    state = kept.stat()
    assert (state.st_uid, state.st_gid) == new
    assert stat.S_IMODE(state.st_mode) == 0o600


def test_password_file_keeps_foreign_users_and_replaces_ours() -> None:
    before = "device:$7$101$old$old\nsensor_009:$7$101$foreign$foreign\n"

    lines = password_file({"device": KEY}, before).splitlines()

    assert re.fullmatch(r"device:\$7\$101\$[\w+/]{16}\$[\w+/]{86}==", lines[0])
    assert lines[1:] == ["sensor_009:$7$101$foreign$foreign"]


def test_real_broker_accepts_any_password_that_we_wrote(broker: Broker) -> None:
    password = "pass wörd:$7$ = # '\"%s"
    broker.stop()
    shipped.prepare(broker.directory, [shipped.Listener(broker.host, broker.port)], {"device": password})
    broker.start()
    connack: queue.Queue[int] = queue.Queue()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
    client.username_pw_set("device", password)
    client.on_connect = lambda _client, _userdata, _flags, reason, _properties: connack.put(reason.value)
    client.connect(broker.host, broker.port)
    client.loop_start()

    assert connack.get(timeout=5) == 0
    client.disconnect()
    client.loop_stop()
