"""``sensorflow up``: what it claims and how it keeps a child running."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from sensorflow.credentials import complete
from sensorflow.settings import UpSettings, read
from sensorflow.up import claims
from sensorflow.up.child import Child
from sensorflow.up.services import Service, services
from tests.waiting import until_async

TIMEOUT_S = 10
pytestmark = pytest.mark.usefixtures("no_settings")


def settings_on(free_port: Callable[[], int], **flags: object) -> UpSettings:
    ports = {"http_port": free_port(), "mqtt_port": free_port(), "influx_port": free_port()}
    return read(UpSettings, **(ports | flags))


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("http_port", "(HTTP_PORT, --http-port)"),
        ("mqtt_port", "(MQTT_PORT, --mqtt-port)"),
        ("influx_port", "(INFLUX_PORT, --influx-port)"),
        ("mqtt_services_port", "(MQTT_SERVICES_PORT)"),
    ],
)
def test_busy_port_is_named_with_its_setting_and_flag(free_port: Callable[[], int], name: str, origin: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(claims.ClaimError) as error:
            claims.check_ports(settings_on(free_port, **{name: port}))

    assert str(error.value) == f"port {port} {origin} is taken by another program"


def test_port_given_twice_is_named(free_port: Callable[[], int]) -> None:
    port = free_port()

    with pytest.raises(claims.ClaimError) as error:
        claims.check_ports(settings_on(free_port, http_port=port, mqtt_port=port))

    assert str(error.value) == f"port {port} (MQTT_PORT, --mqtt-port) is HTTP_PORT's as well"


def test_foreign_address_is_named_with_its_setting(free_port: Callable[[], int]) -> None:
    with pytest.raises(claims.ClaimError, match=r"HTTP_HOST '192\.0\.2\.1' is no address of this machine"):
        claims.check_ports(settings_on(free_port, http_host="192.0.2.1"))


def test_port_whose_last_connections_linger_is_free(free_port: Callable[[], int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first lingers
        client.close()
        port = server.getsockname()[1]

    claims.check_ports(settings_on(free_port, http_port=port))


def test_data_directory_is_for_one_supervisor(tmp_path: Path) -> None:
    with claims.data_directory(tmp_path), pytest.raises(claims.ClaimError, match="another `sensorflow up` is running"):
        claims.data_directory(tmp_path).__enter__()

    with claims.data_directory(tmp_path):
        pass


def test_next_start_waits_for_what_a_killed_supervisor_left(tmp_path: Path) -> None:
    with claims.data_directory(tmp_path) as lock:
        leftover = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(0.3)"], pass_fds=(lock,), stdout=subprocess.DEVNULL
        )

    with claims.data_directory(tmp_path):
        assert leftover.poll() is not None or leftover.wait(1) == 0


def test_leftover_that_does_not_end_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_LEFTOVER_TIMEOUT_S", 0.1)
    with claims.data_directory(tmp_path) as lock:
        leftover = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(lock,))

    with pytest.raises(claims.ClaimError, match=r"have not ended; `lsof .*children\.lock` shows them"):
        claims.data_directory(tmp_path).__enter__()
    leftover.kill()
    leftover.wait()


def test_service_is_told_its_own_password_whatever_else_is_set(
    free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("0123456789abcdef")
    monkeypatch.setenv("MQTT_PASSWORD_FILE", str(tmp_path / "password"))
    settings = complete(settings_on(free_port))

    bridge = next(service for service in services(settings) if service.name == "bridge")

    assert bridge.environment["MQTT_PASSWORD"] == settings.mqtt_password_bridge.get_secret_value()
    assert "MQTT_PASSWORD_FILE" not in bridge.environment


def python(code: str, **environment: str) -> Service:
    return Service("child", [sys.executable, "-c", code], dict(os.environ) | environment)


@asynccontextmanager
async def running(service: Service, tmp_path: Path) -> AsyncIterator[Child]:
    with (tmp_path / "lock").open("w") as lock:
        child = Child(service, lock.fileno())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child.run())
            try:
                yield child
            finally:
                await child.end(TIMEOUT_S)


async def test_child_that_ends_is_said_and_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    starts = tmp_path / "starts"
    code = "import os, sys; open(os.environ['STARTS'], 'a').write('x'); sys.exit(3)"

    async with running(python(code, STARTS=str(starts)), tmp_path):
        await until_async(lambda: starts.exists() and len(starts.read_text()) == 2, TIMEOUT_S)

    first = caplog.records[0]
    assert first.levelno == logging.WARNING
    assert first.getMessage().startswith("child ended with exit code 3; starting it again in 0.")


async def test_child_that_was_killed_is_said_by_its_signal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), tmp_path):
        await until_async(lambda: caplog.records, TIMEOUT_S)

    assert "child ended with signal SIGKILL" in caplog.text


async def test_child_that_ignores_sigterm_is_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ready = tmp_path / "ready"
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "open(os.environ['READY'], 'w').close(); time.sleep(60)"
    )

    async with running(python(code, READY=str(ready)), tmp_path) as child:
        await until_async(ready.exists, TIMEOUT_S)
        began = time.monotonic()
        await child.end(0.2)

    assert time.monotonic() - began < 5
    assert "child did not end within 0.2 s of SIGTERM; killed" in caplog.text


async def test_end_interrupts_the_wait_for_the_next_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(python("raise SystemExit(1)"), tmp_path) as child:
        await until_async(lambda: caplog.records, TIMEOUT_S)
        began = time.monotonic()
        await child.end(TIMEOUT_S)

    assert time.monotonic() - began < 0.2


async def test_child_has_a_process_group_of_its_own(tmp_path: Path) -> None:
    group = tmp_path / "group"
    code = "import os, time; open(os.environ['GROUP'], 'w').write(str(os.getpgrp())); time.sleep(60)"

    async with running(python(code, GROUP=str(group)), tmp_path):
        await until_async(lambda: group.exists() and group.read_text(), TIMEOUT_S)

    assert int(group.read_text()) != os.getpgrp()


async def test_child_holds_the_data_directory_for_as_long_as_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_LEFTOVER_TIMEOUT_S", 0.1)
    with claims.data_directory(tmp_path) as lock:
        child = Child(python("import time; time.sleep(60)"), lock)
        running = asyncio.create_task(child.run())
        await until_async(lambda: child._process, TIMEOUT_S)

    with pytest.raises(claims.ClaimError, match="have not ended"):
        claims.data_directory(tmp_path).__enter__()
    await child.end(TIMEOUT_S)
    await running
    with claims.data_directory(tmp_path):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_children_of_a_killed_supervisor_end(tmp_path: Path) -> None:
    code = """
import asyncio, os, sys
from sensorflow.up.child import Child
from sensorflow.up.services import Service, services
from tests.waiting import until_async
sleeper = Service("child", [sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ))
asyncio.run(Child(sleeper, 2).run())
"""
    with subprocess.Popen([sys.executable, "-c", code]) as supervisor:
        children: list[psutil.Process] = []
        deadline = time.monotonic() + TIMEOUT_S
        while not children and time.monotonic() < deadline:
            children = psutil.Process(supervisor.pid).children()
            time.sleep(0.01)
        supervisor.send_signal(signal.SIGKILL)

    _, alive = psutil.wait_procs(children, timeout=TIMEOUT_S)
    assert children
    assert alive == []
