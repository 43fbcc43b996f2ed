"""``sensorflow init --containers``: what it writes, and that a real Mosquitto takes it."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sensorflow.cli import app
from sensorflow.settings import kept_file, read_env_file
from sensorflow.up.containers import SECRETS

KEY = "k7f3q9z1m5x8w2v4"


@pytest.fixture(autouse=True)
def _environment(no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MQTT_SHARED_DEVICE", "false")
    monkeypatch.setenv("COLUMNS", "200")


def init(directory: Path) -> Result:
    return CliRunner().invoke(app, ["init", "--containers", str(directory)])


def files(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def users(tmp_path: Path) -> list[str]:
    return [line.partition(":")[0] for line in (tmp_path / "data/mosquitto/passwords").read_text().splitlines()]


def test_each_service_gets_its_own_secrets_and_no_more(tmp_path: Path) -> None:
    done = init(tmp_path / "secrets")

    kept = read_env_file(kept_file(tmp_path / "data"))
    found = files(tmp_path / "secrets")
    assert done.exit_code == 0, done.output
    assert found.keys() == {f"{service}/{name}" for service, names in SECRETS.items() for name in names}
    assert found["http_api/api_key"] == kept["API_KEY"]
    assert found["bridge/mqtt_password"] == kept["MQTT_PASSWORD_BRIDGE"]
    assert found["grafana/admin_password"] == kept["GRAFANA_PASSWORD"]
    assert json.loads(found["influxdb/admin_token.json"]) == {"token": kept["INFLUX_TOKEN"], "name": "_admin"}


def test_secrets_are_readable_by_owner_and_group_alone(tmp_path: Path) -> None:
    init(tmp_path / "secrets")

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").rglob("*") if path.is_file()}
    assert modes == {0o440}


def test_second_start_changes_no_secret(tmp_path: Path) -> None:
    init(tmp_path / "secrets")
    before = files(tmp_path / "secrets")

    again = init(tmp_path / "secrets")

    assert again.exit_code == 0
    assert files(tmp_path / "secrets") == before


def test_given_secret_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", KEY)

    init(tmp_path / "secrets")

    assert (tmp_path / "secrets/http_api/api_key").read_text() == KEY


def test_placeholder_is_refused_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_PASSWORD", "change-me-please-now")

    done = init(tmp_path / "secrets")

    assert done.exit_code == 1
    assert "GRAFANA_PASSWORD: looks like a placeholder" in done.output
    assert not (tmp_path / "secrets").exists()


@pytest.mark.parametrize("token", ["k7f3q9z1m5x8w2v4", "apiv3_k7f3q9$HOME"])
def test_token_that_influxdb_or_grafana_cannot_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("INFLUX_TOKEN", token)

    done = init(tmp_path / "secrets")

    assert done.exit_code == 1
    assert "INFLUX_TOKEN: must be apiv3_ and then letters" in done.output
    assert token not in done.output


def test_all_addresses_and_keys_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PORT", "8123")
    monkeypatch.setenv("GRAFANA_HOST", "0.0.0.0")

    output = init(tmp_path / "secrets").output

    kept = read_env_file(kept_file(tmp_path / "data"))
    assert "http://127.0.0.1:8123/api/v1/health" in output
    assert "http://127.0.0.1:3000" in output
    assert all(kept[name] in output for name in ("API_KEY", "API_KEY_WS", "GRAFANA_PASSWORD", "INFLUX_TOKEN"))
    assert kept["MQTT_DEVICE_PASSWORD"] not in output


def test_shared_device_is_a_setting_that_can_be_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_SHARED_DEVICE", "true")
    output = init(tmp_path / "secrets").output
    with_it = users(tmp_path)

    monkeypatch.setenv("MQTT_SHARED_DEVICE", "false")
    init(tmp_path / "secrets")

    assert read_env_file(kept_file(tmp_path / "data"))["MQTT_DEVICE_PASSWORD"] in output
    assert sorted(with_it) == ["bridge", "device", "http_api", "operator"]
    assert sorted(users(tmp_path)) == ["bridge", "http_api", "operator"]


def test_broker_listens_to_all_of_its_network_whatever_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_HOST", "127.0.0.1")
    monkeypatch.setenv("MQTT_PORT", "11883")

    output = init(tmp_path / "secrets").output

    listeners = (tmp_path / "data/mosquitto/conf.d/listener.conf").read_text()
    assert "listener 1883\nuse_username_as_clientid true\nlistener 1884\n" in listeners
    assert "127.0.0.1:11883" in output
