import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sensorflow.settings import is_setting
from tests.e2e.system import System


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """All up, for all examples; each has a sensor of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(is_setting, list(os.environ)):
            patch.delenv(name)
        patch.chdir(tmp_path_factory.mktemp("nothing_set"))
        running = System(tmp_path_factory.mktemp("system"))
    running.start()
    try:
        running.wait_until()
        yield running
    finally:
        running.stop_all()


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program that goes on until the end of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str | Path) -> subprocess.Popen[bytes]:
        with (tmp_path / "output").open("ab") as output:
            started.append(subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
    print((tmp_path / "output").read_text() if started else "")  # noqa: T201 - pytest shows it where a test failed
