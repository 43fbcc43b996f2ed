"""Which brokers would lose readings, by what they say and by their configuration; and that the bridge leaves those."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import mqtt5
import pytest

from sensorflow import broker_limits
from sensorflow.errors import PermanentError
from sensorflow.mqtt import Limits, Session
from sensorflow.up.broker import options
from tests.broker import Broker
from tests.waiting import until_async

GOOD = Limits(session_expiry_s=None, max_qos=2, max_packet_bytes=None, has_retained=True, has_wildcards=True)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("session_expiry_s", 0, "it keeps the session for 0 s, at least 86,400"),
        ("session_expiry_s", 7200, "it keeps the session for 7,200 s, at least 86,400"),
        ("max_qos", 0, "it takes QoS 0 at most, at least 1"),
        ("max_packet_bytes", 65_536, "it takes packets of 65,536 bytes, at least 135,168"),
        ("has_retained", False, "set retain_available true"),
        ("has_wildcards", False, "allow wildcard subscriptions"),
    ],
)
def test_limit_that_would_lose_readings_is_refused_with_its_value_and_its_bound(
    name: str, value: object, complaint: str
) -> None:
    broker_limits.admit(GOOD)

    with pytest.raises(PermanentError, match=f"^this broker would lose readings: .*{complaint}"):
        broker_limits.admit(Limits(**{**{each: getattr(GOOD, each) for each in GOOD.__slots__}, name: value}))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("persistence false", "persistence false, must be true: "),
        ("autosave_interval 1800", "autosave_interval 1800, must be 1 to 60: "),
        ("autosave_interval 0", "autosave_interval 0, must be 1 to 60: "),
        ("autosave_on_changes true", "autosave_on_changes true, must be false: "),
        ("max_queued_messages 1000", "max_queued_messages 1000, must be 100000 or more: "),
        ("max_queued_messages 0", "max_queued_messages 0, must be 100000 or more: "),
        ("max_queued_bytes 1000000", "max_queued_bytes 1000000, must be 67108864 or more: "),
        ("max_inflight_messages 1", "max_inflight_messages 1, must be 20 or more: "),
        ("max_packet_size 65536", "max_packet_size 65536, must be 135168 or more: "),
        ("retain_available false", "retain_available false, must be true: "),
        ("allow_anonymous true", "allow_anonymous true, must be false: "),
        ("persistent_client_expiration 12h", "persistent_client_expiration 12h, must be 1d or more: "),
    ],
)
def test_option_added_by_hand_that_would_lose_readings_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    mosquitto = Broker(tmp_path / "mosquitto", 1883)
    assert list(broker_limits.of_configuration(options(mosquitto.directory))) == []

    (mosquitto.directory / "conf.d/mine.conf").write_text(f"# mine\n\n{line}\n")

    (found,) = broker_limits.of_configuration(options(mosquitto.directory))
    assert found.startswith(complaint)


def test_mosquitto_as_it_comes_is_refused_for_its_autosave_and_its_queue() -> None:
    complaints = " ".join(broker_limits.of_configuration({"persistence": "true"}))

    assert "autosave_interval (not set)" in complaints
    assert "max_queued_messages (not set)" in complaints


@pytest.mark.parametrize(
    ("version", "count"),
    [("mosquitto version 2.0.11", 3), ("mosquitto version 2.0.18", 1), ("mosquitto version 2.1.2", 0)],
)
def test_version_with_known_faults_is_told_with_the_one_that_mended_them(version: str, count: int) -> None:
    faults = broker_limits.known_faults(version)

    assert faults.count("(mended in 2.0.") == count
    assert faults.startswith(version.replace(" version", "") if count else "")
    assert faults.count("\n") == 0
    assert broker_limits.known_faults("EMQX 5.8") == ""


@asynccontextmanager
async def answering(connack: mqtt5.ConnAckPacket) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A broker that says this to everybody, and nothing more; its port, and what it was sent at first each time."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65_536))
        writer.write(connack.write())
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


def session(port: int) -> Session:
    return Session(
        host="127.0.0.1",
        port=port,
        client_id="bridge-0",
        username="bridge",
        password="bridge enters by this word",
        subscriptions=["sensors/#"],
        admit=broker_limits.admit,
    )


async def test_bridge_leaves_a_broker_that_is_not_good_enough_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        answering(mqtt5.ConnAckPacket(session_expiry_interval=60)) as (port, heard),
        asyncio.TaskGroup() as tasks,
    ):
        refused = session(port)
        running = tasks.create_task(refused.run())
        await until_async(lambda: len(heard) >= 3)

        assert not refused.is_connected
        running.cancel()

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "this broker would lose readings: it keeps the session for 60 s, at least 86,400" in record.getMessage()


async def test_bridge_stays_with_the_mosquitto_that_we_ship(broker: Broker) -> None:
    async with asyncio.TaskGroup() as tasks:
        admitted = Session(
            host=broker.host,
            port=broker.port,
            client_id="bridge-0",
            username="bridge",
            password=broker.passwords["bridge"],
            subscriptions=["sensors/#"],
            admit=broker_limits.admit,
        )
        running = tasks.create_task(admitted.run())
        await until_async(lambda: admitted.is_connected)
        running.cancel()
