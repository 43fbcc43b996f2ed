from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.broker import Broker, free_port
from tests.http_api.processes import Api, StandIn, store


@pytest.fixture(scope="package")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker") / "mosquitto", free_port())
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="package")
def shared_bridge(shared_broker: Broker) -> Iterator[StandIn]:
    stand_in = StandIn(shared_broker)
    yield stand_in
    stand_in.leave()


@pytest.fixture(scope="package")
def shared_api(
    tmp_path_factory: pytest.TempPathFactory, shared_broker: Broker, shared_bridge: StandIn
) -> Iterator[Api]:
    server = Api(
        tmp_path_factory.mktemp("api"),
        shared_broker.port,
        shared_broker.passwords["http_api"],
        RECEIPT_TIMEOUT_S=0.3,
    )
    try:
        server.wait_until(mqtt="connected", bridge="active")
        yield server
    finally:
        exit_code = server.stop()
    assert exit_code == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


@pytest.fixture
def bridge(shared_bridge: StandIn) -> StandIn:
    shared_bridge.outcome = store
    shared_bridge.received.clear()
    shared_bridge.say("running")  # as it does every few seconds; all tests together take longer
    return shared_bridge


@pytest.fixture
def api(shared_api: Api, bridge: StandIn) -> Api:
    return shared_api


@pytest.fixture
def start_api(tmp_path: Path, broker: Broker) -> Iterator[Callable[..., Api]]:
    """An API of the test's own, on a broker of the test's own."""
    started: list[Api] = []

    def start(**settings: object) -> Api:
        password = broker.passwords["http_api"]
        directory = tmp_path / f"api-{len(started)}"
        started.append(Api(directory, broker.port, password, **{"RECEIPT_TIMEOUT_S": 0.3} | settings))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def start_bridge(broker: Broker) -> Iterator[Callable[[], StandIn]]:
    started: list[StandIn] = []

    def start() -> StandIn:
        started.append(StandIn(broker))
        return started[-1]

    yield start
    for stand_in in started:
        stand_in.leave()
