"""The browser's module, run by Node."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.system import System
from tests.examples.sketch import EXAMPLES
from tests.examples.test_programs import run

pytestmark = pytest.mark.e2e


def node() -> list[str]:
    """How to run it here, with the WebSocket that it has since 20.10 by a flag, and since 22 without."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no node here: the browser's module is not run")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = map(int, version.removeprefix("v").split(".")[:2])
    if (major, minor) < (20, 10):
        pytest.skip(f"node {version.strip()} has no WebSocket: the browser's module is not run")
    flags = ["--experimental-websocket"] if major < 22 else []
    return [program, "--no-warnings", "--experimental-default-type=module", *flags]


def test_a_page_sends_reads_and_watches(system: System) -> None:
    output = json.loads(run(system, *node(), Path(__file__).parent / "browser.mjs"))

    assert output["seen"]["temperature"] == 21.5
    assert output["newest"]["sensor_id"] == "browser"
    assert output["refused"] == "humidity: Input should be less than or equal to 100, got 160"


def test_the_page_uses_what_the_module_has() -> None:
    page = (EXAMPLES / "browser" / "index.html").read_text()

    assert 'import { send, watch } from "./sensorflow.js";' in page
