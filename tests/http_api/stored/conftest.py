"""The API with a real store on the other side."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.http_api.processes import Api, StandIn
from tests.store.store_process import TOKEN, StoreProcess


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    process = StoreProcess(tmp_path_factory.mktemp("store")).start()
    yield process
    process.kill()


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory, shared_broker: Broker, shared_bridge: StandIn, store: StoreProcess
) -> Iterator[Api]:
    server = start(tmp_path_factory.mktemp("api_with_store"), shared_broker, store)
    try:
        yield server
    finally:
        assert server.stop() == 0
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


def start(directory: Path, broker: Broker, store: StoreProcess) -> Api:
    """One more."""
    server = Api(directory, broker.port, broker.passwords["http_api"], INFLUX_HOST=store.url, INFLUX_TOKEN=TOKEN)
    server.wait_until(mqtt="connected", bridge="active", influxdb="connected")
    return server
