"""The bridge in this process, between a session that is played and a store: what it says of itself beside its work."""

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from bridge import reporter as reporter_module
from bridge import service as service_module
from bridge import shipper as shipper_module
from bridge.service import STATUS_FILE_NAME, Bridge
from bridge.spool import Spool
from sensorflow.errors import PermanentError, SensorFlowError, TransientError
from sensorflow.influx import Influx, Ping
from sensorflow.kinds import load_kinds
from sensorflow.mqtt import Delivery, Event
from sensorflow.reading import TimeWindow
from tests.bridge.deliveries import CLIMATE, delivery
from tests.bridge.processes import TOKEN, Store
from tests.waiting import until, until_async


class Session:
    """Delivers what a test wants; keeps what is acknowledged."""

    def __init__(self) -> None:
        self.is_connected = True
        self.broker_hangs = False
        self.delivered = self.acknowledged = 0
        self._arrived: asyncio.Queue[list[Event]] = asyncio.Queue()

    def deliver(self, *payloads: bytes) -> None:
        self.delivered += len(payloads)
        self._arrived.put_nowait([delivery(payload, packet_id=self.delivered) for payload in payloads])

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def events(self) -> list[Event]:
        return await self._arrived.get()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += len(deliveries)

    async def publish(self, topic: str, payload: bytes, **options: object) -> None:
        if self.broker_hangs:
            await asyncio.Event().wait()


class StandIn:
    """A store in memory that treats statistics and declarations as it is told."""

    def __init__(self) -> None:
        self.readings: list[bytes] = []
        self.statistics = 0
        self.error: SensorFlowError | None = None
        self.answers = threading.Event()
        self.answers.set()

    def write(self, lines: bytes) -> None:
        if lines.startswith(b"pipeline_stats"):
            self.statistics += 1
            self._fail()
        else:
            self.readings += lines.split(b"\n")

    def declare(self, *_: object) -> None:
        self._fail()

    def ping(self) -> Ping:
        return Ping("1", "only")

    def _fail(self) -> None:
        self.answers.wait(5)
        if self.error:
            raise self.error


class Cut:
    """A real store that can be out of reach."""

    def __init__(self, influx: Influx) -> None:
        self._influx = influx
        self.is_cut = False
        self.failed = 0

    def write(self, lines: bytes) -> None:
        if self.is_cut:
            self.failed += 1
            raise TransientError("store unreachable")
        self._influx.write(lines)

    def declare(self, *arguments: Any) -> None:
        self._influx.declare(*arguments)

    def ping(self) -> Ping:
        return self._influx.ping()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter_module, "INTERVAL_S", 0.05)
    monkeypatch.setattr(shipper_module, "LINGER_S", 0.001)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def influx(store: Store) -> Iterator[Influx]:
    store.start()
    client = Influx(f"http://127.0.0.1:{store.port}", TOKEN, "sensorflow")
    until(lambda: store.rows("SELECT 1 AS n"))
    yield client
    client.close()


@asynccontextmanager
async def running(session: Session, influx: Any, directory: Path) -> AsyncIterator[None]:
    spool = Spool(directory / "spool", max_bytes=2**30)
    bridge = Bridge(
        cast("Any", session),
        spool,
        influx,
        load_kinds(),
        TimeWindow(),
        replay_window_s=60,
        status_file=directory / STATUS_FILE_NAME,
    )
    stopping = asyncio.Event()
    task = asyncio.create_task(bridge.run(stopping))
    try:
        yield
        assert not task.done()
    finally:
        stopping.set()
        await task
        spool.close()


async def test_last_word_is_in_the_file_though_the_broker_hangs(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "FLUSH_TIMEOUT_S", 0.2)
    session.broker_hangs = True
    async with running(session, StandIn(), tmp_path):
        for _ in range(2):  # the first is what the announcer waits with, the second what is left for the end
            session.deliver(CLIMATE)
            await until_async(lambda: session.acknowledged == session.delivered)

    assert json.loads((tmp_path / STATUS_FILE_NAME).read_bytes())["state"] == "stopped"


@pytest.mark.parametrize("error", [None, TransientError("away"), PermanentError("store answered 400")], ids=str)
@pytest.mark.parametrize("hangs", [True, False], ids=["hanging", "answering"])
async def test_store_that_does_not_take_statistics_gets_the_readings_as_ever(
    session: Session, tmp_path: Path, error: SensorFlowError | None, *, hangs: bool
) -> None:
    store = StandIn()
    store.error = error
    if hangs:
        store.answers.clear()
    async with running(session, store, tmp_path):
        await until_async(lambda: store.statistics)

        for _ in range(10):
            session.deliver(CLIMATE)
            await until_async(lambda: len(store.readings) == session.acknowledged == session.delivered)
        store.answers.set()


async def test_every_row_adds_up_and_a_restart_carries_the_totals_on(
    session: Session, store: Store, influx: Influx, tmp_path: Path
) -> None:
    def rows() -> list[dict[str, Any]]:
        return store.rows("SELECT * FROM pipeline_stats ORDER BY time")

    async with running(session, influx, tmp_path):
        for _ in range(5):
            session.deliver(CLIMATE, CLIMATE, b"{")
            await until_async(lambda: rows() and rows()[-1]["accepted"] == session.delivered, 20)
        await until_async(lambda: rows()[-1]["stored"] == 10, 20)
    before = rows()
    async with running(session, influx, tmp_path):
        await until_async(lambda: len(rows()) > len(before), 20)
        session.deliver(CLIMATE)
        await until_async(lambda: rows()[-1]["stored"] == 11, 20)

    for row in rows():
        assert row["accepted"] == row["stored"] + row["spooled"] + row["dead_letters"]
        assert ("commit_ms_p50" in row) == (row["commits"] > 0)
    first_after = rows()[len(before)]
    assert (first_after["accepted"], first_after["dead_letters"]) == (15, 5)
    assert sum(row["commits"] for row in rows()) == 6
    assert max(row.get("commit_ms_max", 0) for row in rows()) > 0
    assert max(row.get("store_ms_max", 0) for row in rows()) > 0
    assert {row["service"] for row in rows()} == {"bridge"}


async def test_rows_of_an_outage_are_in_the_store_after_it_each_with_its_time(
    session: Session, store: Store, influx: Influx, tmp_path: Path
) -> None:
    cut = Cut(influx)
    cut.is_cut = True
    async with running(session, cut, tmp_path):
        await until_async(lambda: cut.failed >= 5)
        assert store.count("pipeline_stats") == 0

        cut.is_cut = False

        await until_async(lambda: store.count("pipeline_stats") > cut.failed, 20)
    rows = store.rows("SELECT time, uptime_s FROM pipeline_stats ORDER BY time")
    assert len({row["time"] for row in rows}) == len(rows)
    assert rows == sorted(rows, key=lambda row: row["uptime_s"])


TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY table_name"
DECLARED = [{"table_name": table} for table in ("pipeline_stats", "sensor_readings", "telemetry")]


async def test_dashboards_find_every_table_before_the_first_reading(
    session: Session, store: Store, influx: Influx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "INTERVAL_S", 600)
    async with running(session, influx, tmp_path):
        await until_async(lambda: store.rows(TABLES) == DECLARED, 20)

    assert store.rows("SELECT time, sensor_id, temperature, humidity, pressure, client_ip FROM sensor_readings") == []
    assert store.rows("SELECT time, service, accepted, commit_ms_p99 FROM pipeline_stats WHERE service = 'x'") == []


async def test_empty_store_in_the_place_of_the_last_gets_the_tables_too(
    session: Session, store: Store, influx: Influx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "INTERVAL_S", 600)
    monkeypatch.setattr(shipper_module, "PING_INTERVAL_S", 0.02)
    async with running(session, influx, tmp_path):
        await until_async(lambda: store.rows(TABLES) == DECLARED, 20)
        store.kill()
        shutil.rmtree(tmp_path / "store")
        store.start()

        await until_async(lambda: store.rows(TABLES) == DECLARED, 20)
