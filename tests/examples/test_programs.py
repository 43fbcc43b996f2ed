"""The programs for computers, run as a person runs them."""

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.system import System
from tests.examples.outage import times_s
from tests.examples.sketch import EXAMPLES
from tests.waiting import until

pytestmark = pytest.mark.e2e


def run(system: System, *command: object) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "SENSORFLOW_URL": system.url,
        "API_KEY": system.key,
        "API_KEY_WS": system.settings.api_key_ws.get_secret_value(),
        "MQTT_PORT": str(system.settings.mqtt_port),
        "MQTT_PASSWORD": system.settings.mqtt_device_password.get_secret_value(),
    }
    done = subprocess.run(
        [str(each) for each in command], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_python_over_http(system: System) -> None:
    output = run(system, sys.executable, EXAMPLES / "python" / "send_http.py")

    assert output.startswith("201 ")
    until(lambda: len(times_s(system, "python_http")) % 5 == 0 and times_s(system, "python_http"))


def test_python_over_http_waits_for_a_server_that_is_away(system: System) -> None:
    before = len(times_s(system, "python_http"))
    system.kill("http_api")
    with ThreadPoolExecutor(1) as person:
        output = person.submit(run, system, sys.executable, EXAMPLES / "python" / "send_http.py")
        started_s = time.monotonic()
        until(lambda: time.monotonic() - started_s > 3)  # it has measured by then, and met nobody

        system.start("http_api")

        assert output.result().startswith("201 ")
    until(lambda: len(times_s(system, "python_http")) == before + 5)


def test_python_over_mqtt(system: System) -> None:
    output = run(system, sys.executable, EXAMPLES / "python" / "send_mqtt.py")

    assert output.count("the broker has it") == 5
    until(lambda: len(times_s(system, "python_mqtt")) == 5)


def test_curl(system: System) -> None:
    if not shutil.which("curl"):
        pytest.skip("no curl here")

    output = run(system, "sh", EXAMPLES / "curl" / "send.sh")

    assert re.match(r"201 \d{16}\n", output)
    assert '"temperature":21.6' in output.splitlines()[-1]
    until(lambda: len(times_s(system, "curl")) == 2 and system.count("telemetry") == 1)


def test_every_program_is_in_the_readme_of_the_examples() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    suffixes = {".ino", ".py", ".sh", ".js", ".html"}

    programs = [path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*") if path.suffix in suffixes]

    assert [str(path) for path in programs if str(path) not in readme] == []
    assert [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if not (EXAMPLES / link).exists()] == []
