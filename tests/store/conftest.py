from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.store_process import StoreProcess


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """One store for all tests that only write and read: each uses tables of its own."""
    process = StoreProcess(tmp_path_factory.mktemp("store")).start()
    yield process
    process.stop()


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[StoreProcess]:
    """A store to stop, kill and restart."""
    process = StoreProcess(tmp_path).start()
    yield process
    process.stop()
