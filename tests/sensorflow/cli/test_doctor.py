"""``sensorflow doctor``: silent about a system that is well, and for each fault its finding."""

import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bridge import spool as bridge_spool
from sensorflow.cli import app
from sensorflow.cli.checkup import spool, web
from sensorflow.settings import is_setting
from sensorflow.up import broker as mosquitto
from tests.broker import Broker
from tests.e2e.system import System
from tests.waiting import until

STRANGE = "q1w8e3r7t2y6u4i9"
OLD_BROKER = mosquitto.known_faults()  # of the one that is installed here; a note, not a fault


def doctor(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--data-dir", str(directory), *arguments])


def findings(directory: Path) -> dict[str, str]:
    """What was found, with the advice, by part; but for the age of the broker that the tests have."""
    found: dict[str, str] = {}
    said = json.loads(doctor(directory, "--json").stdout)["findings"]
    for each in (one for one in said if one["what"] != OLD_BROKER):
        found[each["part"]] = found.get(each["part"], "") + f"{each['what']} -> {each['advice']}\n"
    return found


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """All up, and used by all of these tests; none of them may change it."""
    for name in filter(is_setting, list(os.environ)):
        del os.environ[name]
    system = System(tmp_path_factory.mktemp("system"))
    system.start()
    try:
        system.wait_until()
        assert system.post("telemetry", {"sensor_id": "s", "a": 1}).status_code == 201
        until(lambda: system.count("telemetry"))  # so the bridge has found the store
        yield system
    finally:
        system.stop_all()


@pytest.fixture
def place(system: System, no_settings: None) -> Path:
    return system.settings.data_dir


def copy_of_spool(place: Path, directory: Path) -> Path:
    """Its spool alone, in a data directory of its own, to be spoilt."""
    (directory / "spool").mkdir(parents=True)
    with (
        closing(sqlite3.connect(place / "spool/spool.db")) as source,
        closing(sqlite3.connect(directory / "spool/spool.db")) as target,
    ):
        source.backup(target)
    return directory / "spool/spool.db"


# --- well ------------------------------------------------------------------------------------------------------------


@pytest.mark.e2e
def test_system_that_is_well_has_no_findings(place: Path) -> None:
    result = doctor(place)

    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.stdout
    assert "http_api: all well" in lines[-1]
    assert [line for line in lines[:-1] if not line.startswith("note: broker: mosquitto 2.")] == []
    assert len(lines) == 1 + bool(OLD_BROKER)


@pytest.mark.e2e
def test_json_says_the_same(place: Path) -> None:
    said = json.loads(doctor(place, "--json").stdout)

    assert said["is_well"]
    assert [each["what"] for each in said["findings"]] == [OLD_BROKER] * bool(OLD_BROKER)
    assert "broker" in said["looked_at"]


@pytest.mark.e2e
def test_tools_container_has_other_names_for_the_same_places(
    system: System, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("api_key", "influx_token", "mqtt_password_operator"):
        (tmp_path / name).write_text(getattr(system.settings, name).get_secret_value())
    spool_volume = tmp_path / "spool_volume"
    spool_volume.mkdir()
    (spool_volume / "spool").symlink_to(place / "spool")
    (spool_volume / "bridge-status.json").symlink_to(place / "bridge-status.json")
    for name, value in {
        "DATA_DIR": spool_volume,
        "HTTP_HOST": "localhost",
        "HTTP_PORT": system.settings.http_port,
        "API_KEY_FILE": tmp_path / "api_key",
        "MQTT_HOST": "localhost",
        "MQTT_PORT": system.settings.mqtt_port,
        "MQTT_PASSWORD_FILE": tmp_path / "mqtt_password_operator",
        "INFLUX_HOST": f"http://localhost:{system.settings.influx_port}",
        "INFLUX_TOKEN_FILE": tmp_path / "influx_token",
        "INFLUX_DATABASE": "",
        "KINDS": "",
    }.items():
        monkeypatch.setenv(name, str(value))

    result = CliRunner().invoke(app, ["doctor"])

    assert (result.exit_code, "all well" in result.stdout) == (0, True), result.stdout


# --- what is set wrongly ---------------------------------------------------------------------------------------------


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("setting", "value", "part", "what"),
    [
        ("MQTT_PASSWORD", STRANGE, "broker", "does not let user 'operator' in: "),
        ("INFLUX_TOKEN", STRANGE, "store", "does not take INFLUX_TOKEN"),
        ("API_KEY", STRANGE, "http_api", "does not take API_KEY"),
        ("INFLUX_DATABASE", "elsewhere", "store", "answers no query to database 'elsewhere'"),
        ("MQTT_HOST", "nowhere.invalid", "broker", "nobody answers at nowhere.invalid:"),
        ("HTTP_PORT", "9", "http_api", "http://127.0.0.1:9: "),
        ("INFLUX_HOST", "http://127.0.0.1:9", "store", "http://127.0.0.1:9: "),
    ],
)
def test_each_wrong_setting_is_one_finding(
    place: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, part: str, what: str
) -> None:
    monkeypatch.setenv(setting, value)

    found = findings(place)

    assert list(found) == [part]
    assert what in found[part]


@pytest.mark.e2e
def test_setting_that_cannot_be_read_is_a_finding_and_the_rest_goes_on(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "short")
    monkeypatch.setenv("MQTT_PASSWORD", STRANGE)

    found = findings(place)

    assert "API_KEY: 5 characters, at least 16" in found["settings"]
    assert "does not let user" in found["broker"]


def test_kind_that_cannot_be_used_is_a_finding(
    tmp_path: Path, no_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINDS", "nowhere.py")

    assert "no file 'nowhere.py' -> put KINDS right" in findings(tmp_path)["settings"]


def test_keys_that_others_may_read_are_a_finding(tmp_path: Path, no_settings: None) -> None:
    kept = tmp_path / "sensorflow.env"
    kept.write_text("")
    kept.chmod(0o644)

    assert f"others may read the keys in {kept} -> chmod 600 {kept}" in findings(tmp_path)["settings"]


# --- what is away ----------------------------------------------------------------------------------------------------


@pytest.mark.e2e
def test_each_service_that_is_away_is_a_finding(tmp_path: Path, no_settings: None) -> None:
    system = System(tmp_path)
    place = system.settings.data_dir
    before = findings(place)
    system.start()
    try:
        system.wait_until()
        system.kill("store")
        until(lambda: "it has no store" in findings(place).get("bridge", ""))
        without_store = findings(place)
        system.kill("bridge")
        system.wait_until(bridge="inactive")
        without_bridge = findings(place)
        system.kill("mosquitto")
        system.wait_until(mqtt="disconnected")
        without_broker = findings(place)
    finally:
        system.stop_all()

    assert "the bridge has not started yet -> start it" in before["bridge"]
    assert "there is none at" in before["spool"]
    assert set(without_store) == {"bridge", "store"}
    assert "refused" in without_store["store"]
    # Killed a moment ago, its last word is not old yet; but the broker knows, and so does http_api.
    assert "store" in without_bridge
    assert "nobody answers at" in without_broker["broker"]
    assert "it takes no readings: " in without_broker["http_api"]
    assert "mqtt disconnected" in without_broker["http_api"]


# --- the broker ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ask_broker(broker: Broker, no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], str]:
    """Start the broker anew with what was put into its directory, and ask what is found."""

    def ask() -> str:
        broker.stop()
        broker.start()
        monkeypatch.setenv("MQTT_PORT", str(broker.port))
        monkeypatch.setenv("MQTT_PASSWORD", broker.passwords["operator"])
        return findings(tmp_path).get("broker", "")

    return ask


def test_shipped_broker_has_no_findings(ask_broker: Callable[[], str]) -> None:
    assert ask_broker() == ""


def test_old_broker_is_a_note_that_says_what_is_wrong_with_it(
    broker: Broker, ask_broker: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensorflow.broker_limits.known_faults", lambda version: f"known of {version.strip()}")

    assert "known of mosquitto version " in ask_broker()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("max_packet_size 20000", "it takes packets of 20,000 bytes, at least 135,168 -> set max_packet_size"),
        ("max_inflight_messages 20", "it takes 20 messages at once from one client"),
        ("max_qos 0", "it takes QoS 0 at most, at least 1 -> set its maximum QoS"),
        ("retain_available false", "it keeps no retained messages"),
        ("allow_anonymous true", "lets in anybody, without a password"),
    ],
)
def test_each_limit_that_the_broker_tells_is_judged(
    broker: Broker, ask_broker: Callable[[], str], line: str, what: str
) -> None:
    listeners = broker.directory / "conf.d/listener.conf"  # max_qos is for the listener above it
    listeners.write_text(re.sub("^listener .*$", rf"\g<0>\n{line}", listeners.read_text(), count=1, flags=re.MULTILINE))

    assert what in ask_broker()


def test_access_rules_that_let_the_operator_write_anywhere_are_found(
    broker: Broker, ask_broker: Callable[[], str]
) -> None:
    (broker.directory / "acl").write_text("user operator\ntopic readwrite #\n")

    found = ask_broker()

    assert "must not write to receipts/doctor" in found
    assert "put our acl file in place" in found


def test_access_rules_that_hide_the_bridge_are_found(
    system: System, place: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_HOST", "127.0.0.1")
    monkeypatch.setenv("MQTT_PORT", str(broker.port))
    monkeypatch.setenv("MQTT_PASSWORD", broker.passwords["operator"])

    assert "hears nothing of the bridge" in findings(place)["broker"]


# --- the spool -------------------------------------------------------------------------------------------------------


def test_doctor_and_bridge_speak_of_the_same_spool() -> None:
    assert (bridge_spool.FILE_NAME, len(bridge_spool.STEPS)) == (spool.FILE_NAME, spool.VERSION)
    assert spool.STOPS_AT_BYTES == bridge_spool.RESERVE_BYTES


def test_spool_of_a_later_release_is_a_finding(place: Path, tmp_path: Path) -> None:
    file = copy_of_spool(place, tmp_path / "copy")
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 99")

    assert "version 99, of a later release" in findings(tmp_path / "copy")["spool"]


def test_damaged_spool_is_a_finding(place: Path, tmp_path: Path) -> None:
    file = copy_of_spool(place, tmp_path / "copy")
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    file.write_bytes(content)

    assert "spool.db is damaged: " in findings(tmp_path / "copy")["spool"]


def test_file_that_is_no_spool_is_a_finding(tmp_path: Path, no_settings: None) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool/spool.db").write_bytes(b"not a database, whatever it is called" * 100)

    assert "damaged: file is not a database" in findings(tmp_path)["spool"]


@pytest.mark.parametrize(
    ("created_s_ago", "shipped_us", "part", "what"),
    [
        (120, None, "spool", "1 readings wait for the store, the oldest for 12"),
        (-60, 1, "clock", "behind the newest reading's: it was set back"),
    ],
)
def test_age_of_the_readings_is_judged(
    place: Path, tmp_path: Path, created_s_ago: float, shipped_us: int | None, part: str, what: str
) -> None:
    file = copy_of_spool(place, tmp_path / "copy")
    with closing(sqlite3.connect(file)) as db:
        row = (time.time_ns() // 1000 - int(created_s_ago * 1e6), shipped_us)
        db.execute("INSERT INTO batch (id, readings, created_us, shipped_us, lines) VALUES (999, 1, ?, ?, x'')", row)
        db.commit()

    assert what in findings(tmp_path / "copy").get(part, "")


def test_dead_letters_are_a_note(place: Path, tmp_path: Path) -> None:
    file = copy_of_spool(place, tmp_path / "copy")
    with closing(sqlite3.connect(file)) as db:
        db.execute(
            "INSERT INTO dead_letter (time_us, reason, detail, topic, payload) VALUES (1, 'bad_json', '', 't', x'')"
        )
        db.commit()

    said = doctor(tmp_path / "copy").stdout

    assert "note: spool: 1 readings were rejected -> sensorflow dead-letters list says why" in said


def test_little_room_on_the_disk_is_a_finding(
    tmp_path: Path, no_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "STOPS_AT_BYTES", 2**60)

    assert "the bridge accepts nothing more -> delete something" in findings(tmp_path)["disk"]


# --- clocks ----------------------------------------------------------------------------------------------------------


def test_clock_that_was_never_set_is_a_finding() -> None:
    (found,) = web.examine_clock(86_400)

    assert "this machine's says 1970-01-02" in found.what


@pytest.mark.e2e
def test_clock_of_a_server_that_differs_is_a_finding(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(web.time, "time", lambda: real() - 100)  # type: ignore[attr-defined] # the module's own clock

    found = findings(place)["clock"]

    # HTTP's dates are whole seconds, and the answer takes its time.
    assert re.search(r"that of http_api is (99|10[0-4]) s ahead of this machine's", found)


def test_nothing_there_at_all_is_told_part_by_part(tmp_path: Path, no_settings: None) -> None:
    result: Any = doctor(tmp_path / "nowhere")

    assert result.exit_code == 1
    assert "disk: no directory" in result.stdout
    assert "settings: INFLUX_TOKEN: missing" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("to put right")
