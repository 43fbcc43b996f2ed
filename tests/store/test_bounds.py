"""What happens when a bound is reached: a clear refusal, and everything is given back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from store import writer as writer_module
from store.bodies import Budget
from store.config import StoreConfig
from store.database import Databases
from store.errors import BusyError
from store.line_protocol import parse
from store.routes import Api, http_app
from store.writer import Outcome, Writer

PARSED = parse("m v=1 1", precision="us", now_us=0)


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    databases = Databases(StoreConfig(data_dir=tmp_path, token="t"))
    databases.open_all()
    yield databases
    databases.close()


async def test_write_beyond_the_budget_is_503_with_retry_after(databases: Databases) -> None:
    budget = Budget(limit=10)
    app = http_app(Api(databases.config, databases, Writer(databases), budget))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://store") as client:
        answer = await client.post(
            "/api/v3/write_lp?db=x", content=b"m v=1 12345", headers={"Authorization": "Token t"}
        )

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json() == {"error": "0 bytes of writes are under way, at most 10"}
    assert budget.used == 0


async def test_write_beyond_the_queue_is_refused_and_the_others_are_one_commit(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_PENDING_WRITES", 3)
    writer = Writer(databases)
    waiting = [asyncio.create_task(writer.write("sensorflow", PARSED, is_partial_ok=True)) for _ in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(BusyError, match="3 writes wait already"):
        await writer.write("sensorflow", PARSED, is_partial_ok=True)

    running = asyncio.create_task(writer.run())
    assert await asyncio.gather(*waiting) == [Outcome([])] * 3
    running.cancel()


async def test_failed_commit_fails_its_writes_and_leaves_the_next_ones_alone(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(databases)
    running = asyncio.create_task(writer.run())
    with monkeypatch.context() as patch:
        patch.setattr("store.tables._merge_sql", lambda *_: "SELECT nonsense")
        await writer.write("sensorflow", PARSED, is_partial_ok=True)
        with pytest.raises(Exception, match="the store could not write; its log has the reason"):
            await writer.write("sensorflow", PARSED, is_partial_ok=True)

    assert await writer.write("sensorflow", PARSED, is_partial_ok=True) == Outcome([])
    running.cancel()
