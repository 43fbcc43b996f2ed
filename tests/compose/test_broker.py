"""The broker of compose.yaml, run outside: its command, what `init` makes for it, its health check, TLS."""

import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compose.outside import Outside, without_settings
from tests.compose.stack import ROOT
from tests.waiting import until

READING = '{"temperature": 19.5, "humidity": 48, "pressure": 1009}'
STRANGER = "Not authorized"
START_S = 5


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Outside], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def run(outside: Outside) -> subprocess.Popen[str]:
        with (tmp_path / "mosquitto.log").open("w") as log:
            process = subprocess.Popen(
                outside.command("mosquitto"),
                cwd=outside.broker_directory,
                env=without_settings(),
                stderr=log,
                text=True,
            )
        started.append(process)
        until(lambda: is_open(outside.ports[1883]) or process.poll() is not None, START_S)
        assert process.poll() is None, (tmp_path / "mosquitto.log").read_text()
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def check(command: list[str]) -> int:
    return subprocess.run(command, env=without_settings(), timeout=10, check=False).returncode


def publish(port: int, user: str, password: str, *more: str) -> str:
    """What the broker says of a reading of ``user``; nothing when it took it."""
    done = subprocess.run(
        [
            *shlex.split(f"mosquitto_pub -h 127.0.0.1 -p {port} -V 5 -q 1 -u {user}"),
            *("-P", password, "-t", f"sensors/{user}/temperature_reading", "-m", READING, *more),
        ],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return done.stderr


def commands(section: str) -> list[str]:
    """The blocks of commands in a section of the handbook."""
    handbook = (ROOT / "docs/compose.md").read_text()
    text = handbook.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_services_enter_by_the_passwords_in_their_volumes_and_strangers_do_not(
    tmp_path: Path, start: Callable[[Outside], object]
) -> None:
    outside = Outside(tmp_path)
    outside.initialize()
    start(outside)

    said = {
        user: publish(outside.ports[1883], user, outside.secret(owner, "mqtt_password"), "-t", "status/bridge")
        for user, owner in {"bridge": "bridge", "http_api": "http_api", "operator": "tools"}.items()
    }
    stranger = publish(outside.ports[1883], "bridge", "not the bridge's password")
    written = (outside.broker_directory / "conf.d/listener.conf").read_text()

    assert f"listener {outside.ports[1883]} 127.0.0.1\nuse_username_as_clientid true\nlistener" in written
    assert not any("Connection error" in each for each in said.values()), said
    assert STRANGER in stranger
    assert "Error" not in (tmp_path / "mosquitto.log").read_text()


def test_health_check_is_content_with_a_broker_that_answers_and_with_no_other(
    tmp_path: Path, start: Callable[[Outside], subprocess.Popen[str]]
) -> None:
    outside = Outside(tmp_path)
    outside.initialize()
    running = start(outside)

    while_up = check(outside.health_check("mosquitto"))
    running.send_signal(signal.SIGTERM)
    running.wait(10)
    when_ended = check(outside.health_check("mosquitto"))

    assert while_up == 0
    assert when_ended != 0


def test_device_is_added_by_the_handbooks_commands_and_stays(
    tmp_path: Path, start: Callable[[Outside], subprocess.Popen[str]]
) -> None:
    outside = Outside(tmp_path)
    outside.initialize()
    running = start(outside)
    add, reload = commands("Devices")[0].splitlines()
    password = "sensor_007 enters by this"

    subprocess.run(
        add.removeprefix("docker compose exec mosquitto ").split(),
        cwd=outside.broker_directory,
        input=f"{password}\n{password}\n",
        text=True,
        check=True,
        capture_output=True,
    )
    name, pid = reload.removeprefix("docker compose exec -T mosquitto kill -").split()
    assert pid == "1"
    running.send_signal(getattr(signal, f"SIG{name}"))

    until(lambda: not publish(outside.ports[1883], "sensor_007", password), START_S)
    outside.initialize()
    assert "sensor_007:" in (outside.broker_directory / "passwords").read_text()


def test_tls_by_the_handbooks_certificate_is_trusted_by_name_and_by_address(
    tmp_path: Path, start: Callable[[Outside], object]
) -> None:
    script = next(block for block in commands("TLS") if "openssl" in block)
    script = script.replace("IP:192.168.1.10", "IP:127.0.0.1")
    script = script.replace("sudo install -D -o 10001 -g 10001", "install -D")
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    outside = Outside(tmp_path, stack="tls")
    outside.initialize()
    shipped = (ROOT / "deploy/mosquitto-tls.conf").read_text()
    ours = shipped.replace("/run/tls/", f"{tmp_path}/tls/").replace("listener 8883", f"listener {outside.ports[8883]}")
    (outside.broker_directory / "conf.d/tls.conf").write_text(ours)
    start(outside)

    trusted = publish(outside.ports[8883], "operator", "a wrong password", "--cafile", str(tmp_path / "ca/ca.pem"))
    untrusted = publish(outside.ports[8883], "operator", "a wrong password", "--capath", str(tmp_path))

    assert STRANGER in trusted  # the certificate was good enough to be told so
    assert "TLS error" in untrusted
