"""Requests that schemathesis makes of the documentation, against the whole running system: all are answered as told."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.system import ROOT, System

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent


@pytest.fixture
def system(tmp_path: Path, no_settings: None) -> Iterator[System]:
    running = System(
        tmp_path,
        KINDS=ROOT / "examples/kinds/cip.py",
        RATE_LIMIT_FAILURES="off",  # so that a request without a key is answered 401, however many there are
    )
    running.start()
    try:
        running.wait_until()
        yield running
    finally:
        running.stop_all()


@pytest.mark.timeout(240)  # 30 s on a machine that has nothing else to do
def test_schemathesis_finds_nothing(system: System) -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("st"),
            f"--config-file={HERE / 'schemathesis.toml'}",
            "run",
            f"{system.url}/openapi.json",
            "--checks=all",
            "--mode=all",
            "--no-color",
        ],
        cwd=system.directory,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.http_api.schemathesis_hooks",
            "API_KEY": system.key,
        },
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout, done.stdout
    assert [name for name in ("http_api", "bridge") if "Traceback" in system.log(name)] == []
