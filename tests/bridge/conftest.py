from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.processes import Bridge, Client, Store
from tests.broker import Broker, free_port
from tests.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Not yet started."""
    process = Store(tmp_path, free_port())
    yield process
    process.kill()


@pytest.fixture
def bridge(tmp_path: Path, broker: Broker, store: Store) -> Iterator[Bridge]:
    """Not yet started."""
    process = Bridge(tmp_path, broker, store.port)
    yield process
    process.kill()
    log = process.log.read_text() if process.log.exists() else ""
    assert "Traceback" not in log, log


@pytest.fixture
def client(broker: Broker) -> Iterator[Callable[..., Client]]:
    """Connects a user; topics that it subscribes to may follow."""
    clients: list[Client] = []

    def connect(user: str, *topics: str) -> Client:
        clients.append(Client(broker, user, *topics))
        return clients[-1]

    yield connect
    for each in clients:
        each.leave()


@pytest.fixture
def operator(client: Callable[..., Client]) -> Client:
    return client("operator", "status/bridge", "live", "dead_letters/#")


@pytest.fixture
def device(client: Callable[..., Client], bridge: Bridge, operator: Client) -> Client:
    """A device that finds the bridge there."""
    bridge.start()
    until(lambda: operator.last("status/bridge").get("state") == "running")
    return client("device")


@pytest.fixture
def counters(operator: Client) -> Callable[[], dict[str, Any]]:
    """The bridge's, as it last published them."""
    return lambda: operator.last("status/bridge").get("counters", {})
