import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from sensorflow.settings import is_setting
from tests.broker import Broker
from tests.broker import free_port as find_free_port

settings.register_profile("ours", deadline=None)  # no test depends on time
settings.load_profile("ours")


@pytest.fixture
def free_port() -> Callable[[], int]:
    return find_free_port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    mosquitto = Broker(tmp_path / "mosquitto", find_free_port())
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing set in the environment, and no .env or data here."""
    for name in filter(is_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
