import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from pydantic import Field

from bridge import declarations as declarations_module
from bridge.declarations import Declaration, Declarer, declarations
from sensorflow.errors import PermanentError, TransientError
from sensorflow.kinds import Kind, Telemetry, Text, load_kinds
from tests.waiting import until_async

TABLES = ["sensor_readings", "telemetry", "pipeline_stats"]
READINGS = {"temperature": "float64", "humidity": "float64", "pressure": "float64", "client_ip": "utf8"}


class Vat(Kind):
    level: float | None
    is_open: bool
    batch: Text
    phase: Literal["rinse", "acid"]
    anything: float | bool


class StandIn:
    """A store that fails as it is told."""

    def __init__(self) -> None:
        self.declared: list[str] = []
        self.asked = 0
        self.errors: list[Exception] = []

    def declare(self, table: str, tags: Sequence[str], fields: Mapping[str, str]) -> None:
        assert tags
        assert fields
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        self.declared.append(table)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declarations_module, "backoff_s", lambda _, **__: 0.001)


@asynccontextmanager
async def declaring(store: Any) -> AsyncIterator[Declarer]:
    declarer = Declarer(store, declarations(load_kinds()))
    task = asyncio.create_task(declarer.run())
    try:
        yield declarer
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_declared_are_the_tables_of_all_kinds_and_the_bridges_own() -> None:
    readings, _, own = declarations(load_kinds())

    assert readings == Declaration("sensor_readings", ("sensor_id",), READINGS)
    assert (own.table, own.tags, set(own.fields.values())) == ("pipeline_stats", ("service",), {"float64"})
    assert {"accepted", "commit_ms_p50", "store_ms_max"} <= own.fields.keys()


def test_type_of_a_column_is_the_only_one_that_its_field_can_have() -> None:
    vat, _ = declarations({"vat": Vat})

    assert vat.fields == {
        "level": "float64",
        "is_open": "bool",
        "batch": "utf8",
        "phase": "utf8",
        "client_ip": "utf8",
    }


def test_field_goes_by_the_name_of_its_column_whatever_devices_call_it() -> None:
    class Tank(Kind):
        level: float = Field(alias="lvl")

    tank, _ = declarations({"tank": Tank})

    assert tank.fields == {"level": "float64", "client_ip": "utf8"}


def test_any_field_of_telemetry_is_decided_by_its_first_reading() -> None:
    class Probe(Telemetry):
        depth: float

    telemetry, probe, _ = declarations({"telemetry": Telemetry, "probe": Probe})

    assert telemetry == Declaration("telemetry", ("sensor_id",), {"client_ip": "utf8"})
    assert probe.fields == {"depth": "float64", "client_ip": "utf8"}


def test_field_that_had_another_type_is_left_to_the_readings_that_are_spooled() -> None:
    vat, _ = declarations(
        {"vat": Vat}, [("vat", "is_open", "float"), ("vat", "level", "float"), ("t", "batch", "bool")]
    )

    assert vat.fields == {"level": "float64", "batch": "utf8", "phase": "utf8", "client_ip": "utf8"}


async def test_tables_are_declared_each_time_that_another_store_answers() -> None:
    store = StandIn()
    async with declaring(store) as declarer:
        await asyncio.sleep(0)
        assert store.declared == []

        declarer.wake()
        await until_async(lambda: store.declared == TABLES)
        declarer.wake()
        await until_async(lambda: store.declared == TABLES * 2)


async def test_store_that_is_not_ready_is_asked_again() -> None:
    store = StandIn()
    store.errors = [TransientError("store answered 503")] * 3
    async with declaring(store) as declarer:
        declarer.wake()

        await until_async(lambda: store.declared == TABLES)


@pytest.mark.parametrize(
    ("error", "asked"), [(PermanentError("refused"), 3), (TransientError("store answered 404"), 15)]
)
async def test_store_that_will_not_have_it_is_left_alone_after_one_line_of_log(
    error: Exception, asked: int, caplog: pytest.LogCaptureFixture
) -> None:
    store = StandIn()
    store.errors = [error] * 20
    with caplog.at_level(logging.WARNING, "bridge"):
        async with declaring(store) as declarer:
            declarer.wake()
            await until_async(lambda: store.asked == asked)

            store.errors.clear()
            declarer.wake()
            await until_async(lambda: store.declared == TABLES)

    (record,) = caplog.records
    assert record.getMessage() == f"table sensor_readings appears only with its first row: {error}"
