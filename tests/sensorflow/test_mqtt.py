import asyncio
import contextlib
import logging
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import mqtt5
import pytest
from aiomqtt import Client, ProtocolVersion

from sensorflow import mqtt
from sensorflow.mqtt import Connected, Delivery, RefusedError, Session, UnavailableError, Will
from tests.broker import Broker, free_port
from tests.proxy import Proxy
from tests.waiting import until_async

TOPIC = "sensors/s1/telemetry"
PUBACK = b"\x40\x02"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "backoff_s", lambda attempt: 0.02)


def session(broker: Broker, user: str = "bridge", *, port: int | None = None, **options: Any) -> Session:
    return Session(
        host=broker.host,
        port=port or broker.port,
        username=user,
        **{"client_id": f"{user}-1", "password": broker.passwords[user]} | options,
    )


def bridge(broker: Broker, **options: Any) -> Session:
    """A session like the bridge's."""
    its: dict[str, Any] = {"subscriptions": ["sensors/#"], "clean_start": False, "session_expiry_s": 3600}
    return session(broker, **its | options)


@asynccontextmanager
async def running(each: Session, *, until_connected: bool = True) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(each.run())
    try:
        if until_connected:
            await until_async(lambda: each.is_connected)
        yield task
        if not task.cancelled():
            assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def device(broker: Broker, user: str = "device", **options: Any) -> AsyncIterator[Client]:
    """The independent other side."""
    client = Client(
        broker.host,
        broker.port,
        username=user,
        password=broker.passwords[user],
        protocol=ProtocolVersion.V5,
        **options,
    )
    async with client:
        yield client


async def publish(broker: Broker, payloads: Iterable[bytes], topic: str = TOPIC, **options: Any) -> None:
    async with device(broker) as client:
        await asyncio.gather(*(client.publish(topic, payload, qos=1, **options) for payload in payloads))


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


async def take(each: Session, count: int) -> list[Delivery]:
    """So many deliveries; what else happens is left out."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(10):
        while len(deliveries) < count:
            deliveries += [event for event in await each.events() if isinstance(event, Delivery)]
    return deliveries


async def take_all(each: Session, count: int) -> list[mqtt.Event]:
    """The same with everything else that happens meanwhile."""
    events: list[mqtt.Event] = []
    async with asyncio.timeout(10):
        while sum(isinstance(event, Delivery) for event in events) < count:
            events += await each.events()
    return events


def pubacks(sent: bytes | bytearray) -> list[int]:
    """The packet ids that were acknowledged in what a client sent."""
    found, rest = [], memoryview(bytes(sent))
    while rest:
        packet, used = mqtt5.read(rest)
        rest = rest[used:]
        if isinstance(packet, mqtt5.PubAckPacket):
            found.append(packet.packet_id)
    return found


# --- publishing ------------------------------------------------------------------------------------------------------


async def test_publish_returns_when_the_broker_has_it(broker: Broker) -> None:
    api = session(broker, "http_api")
    async with running(bridge(broker)), running(api):
        await api.publish(TOPIC, b"{}")


async def test_publish_that_nobody_is_subscribed_to_is_refused_by_0x10(broker: Broker) -> None:
    api = session(broker, "http_api")
    async with running(api):
        with pytest.raises(RefusedError, match="'sensors/s1/telemetry': reason code 0x10") as caught:
            await api.publish(TOPIC, b"{}")

    assert caught.value.reason_code == mqtt.NO_MATCHING_SUBSCRIBERS


async def test_publish_without_the_right_is_refused_by_0x87(broker: Broker) -> None:
    api = session(broker, "http_api")
    async with running(api):
        with pytest.raises(RefusedError, match="0x87") as caught:
            await api.publish("live", b"{}")

    assert caught.value.reason_code == 0x87


@pytest.mark.parametrize("qos", [0, 1])
async def test_everything_of_a_publish_arrives(broker: Broker, qos: int) -> None:
    api, other = session(broker, "http_api"), bridge(broker)
    async with running(other), running(api):
        await api.publish(
            TOPIC,
            b"\0\xff",
            qos=qos,
            response_topic="receipts/x",
            correlation_data=b"0a",
            user_properties=[("received_us", "5"), ("client_ip", "::1")],
        )

        (arrived,) = await take(other, 1)

    assert (arrived.topic, arrived.payload, arrived.qos) == (TOPIC, b"\0\xff", qos)
    assert (arrived.retain, arrived.duplicate, arrived.packet_id) == (False, False, 1 if qos else None)
    assert (arrived.response_topic, arrived.correlation_data) == ("receipts/x", b"0a")
    assert arrived.user_properties == [("received_us", "5"), ("client_ip", "::1")]


async def test_publish_before_the_first_connection_says_so_at_once(broker: Broker) -> None:
    for qos in (0, 1):
        with pytest.raises(UnavailableError, match=f"not connected to the broker at 127.0.0.1:{broker.port}"):
            await session(broker, "http_api").publish(TOPIC, b"{}", qos=qos)


async def test_publishes_beyond_the_brokers_receive_maximum_wait_for_their_turn(broker: Broker) -> None:
    api, other = session(broker, "http_api"), bridge(broker)
    async with running(other), running(api):
        assert api._connection is not None
        room = api._connection._slots._value
        assert room <= 1000

        await asyncio.gather(*(api.publish(TOPIC, payload) for payload in numbered(room * 3)))

        assert api._connection._slots._value == room
        assert api._connection._in_flight == {}
        arrived = await acknowledged(other, room * 3)
    assert [each.payload for each in arrived] == numbered(room * 3)


async def acknowledged(each: Session, count: int) -> list[Delivery]:
    """Take and acknowledge so many."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(10):
        while len(deliveries) < count:
            some = [event for event in await each.events() if isinstance(event, Delivery)]
            each.acknowledge(some)
            deliveries += some
    return deliveries


async def test_publish_that_is_not_acknowledged_in_time_is_given_up_and_frees_its_place_later(broker: Broker) -> None:
    async with Proxy(broker.port) as proxy:
        api = session(broker, "http_api", port=proxy.port)
        async with running(bridge(broker)), running(api):
            proxy.stall()
            started = time.monotonic()
            with pytest.raises(UnavailableError, match=r"no PUBACK within 0\.2 s"):
                await api.publish(TOPIC, b"{}", timeout_s=0.2)
            assert time.monotonic() - started < 1

            proxy.flow()

            await api.publish(TOPIC, b"{}")
            assert api._connection is not None
            assert api._connection._in_flight == {}


async def test_lost_connection_ends_every_publish_that_is_under_way(broker: Broker) -> None:
    async with Proxy(broker.port) as proxy:
        api = session(broker, "http_api", port=proxy.port)
        async with running(bridge(broker)), running(api):
            assert api._connection is not None
            api._connection._slots = asyncio.Semaphore(5)
            proxy.stall()
            under_way = [asyncio.create_task(api.publish(TOPIC, payload)) for payload in numbered(20)]
            await until_async(lambda: api._connection is None or len(api._connection._in_flight) == 5)

            proxy.cut()

            outcomes = await asyncio.gather(*under_way, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 20
            assert {str(outcome)[:15] for outcome in outcomes} == {"connection lost"}


# --- deliveries ------------------------------------------------------------------------------------------------------


async def test_unacknowledged_deliveries_come_again_after_a_reconnect_as_they_were(broker: Broker) -> None:
    async with Proxy(broker.port) as proxy:
        each = bridge(broker, port=proxy.port)
        async with running(each):
            await publish(broker, numbered(10))
            first = await take(each, 10)
            each.acknowledge(first[:4])
            with contextlib.suppress(RefusedError):  # its answer comes after the acknowledgements have arrived
                await each.publish("live", b"")

            proxy.cut()
            events = await take_all(each, 6)

    assert events[0] == Connected(session_present=True)
    again = [event for event in events if isinstance(event, Delivery)]
    assert [one.packet_id for one in again] == [one.packet_id for one in first[4:]]
    assert [one.payload for one in again] == [one.payload for one in first[4:]]
    assert {one.duplicate for one in again} == {True}
    assert {one.duplicate for one in first} == {False}


async def test_unacknowledged_deliveries_come_again_after_a_clean_restart_of_the_broker(broker: Broker) -> None:
    each = bridge(broker)
    async with running(each):
        await publish(broker, numbered(5))
        first = await take(each, 5)
        broker.stop()
        await until_async(lambda: not each.is_connected)
        broker.start()

        events = await take_all(each, 5)

    assert events[0] == Connected(session_present=True)
    assert [(one.packet_id, one.payload, one.duplicate) for one in events[1:] if isinstance(one, Delivery)] == [
        (one.packet_id, one.payload, True) for one in first
    ]


async def test_each_connection_subscribes_anew_and_a_message_keeps_the_identifier_it_came_by(broker: Broker) -> None:
    def by(deliveries: Iterable[mqtt.Event]) -> list[int]:
        return [each.packet.subscription_ids[0] for each in deliveries if isinstance(each, Delivery)]

    each = bridge(broker)
    async with running(each):
        await publish(broker, numbered(2))
        first = by(await take(each, 2))
        broker.stop()
        await until_async(lambda: not each.is_connected)
        broker.start()
        await until_async(lambda: each.is_connected)
        await publish(broker, numbered(1))
        second = by(await take(each, 3))
        broker.stop()
        await until_async(lambda: not each.is_connected)
        broker.start()
        third = by(await take(each, 3))

    assert first[0] == first[1] != second[2]
    assert third == second == [*first, second[2]]


async def test_acknowledgement_of_an_earlier_connection_is_not_sent_on_the_new_one(broker: Broker) -> None:
    async with Proxy(broker.port) as proxy:
        each = bridge(broker, port=proxy.port)
        async with running(each):
            await publish(broker, numbered(3))
            old = await take(each, 3)
            proxy.cut()
            new = await take(each, 3)

            each.acknowledge([*old, new[0]])

            await until_async(lambda: pubacks(proxy.sent[1]))
    assert pubacks(proxy.sent[0]) == []
    assert pubacks(proxy.sent[1]) == [new[0].packet_id]


async def test_acknowledgements_are_sent_in_the_order_given_and_qos_0_has_none(broker: Broker) -> None:
    async with Proxy(broker.port) as proxy:
        each = bridge(broker, port=proxy.port)
        async with running(each):
            await publish(broker, numbered(3))
            async with device(broker) as client:
                await client.publish(TOPIC, b"unsure", qos=0)
            arrived = await take(each, 4)

            each.acknowledge(arrived)

            await until_async(lambda: len(pubacks(proxy.sent[0])) == 3)
    assert pubacks(proxy.sent[0]) == [one.packet_id for one in arrived if one.packet_id]


async def test_what_came_while_nobody_was_connected_is_delivered_later(broker: Broker) -> None:
    async with running(bridge(broker)):
        pass
    await publish(broker, numbered(300))

    each = bridge(broker)
    async with running(each):
        events = await take_all(each, 300)

    assert events[0] == Connected(session_present=True)
    assert [one.payload for one in events if isinstance(one, Delivery)] == numbered(300)


async def test_lost_session_is_told(broker: Broker) -> None:
    each = bridge(broker)
    async with running(each):
        assert await each.events() == [Connected(session_present=False)]
        broker.kill()
        (broker.directory / "mosquitto.db").unlink(missing_ok=True)
        broker.start()

        assert await each.events() == [Connected(session_present=False)]


@pytest.mark.parametrize("limit", ["MAX_PENDING_EVENTS", "MAX_PENDING_BYTES"])
async def test_backlog_larger_than_what_may_wait_comes_through_from_the_start(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    async with running(bridge(broker)):
        pass
    await publish(broker, numbered(500))
    monkeypatch.setattr(mqtt, limit, 20)
    each = bridge(broker)

    async with running(each, until_connected=False):
        arrived = await acknowledged(each, 500)
        await until_async(lambda: each.is_connected)

    assert [one.payload for one in arrived] == numbered(500)


async def test_more_than_may_wait_stops_the_reading_and_loses_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_PENDING_EVENTS", 20)
    each = bridge(broker)
    async with running(each):
        await publish(broker, [number.rjust(20_000) for number in numbered(400)])
        assert each._connection is not None
        await until_async(lambda: each._connection is not None and each._connection._is_paused)
        assert len(each._events) < 100

        arrived = await acknowledged(each, 400)

        assert [one.payload.strip() for one in arrived] == numbered(400)
        assert each.is_connected


async def test_retained_messages_come_to_who_wants_them_alone(broker: Broker) -> None:
    writer = session(broker)
    async with running(writer):
        with contextlib.suppress(RefusedError):  # nobody is subscribed
            await writer.publish("status/bridge", b"here", retain=True)
        for wanted in (True, False):
            reader = session(broker, "operator", subscriptions=["status/+"], with_retained=wanted)
            async with running(reader):
                await writer.publish("status/bridge", b"still here")

                (first, *_) = await take(reader, 1)

                assert (first.payload, first.retain) == ((b"here", True) if wanted else (b"still here", False))


async def test_all_subscriptions_are_made(broker: Broker) -> None:
    reader = session(broker, "http_api", subscriptions=["receipts/a", "live", "status/+"])
    async with running(reader), running(session(broker)) as _, device(broker, "bridge") as other:
        for topic in ("receipts/a", "live", "status/bridge"):
            await other.publish(topic, b"", qos=1)

        assert [one.topic for one in await take(reader, 3)] == ["receipts/a", "live", "status/bridge"]


# --- coming and going ------------------------------------------------------------------------------------------------


async def states(broker: Broker, client: Client) -> str:
    async for message in client.messages:
        assert isinstance(message.payload, bytes)
        return message.payload.decode()
    raise AssertionError


async def test_last_will_is_sent_when_the_connection_breaks_and_not_when_it_is_ended(broker: Broker) -> None:
    will = Will("status/bridge", payload=b"gone", retain=True)
    async with device(broker, "operator") as operator:
        await operator.subscribe("status/bridge", qos=1)
        async with Proxy(broker.port) as proxy:
            each = session(broker, port=proxy.port, will=will)
            async with running(each):
                await each.publish("status/bridge", b"running")
            async with running(session(broker, "bridge", client_id="other")) as _:
                assert await states(broker, operator) == "running"

            async with running(each):
                await each.publish("status/bridge", b"running again")
                assert await states(broker, operator) == "running again"  # so the clean end sent nothing
                proxy.cut()
                assert await states(broker, operator) == "gone"


async def test_wrong_password_is_said_once_and_tried_again(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    each = session(broker, password="not this one")
    async with Proxy(broker.port) as proxy:
        each._port = proxy.port
        async with running(each, until_connected=False):
            await until_async(lambda: len(proxy.sent) >= 4)

    (said,) = [record for record in caplog.records if record.name == "mqtt"]
    assert said.levelno == logging.ERROR
    assert "broker refused the connection" in said.getMessage()
    assert "not this one" not in caplog.text


async def test_half_open_connection_is_noticed(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    async with Proxy(broker.port) as proxy:
        each = session(broker, port=proxy.port, keepalive_s=2)
        async with running(each):
            proxy.stall()
            started = time.monotonic()

            await until_async(lambda: not each.is_connected, 5)

            assert 2 <= time.monotonic() - started <= 3.2
            proxy.flow()
            await until_async(lambda: each.is_connected)
    assert "nothing heard for" in caplog.text


async def test_quiet_connection_is_kept(broker: Broker) -> None:
    async with Proxy(broker.port) as proxy:
        each = session(broker, port=proxy.port, keepalive_s=1)
        async with running(each):
            await until_async(lambda: proxy.sent[0].count(b"\xc0\x00") >= 8)  # PINGREQ

            assert each.is_connected
            assert len(proxy.sent) == 1


async def test_broker_that_comes_later_is_found(broker: Broker) -> None:
    broker.stop()
    each = session(broker)
    async with running(each, until_connected=False):
        with pytest.raises(UnavailableError):
            await each.publish("live", b"")
        broker.start()

        await until_async(lambda: each.is_connected)


@pytest.mark.parametrize(("settled_s", "attempts"), [(0.0, [0, 0, 0]), (60.0, [1, 2, 3])])
async def test_broker_that_served_for_a_while_is_tried_again_soon_and_one_that_did_not_later_each_time(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, settled_s: float, attempts: list[int]
) -> None:
    tried: list[int] = []

    def backoff_s(attempt: int) -> float:
        tried.append(attempt)
        return 0.02

    monkeypatch.setattr(mqtt, "SETTLED_S", settled_s)
    monkeypatch.setattr(mqtt, "backoff_s", backoff_s)
    async with Proxy(broker.port) as proxy:
        each = bridge(broker, port=proxy.port)
        async with running(each):
            for count in (1, 2, 3):
                await until_async(lambda: each.is_connected)
                proxy.cut()
                await until_async(lambda: len(tried) == count)  # noqa: B023 - used at once

    assert tried == attempts


async def test_server_that_accepts_and_says_nothing_is_given_up(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mqtt, "CONNECT_TIMEOUT_S", 0.1)
    async with Proxy(broker.port) as proxy:
        proxy.stall()
        each = session(broker, port=proxy.port)
        async with running(each, until_connected=False):
            await until_async(lambda: "no answer within 0.1 s" in caplog.text)
            proxy.flow()

            await until_async(lambda: each.is_connected)


async def test_server_that_speaks_something_else_is_tried_again(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    each = session(broker, port=server.sockets[0].getsockname()[1])
    async with running(each, until_connected=False):
        await until_async(lambda: "trying again" in caplog.text)
    server.close()
    await server.wait_closed()


async def test_who_is_taken_over_comes_back(broker: Broker) -> None:
    first, second = bridge(broker), bridge(broker)
    async with running(first):
        async with running(second):
            await until_async(lambda: not first.is_connected)
        await until_async(lambda: first.is_connected)


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_broker(broker: Broker) -> Broker:
    """The same broker, behind a certificate of its own."""
    broker.stop()
    key, certificate = broker.directory / "key.pem", broker.directory / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    key.chmod(0o644)
    broker.tls_port = free_port()  # type: ignore[attr-defined] # for this file alone
    (broker.directory / "conf.d" / "tls.conf").write_text(
        f"listener {broker.tls_port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n"  # type: ignore[attr-defined] # as above
    )
    broker.start()
    return broker


async def test_session_over_tls_checks_the_certificate_and_carries_much(
    tls_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_PENDING_EVENTS", 50)
    trusted = ssl.create_default_context(cafile=tls_broker.directory / "certificate.pem")
    each = bridge(tls_broker, port=tls_broker.tls_port, ssl=trusted)  # type: ignore[attr-defined] # as above
    async with running(each):
        await publish(tls_broker, [number.rjust(5_000) for number in numbered(300)])

        assert [one.payload.strip() for one in await acknowledged(each, 300)] == numbered(300)
        await each.publish("status/bridge", b"x" * 200_000, qos=0)


async def test_broker_with_a_certificate_that_nobody_vouches_for_is_not_trusted(
    tls_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    each = bridge(tls_broker, port=tls_broker.tls_port, ssl=ssl.create_default_context())  # type: ignore[attr-defined] # as above
    async with running(each, until_connected=False):
        await until_async(lambda: "certificate verify failed" in caplog.text)

        assert not each.is_connected
