import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.contract.target import Target, real_target
from tests.store.store_process import TOKEN, StoreProcess


def targets() -> list[str]:
    return ["embedded", "real"] if os.environ.get("INFLUX_CONTRACT_URL") else ["embedded"]


def pytest_report_collectionfinish() -> str:
    url = os.environ.get("INFLUX_CONTRACT_URL")
    real = f"InfluxDB 3 at {url}" if url else "no real InfluxDB 3, INFLUX_CONTRACT_URL is not set"
    return f"InfluxDB 3 contract: the embedded store; {real}"


@pytest.fixture(scope="session", params=targets())
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Each InfluxDB 3 in turn, with a database that exists and has a table."""
    with _embedded(tmp_path_factory) if request.param == "embedded" else _real() as target, closing(target):
        answer = target.write("is_there v=1")  # creates the database
        assert answer.status_code == 204, answer.text
        yield target


@contextmanager
def _embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    process = StoreProcess(tmp_path_factory.mktemp("contract")).start()
    yield Target("embedded", process.url, TOKEN)
    process.stop()


@contextmanager
def _real() -> Iterator[Target]:
    target = real_target(os.environ)
    assert target is not None
    yield target
    delete_database(target, target.database)


@pytest.fixture
def table() -> str:
    """A name that no other test and no earlier run has used."""
    return f"t_{secrets.token_hex(6)}"


def delete_database(target: Target, name: str) -> None:
    """Take a database out of the five that InfluxDB 3 Core allows."""
    path = "/api/v3/configure/database"
    answer = target.http("DELETE", path, params={"db": name, "hard_delete_at": "now"})
    assert answer.is_success, answer.text
