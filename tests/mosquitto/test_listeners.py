"""The listener that the services have to themselves, and what becomes of client ids on that of the devices."""

from pathlib import Path

import pytest

from sensorflow.settings import BridgeSettings, DeviceSettings, OperatorSettings, UpSettings, read
from sensorflow.up import initialize
from sensorflow.up.services import services

pytestmark = pytest.mark.usefixtures("no_settings")


def written(data_dir: Path) -> str:
    return (data_dir / "mosquitto/conf.d/listener.conf").read_text()


def test_without_a_port_of_their_own_the_services_share_the_devices_listener(tmp_path: Path) -> None:
    initialize(read(UpSettings, data_dir=tmp_path))

    assert "listener 1883 127.0.0.1\n" in written(tmp_path)
    assert written(tmp_path).count("listener ") == 1
    assert "use_username_as_clientid" not in written(tmp_path)


def test_services_have_a_listener_on_this_machine_alone_and_devices_are_called_by_their_users(tmp_path: Path) -> None:
    settings = read(
        UpSettings, data_dir=tmp_path, mqtt_host="0.0.0.0", mqtt_services_port=1884, mqtt_shared_device=False
    )

    completed = initialize(settings)

    assert "listener 1883 0.0.0.0\nuse_username_as_clientid true\nlistener 1884 127.0.0.1\n" in written(tmp_path)
    for service in services(completed):
        if service.name in {"bridge", "http_api"}:
            assert service.environment["MQTT_HOST"] == "127.0.0.1"
            assert service.environment["MQTT_PORT"] == "1884"


def test_devices_that_share_a_user_keep_their_own_client_ids(tmp_path: Path) -> None:
    initialize(read(UpSettings, data_dir=tmp_path, mqtt_services_port=1884, mqtt_shared_device=True))

    assert "use_username_as_clientid" not in written(tmp_path)


def test_tools_of_the_operator_go_where_the_services_go_and_a_device_does_not(tmp_path: Path) -> None:
    initialize(read(UpSettings, data_dir=tmp_path, mqtt_port=2883, mqtt_services_port=2884))

    assert read(OperatorSettings, data_dir=tmp_path).mqtt_port == 2884
    assert read(BridgeSettings, data_dir=tmp_path).mqtt_port == 2884
    assert read(DeviceSettings, data_dir=tmp_path).mqtt_port == 2883
