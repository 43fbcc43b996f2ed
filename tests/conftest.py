from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.broker import free_port as find_free_port


@pytest.fixture
def free_port() -> Callable[[], int]:
    return find_free_port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    mosquitto = Broker(tmp_path / "mosquitto", find_free_port())
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()
