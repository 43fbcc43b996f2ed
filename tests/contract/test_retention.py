"""How long a database keeps its rows, set through the API."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.contract.target import Target

PATH = "/api/v3/configure/database/retention_period"


@pytest.fixture
def own(target: Target) -> Iterator[Target]:
    """A database of its own: rows of other tests are old."""
    own = replace(target, database=f"retention_{secrets.token_hex(4)}")
    created = own.http("POST", "/api/v3/configure/database", json={"db": own.database})
    assert (created.status_code, created.content) == (200, b"")
    own.write("m v=1 1")
    yield own
    if own.name == "real":
        own.delete_database()


def test_rows_older_than_the_period_are_gone_at_once(own: Target) -> None:
    own.write(f"m v=2 {int(time.time() * 1e6)}")

    answer = own.http("POST", PATH, params={"db": own.database, "duration": "30d"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert own.rows("SELECT v FROM m") == [{"v": 2.0}]


def test_period_can_be_taken_back(own: Target) -> None:
    own.http("POST", PATH, params={"db": own.database, "duration": "30d"})

    assert own.http("DELETE", PATH, params={"db": own.database}).status_code == 204

    assert own.write("m v=3 2").status_code == 204
    assert {"v": 3.0} in own.rows("SELECT v FROM m")


@pytest.mark.parametrize("duration", ["1fortnight", "nonsense"])
def test_period_that_is_none_is_400(target: Target, duration: str) -> None:
    assert target.http("POST", PATH, params={"db": target.database, "duration": duration}).status_code == 400


def test_period_of_an_unknown_database_is_404(target: Target) -> None:
    assert target.http("POST", PATH, params={"db": "nowhere", "duration": "1d"}).status_code == 404


def test_databases_are_listed(target: Target) -> None:
    answer = target.http("GET", "/api/v3/configure/database", params={"format": "json"})

    assert target.database in [row["iox::database"] for row in answer.json()]
