import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.contract.target import Target, real_target
from tests.store.store_process import TOKEN, StoreProcess

REAL = real_target(os.environ)


def pytest_report_collectionfinish() -> str:
    real = f"InfluxDB 3 at {REAL.url}" if REAL else "no real InfluxDB 3, INFLUX_CONTRACT_URL is not set"
    return f"contract of InfluxDB 3: the embedded store; {real}"


@pytest.fixture(scope="session", params=["embedded", "real"] if REAL else ["embedded"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Each InfluxDB 3 in turn, with a database that exists and has a table."""
    with _embedded(tmp_path_factory) if request.param == "embedded" else _real() as target:
        answer = target.write("is_there v=1")  # creates the database
        assert answer.status_code == 204, answer.text
        yield target


@contextmanager
def _embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    process = StoreProcess(tmp_path_factory.mktemp("contract")).start()
    with closing(Target("embedded", process.url, TOKEN)) as target:
        yield target
    process.stop()


@contextmanager
def _real() -> Iterator[Target]:
    assert REAL is not None
    with closing(REAL):
        try:
            yield REAL
        finally:
            REAL.delete_database()


@pytest.fixture
def table() -> str:
    """A name that no other test and no earlier run has used."""
    return f"t_{secrets.token_hex(6)}"
