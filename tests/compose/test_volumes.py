"""What the containers of the compose files share: secrets, data, and files of this checkout."""

import re
from typing import Any

from sensorflow.settings import SECRETS
from sensorflow.up.containers import SECRETS as SECRET_FILES
from tests.compose.stack import ROOT, fixed, mounts


def test_secrets_are_read_from_files_that_init_writes_for_that_service_alone(services: dict[str, Any]) -> None:
    for name, each in services.items():
        if name == "init":
            continue
        written = SECRET_FILES.get("tools" if name == "simulator" else name, {})
        read = re.findall(
            r"/run/sensorflow/(\S+)", " ".join([*fixed(each).values(), *map(str, each.get("command", []))])
        )
        assert not SECRETS & each.get("environment", {}).keys(), name
        assert set(read) <= written.keys(), name
        if written:
            owner = "tools" if name == "simulator" else name
            assert mounts(each)["/run/sensorflow"] == (f"{owner}_secrets", {"ro", "nocopy"}), name


def test_init_has_a_volume_for_the_secrets_of_each_service(plain: dict[str, Any]) -> None:
    volumes = {target: source for target, (source, _) in mounts(plain["init"]).items()}

    assert volumes == {
        "/data": "settings",
        "/data/mosquitto": "broker",
        **{f"/secrets/{service}": f"{service}_secrets" for service in SECRET_FILES},
    }


def test_no_other_image_decides_whose_the_volumes_of_init_are(services: dict[str, Any]) -> None:
    of_init = {source for source, _ in mounts(services["init"]).values()}

    for name, each in services.items():
        for source, options in mounts(each).values():
            assert name == "init" or source not in of_init or "nocopy" in options, (name, source)


def test_every_volume_is_declared_and_used(stack: dict[str, Any]) -> None:
    used = {source for each in stack["services"].values() for source, _ in mounts(each).values()}

    assert {source for source in used if not source.startswith(".")} == stack["volumes"].keys()


def test_what_is_mounted_from_here_is_here_and_cannot_be_written(services: dict[str, Any]) -> None:
    for name, each in services.items():
        for source, options in mounts(each).values():
            if source.startswith("."):
                assert (ROOT / source).exists() or source == "./tls", (name, source)
                assert "ro" in options, (name, source)


def test_the_broker_reads_the_configuration_of_all_others(plain: dict[str, Any]) -> None:
    configuration = plain["mosquitto"]["command"][-1]

    assert mounts(plain["mosquitto"])[configuration] == ("./mosquitto/mosquitto.conf", {"ro"})
    assert mounts(plain["mosquitto"])[plain["mosquitto"]["working_dir"]][0] == "broker"
