"""What every service of the compose files must be: pinned, unprivileged, limited, healthy, in order."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from sensorflow.cli.health import Service
from tests.compose.stack import ONE_SHOT, ROOT, STACKS, load, mounts

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
OWN_IMAGE = {"init", "bridge", "http_api", "tools", "simulator"}


def mebibytes(size: str) -> int:
    """``512m``, ``768mb``, ``2g``."""
    number, unit = re.fullmatch(r"(\d+)([mg])b?", size).groups()  # type: ignore[union-attr] # a mismatch is a failure
    return int(number) * {"m": 1, "g": 1024}[unit]


def option(service: dict[str, Any], name: str) -> str:
    return next(str(each).partition("=")[2] for each in service["command"] if each.startswith(f"--{name}="))


def test_files_and_what_they_become_are_of_the_compose_specification(stack_name: str, tmp_path: Path) -> None:
    merged = tmp_path / "merged.yaml"
    merged.write_text(yaml.safe_dump(load(stack_name)))

    done = subprocess.run(
        [
            Path(sys.executable).with_name("check-jsonschema"),
            "--builtin-schema=vendor.compose-spec",
            merged,
            *(ROOT / file for file in STACKS[stack_name]),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_images_are_pinned_to_a_patch_version(services: dict[str, Any]) -> None:
    loose = {name for name, each in services.items() if not re.search(r":\d+\.\d+\.\d+(-[a-z]+)?$", each["image"])}

    assert not loose
    assert {services[name]["image"] for name in OWN_IMAGE} == {f"sensorflow:{VERSION}"}


def test_no_service_may_do_more_than_it_must(services: dict[str, Any]) -> None:
    for name, each in services.items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert each.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else []), name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert re.fullmatch(r"[1-9]\d+:\d+", each["user"]), name
        assert not {"privileged", "pid", "ipc", "devices"} & each.keys(), name
        assert each.get("network_mode", "none") == "none", name
        assert not any("docker.sock" in str(volume) for volume in each["volumes"]), name


def test_memory_processes_and_logs_are_limited(services: dict[str, Any]) -> None:
    for name, each in services.items():
        assert 64 <= mebibytes(each["mem_limit"]) <= 2048, name
        assert 10 <= each["pids_limit"] <= 500, name
        assert each["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}, name


def test_what_runs_on_is_restarted_and_what_is_done_is_not(services: dict[str, Any]) -> None:
    policies = {name: each["restart"] for name, each in services.items()}

    assert policies == {name: "no" if name in ONE_SHOT else "unless-stopped" for name in services}


def test_whatever_runs_on_is_asked_for_its_health(services: dict[str, Any]) -> None:
    asked = {name: each["healthcheck"] for name, each in services.items() if each["healthcheck"] != {"disable": True}}

    assert asked.keys() == services.keys() - ONE_SHOT
    for name, check in asked.items():
        assert check["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert {"interval", "timeout", "retries", "start_period", "start_interval"} <= check.keys(), name
    ours = {name: check["test"][1:] for name, check in asked.items() if name in OWN_IMAGE}
    assert all(command[:2] == ["sensorflow", "health"] and Service(command[2]) for command in ours.values())


def test_secrets_come_first_then_the_broker_then_our_services(services: dict[str, Any]) -> None:
    def waits_for(name: str, condition: str) -> set[str]:
        return {other for other, how in services[name].get("depends_on", {}).items() if how["condition"] == condition}

    for name in services.keys() - {"init", "simulator", "caddy"}:
        assert waits_for(name, "service_completed_successfully") == {"init"}, name
    assert waits_for("bridge", "service_healthy") == {"mosquitto"}
    assert waits_for("http_api", "service_healthy") == {"mosquitto"}
    assert waits_for("grafana", "service_healthy") == {"influxdb"}
    assert waits_for("simulator", "service_healthy") == {"http_api"}


def test_readings_are_taken_whether_or_not_the_store_is_healthy(plain: dict[str, Any]) -> None:
    assert plain["bridge"]["depends_on"]["influxdb"] == {"condition": "service_started"}
    assert plain["http_api"]["depends_on"]["bridge"] == {"condition": "service_started"}


def test_the_brokers_longest_queue_fits_its_memory(plain: dict[str, Any]) -> None:
    queued = int(
        re.findall(r"^max_queued_bytes (\d+)", (ROOT / "mosquitto/mosquitto.conf").read_text(), re.MULTILINE)[0]
    )

    # Measured with 2.1.2: a million messages of 500 bytes are 1004 MB, twice their payload.
    assert mebibytes(plain["mosquitto"]["mem_limit"]) * 2**20 > 2 * queued * 1.25


def test_influxdbs_buffers_fit_its_memory(plain: dict[str, Any]) -> None:
    influxdb = plain["influxdb"]
    sizes = [option(influxdb, name) for name in ("exec-mem-pool-size", "file-cache-size", "force-snapshot-mem-size")]

    assert sum(map(mebibytes, sizes)) <= 0.75 * mebibytes(influxdb["mem_limit"])


def test_influxdb_keeps_its_word(plain: dict[str, Any]) -> None:
    influxdb = plain["influxdb"]

    assert tuple(map(int, re.findall(r"\d+", influxdb["image"])[:3])) >= (3, 11, 2)
    assert influxdb["environment"] == {"INFLUXDB3_TELEMETRY_DISABLE_UPLOAD": "true"}
    assert option(influxdb, "object-store") == "file"
    assert option(influxdb, "disable-authz") == "health,ping"
    assert int(option(influxdb, "query-file-limit")) > 432
    assert mounts(influxdb)["/var/lib/influxdb3"][0] == "influxdb"
    assert option(influxdb, "data-dir").startswith("/var/lib/influxdb3/")


def test_watched_code_is_the_code_that_is_mounted() -> None:
    services = load("dev")["services"]

    for name in ("bridge", "http_api"):
        watched = {each["path"] for each in services[name]["develop"]["watch"]}
        mounted = {source for target, (source, _) in mounts(services[name]).items() if target.startswith("/src/")}
        assert all((ROOT / path).exists() for path in watched), name
        assert {f"./{name}", "./sensorflow"} <= watched & mounted, name
