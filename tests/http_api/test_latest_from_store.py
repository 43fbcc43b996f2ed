"""What is known of the newest reading, by a real store on the other side."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.http_api.processes import Api, StandIn
from tests.http_api.requests import READING, assert_problem, latest
from tests.store.store_process import TOKEN, StoreProcess
from tests.waiting import until


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    process = StoreProcess(tmp_path_factory.mktemp("store")).start()
    yield process
    process.kill()


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory, shared_broker: Broker, shared_bridge: StandIn, store: StoreProcess
) -> Iterator[Api]:
    server = Api(
        tmp_path_factory.mktemp("api_with_store"),
        shared_broker.port,
        shared_broker.passwords["http_api"],
        INFLUX_HOST=store.url,
        INFLUX_TOKEN=TOKEN,
    )
    try:
        server.wait_until(mqtt="connected", bridge="active", influxdb="connected")
        yield server
    finally:
        server.stop()


def write(store: StoreProcess, *lines: str) -> None:
    assert store.write("\n".join(lines)).status_code == 204


def test_health_is_healthy(api: Api) -> None:
    assert api.client.get("/api/v1/health").json()["status"] == "healthy"


def test_a_table_that_was_never_written_is_404(api: Api) -> None:
    assert_problem(latest(api, "vat-1", "vat"), 404, "no vat of vat-1")


def test_what_the_store_has_is_found(api: Api, store: StoreProcess) -> None:
    write(
        store,
        'sensor_readings,sensor_id=old temperature=1.5,humidity=2.0,pressure=3.0,client_ip="192.0.2.1" '
        "1755354645123456",
        "sensor_readings,sensor_id=old temperature=9.5,humidity=2.0,pressure=3.0 1755354645123455",
        "sensor_readings,sensor_id=other temperature=7.5,humidity=2.0,pressure=3.0 1755354645123999",
    )

    record: dict[str, Any] = latest(api, "old").json()

    assert list(record.items()) == [
        ("id", 1_755_354_645_123_456),
        ("temperature", 1.5),
        ("humidity", 2.0),
        ("pressure", 3.0),
        ("date_recorded", "2025-08-16"),
        ("time_recorded", "23:30:45"),
        ("sensor_id", "old"),
        ("client_ip", "192.0.2.1"),
        ("kind", "temperature_reading"),
        ("timestamp", "2025-08-16T14:30:45.123Z"),
    ]


def test_fields_of_other_sensors_are_left_out(api: Api, store: StoreProcess) -> None:
    write(store, "telemetry,sensor_id=a volts=1.5 1755354645123456", 'telemetry,sensor_id=b mode="on" 1755354645123456')

    record = latest(api, "a", "telemetry").json()

    assert record["volts"] == 1.5
    assert "mode" not in record


def test_an_unknown_sensor_is_404(api: Api, store: StoreProcess) -> None:
    write(store, "sensor_readings,sensor_id=known temperature=1.5,humidity=2.0,pressure=3.0 1755354645123456")

    assert_problem(latest(api, "unknown"), 404, "no temperature_reading of unknown")


def test_the_store_is_asked_once_and_the_live_feed_tells_the_rest(
    api: Api, store: StoreProcess, bridge: StandIn
) -> None:
    write(store, "vat_levels,sensor_id=v level=1.0,is_open=true 1755354645000000")
    assert latest(api, "v", "vat").json()["level"] == 1.0
    write(store, "vat_levels,sensor_id=v level=2.0,is_open=true 1755354646000000")

    assert latest(api, "v", "vat").json()["level"] == 1.0
    bridge.announce(("vat", "v", 1_755_354_647_000_000, {"level": 3.0, "is_open": True}))
    until(lambda: latest(api, "v", "vat").json()["level"] == 3.0)


def test_while_the_store_is_behind_it_is_asked_each_time(api: Api, store: StoreProcess, bridge: StandIn) -> None:
    bridge.say("running", spool={"readings": 5, "oldest_s": 60.0})
    until(lambda: api.client.get("/api/v1/health").json()["spool"].get("oldest_s"))
    write(store, "vat_levels,sensor_id=w level=1.0,is_open=true 1755354645000000")
    assert latest(api, "w", "vat").json()["level"] == 1.0
    write(store, "vat_levels,sensor_id=w level=2.0,is_open=true 1755354646000000")
    answer = latest(api, "w", "vat").json()

    bridge.say("running")
    assert answer["level"] == 2.0


def test_while_the_store_hangs_the_answer_comes_at_once(
    tmp_path: Path, start_bridge: Callable[[], StandIn], start_api: Callable[..., Api]
) -> None:
    start_bridge()
    store = StoreProcess(tmp_path / "store").start()
    assert store.process is not None
    api = start_api(INFLUX_HOST=store.url, INFLUX_TOKEN=TOKEN)
    api.wait_until(bridge="active", influxdb="connected")
    record = api.post("temperature_reading", READING | {"sensor_id": "known"}).json()
    store.process.send_signal(signal.SIGSTOP)
    api.wait_until(influxdb="disconnected")

    started = time.monotonic()
    known, unknown = latest(api, "known"), latest(api, "unknown")
    took_s = time.monotonic() - started

    store.kill()
    assert took_s < 1
    assert known.json() == record
    assert_problem(unknown, 503, "the store does not answer")


def test_a_store_that_is_there_gets_no_warning(api: Api) -> None:
    log = api.log.read_text()

    assert "store answers\n" in log
    assert "WARNING" not in log
