from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.system import System


@pytest.fixture
def make_system(tmp_path: Path, no_settings: None) -> Iterator[Callable[..., System]]:
    """Makes systems that are not started yet, with settings for all of their services."""
    made: list[System] = []

    def make(**more: object) -> System:
        made.append(System(tmp_path, **more))
        return made[-1]

    yield make
    for each in made:
        each.stop_all()


@pytest.fixture
def system(make_system: Callable[..., System]) -> System:
    """All up."""
    running = make_system()
    running.start()
    running.wait_until()
    return running
