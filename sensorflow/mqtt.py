"""One MQTT 5 session over as many connections as it takes, on the ``mqtt5`` codec.

The rule that keeps it simple: nothing is acknowledged by itself. What arrives waits in one bounded list; who takes it
acknowledges it, after the write, on the connection that it came on and on no other.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import mqtt5
from mqtt5 import PublishPacket, QoS, Will

from sensorflow.backoff import backoff_s
from sensorflow.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from ssl import SSLContext

__all__ = ["Connected", "Delivery", "Limits", "RefusedError", "Session", "UnavailableError", "Will"]

CONNECT_TIMEOUT_S = 5.0
SETTLED_S = 1.0
MAX_PENDING_EVENTS = 10_000
MAX_PENDING_BYTES = 16 * 2**20
NO_MATCHING_SUBSCRIBERS = 0x10
_MAX_SUBSCRIPTION_ID = 268_435_455

_PINGREQ = mqtt5.PingReqPacket().write()
_log = logging.getLogger("mqtt")


class RefusedError(PermanentError):
    """The broker took the PUBLISH and threw it away.

    Args:
        reason_code: Of the PUBACK (MQTT 5, 3.4.2.1): 0x10 nobody is subscribed, 0x87 not allowed, …
    """

    def __init__(self, topic: str, reason_code: int) -> None:
        super().__init__(f"broker refused a message to {topic!r}: reason code 0x{reason_code:02x}")
        self.reason_code = reason_code


class UnavailableError(TransientError):
    """The broker is away, or did not answer in time; a message that was on its way may have arrived."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the broker will do for us, as its CONNACK says (MQTT 5, 3.2.2.3).

    Args:
        session_expiry_s: None for as long as we asked for.
        max_packet_bytes: None for as large as MQTT allows.
    """

    session_expiry_s: int | None
    max_qos: int
    max_packet_bytes: int | None
    has_retained: bool
    has_wildcards: bool


def admit_any(_: Limits) -> None:
    """Whatever the broker's limits are."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Comes before the first delivery of every connection. Without ``session_present`` packet ids start anew."""

    session_present: bool


class Delivery(NamedTuple):
    """A message, and the connection on which alone it may be acknowledged."""

    packet: PublishPacket
    connection: _Connection

    @property
    def topic(self) -> str:
        """Unchecked text of a client."""
        return self.packet.topic

    @property
    def payload(self) -> bytes:
        """At most what the broker's ``max_packet_size`` lets through."""
        return self.packet.payload

    @property
    def qos(self) -> int:
        """0 or 1: we never subscribe with more."""
        return int(self.packet.qos)

    @property
    def retain(self) -> bool:
        """As published."""
        return self.packet.retain

    @property
    def duplicate(self) -> bool:
        """DUP: the broker has sent it before, with the same packet id; we may not have received it."""
        return self.packet.duplicate

    @property
    def packet_id(self) -> int | None:
        """None with QoS 0."""
        return self.packet.packet_id

    @property
    def response_topic(self) -> str | None:
        """Where the publisher wants to hear about it."""
        return self.packet.response_topic

    @property
    def correlation_data(self) -> bytes | None:
        """What the publisher knows it by."""
        return self.packet.correlation_data

    @property
    def user_properties(self) -> list[tuple[str, str]]:
        """Unchecked text of a client."""
        return self.packet.user_properties


Event = Connected | Delivery


class Session:
    """An MQTT 5 session.

    At most ``MAX_PENDING_EVENTS`` deliveries or ``MAX_PENDING_BYTES`` wait to be taken (and one read of the socket
    beyond); when full, the socket is not read until they are, so that the broker keeps the rest.

    Args:
        subscriptions: Topic filters, subscribed with QoS 1 at every connect.
        with_retained: Whether retained messages come at a new subscription (MQTT 5, 3.8.3.1: retain handling 0 or 2).
        receive_maximum: At most this many unacknowledged deliveries; Mosquitto 2.0.11 goes beyond it.
        keepalive_s: A connection on which nothing came for 1.2 times this long is given up, at most 1.45 times.
        admit: Raises a ``PermanentError`` for a broker that is not good enough; it is left, and tried again.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        username: str,
        password: str,
        subscriptions: Sequence[str] = (),
        with_retained: bool = True,
        clean_start: bool = True,
        session_expiry_s: int = 0,
        receive_maximum: int = 1000,
        keepalive_s: int = 15,
        will: Will | None = None,
        ssl: SSLContext | None = None,
        admit: Callable[[Limits], None] = admit_any,
    ) -> None:
        self._host, self._port, self._ssl = host, port, ssl
        self._username = username
        self._admit = admit
        self._keepalive_s = keepalive_s
        self._subscriptions = subscriptions
        self._retain_handling = mqtt5.RetainHandling.SEND_ALWAYS if with_retained else mqtt5.RetainHandling.SEND_NEVER
        self._connect_packet = mqtt5.ConnectPacket(
            client_id,
            username=username,
            password=password.encode(),
            clean_start=clean_start,
            session_expiry_interval=session_expiry_s,
            receive_max=receive_maximum,
            keep_alive=keepalive_s,
            will=will,
        ).write()
        self._connection: _Connection | None = None
        self._newest: _Connection | None = None  # which may not have been let in yet, but deliver already
        self._events: list[Event] = []
        self._events_bytes = 0
        self._arrived = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether the broker has let us in and granted the subscriptions."""
        return self._connection is not None

    async def run(self) -> None:
        """Stay connected, for ever. Cancel it to stop: it then says DISCONNECT, so that no last will is sent."""
        attempt = 0
        complaint = ""
        while True:
            try:
                await self._stay_connected()
            except PermanentError as error:  # which no other attempt mends: a human is needed
                if complaint != str(error):
                    _log.error("%s at %s:%d: %s; trying again", self._username, self._host, self._port, error)  # no bug
                complaint = str(error)
            except (OSError, TransientError) as error:
                if attempt == 0:
                    _log.warning("%s at %s:%d: %s; trying again", self._username, self._host, self._port, error)
            # A broker that was there and was restarted is back soon; one that throws us out at once is left alone.
            is_settled = self._newest is not None and self._newest.served_s > SETTLED_S
            attempt = 0 if is_settled else attempt + 1
            await asyncio.sleep(backoff_s(attempt))

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        user_properties: Sequence[tuple[str, str]] = (),
        timeout_s: float = 5.0,
    ) -> None:
        """Send a message; with QoS 1 return when the broker has taken it.

        At most as many as the broker's receive maximum are on their way; more wait, within ``timeout_s``.

        Raises:
            RefusedError: The PUBACK's reason code is not 0x00.
            UnavailableError: Not connected, the connection was lost, or no PUBACK came in time.
        """
        connection = self._connection
        if connection is None:
            raise UnavailableError(f"not connected to the broker at {self._host}:{self._port}")
        packet = partial(
            PublishPacket,
            topic,
            payload,
            retain=retain,
            response_topic=response_topic,
            correlation_data=correlation_data,
            user_properties=list(user_properties),
        )
        if qos == 0:
            connection.send_if_writable(packet().write())
            return
        try:
            async with asyncio.timeout(timeout_s):
                reason_code = await connection.publish(packet)
        except TimeoutError:
            raise UnavailableError(f"no PUBACK within {timeout_s:g} s") from None
        if reason_code != 0:
            raise RefusedError(topic, reason_code)

    async def events(self) -> list[Event]:
        """Take all that has arrived, in order; wait until there is something."""
        await self._arrived.wait()
        self._arrived.clear()
        events, self._events, self._events_bytes = self._events, [], 0
        if self._newest is not None:
            self._newest.resume()
        return events

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """PUBACK in the order given, which must be that of arrival (MQTT 5, 4.6), in one write.

        Each goes to the connection that the delivery came on. Where that is lost nothing is sent: the broker delivers
        again, and on another connection the same packet id may be another message.
        """
        pubacks: dict[_Connection, list[bytes]] = {}
        for delivery in deliveries:
            if packet_id := delivery.packet.packet_id:
                # PUBACK without reason code and properties means success (MQTT 5, 3.4.2.1).
                pubacks.setdefault(delivery.connection, []).append(b"\x40\x02" + packet_id.to_bytes(2, "big"))
        for connection, packets in pubacks.items():
            connection.send(b"".join(packets))

    async def _stay_connected(self) -> None:
        connection = self._newest = _Connection(self)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await _loop().create_connection(lambda: connection, self._host, self._port, ssl=self._ssl)
                session_present = await self._start(connection)
        except TimeoutError:
            connection.abort("no answer")
            raise UnavailableError(f"no answer within {CONNECT_TIMEOUT_S:g} s") from None
        except BaseException:
            connection.abort("not let in")
            raise
        self._connection = connection
        connection.serve()
        state = "resumed" if session_present else "new"
        _log.info("%s connected to %s:%d, session %s", self._username, self._host, self._port, state)
        try:
            await self._watch(connection)
        finally:
            self._connection = None
            await connection.close()

    async def _start(self, connection: _Connection) -> bool:
        connection.send(self._connect_packet)
        session_present = await connection.let_in
        if self._subscriptions:
            filters = [
                mqtt5.TopicFilter(each, max_qos=QoS.AT_LEAST_ONCE, retain_handling=self._retain_handling)
                for each in self._subscriptions
            ]
            connection.send(mqtt5.SubscribePacket(1, filters, subscription_id=connection.new_subscription_id()).write())
            await connection.subscribed
        return session_present

    async def _watch(self, connection: _Connection) -> None:
        """Ping, until the connection is lost or nothing has come for too long (half-open TCP)."""
        while True:
            await asyncio.wait([connection.lost], timeout=self._keepalive_s / 8)
            if connection.lost.done():
                raise UnavailableError(connection.lost.result())
            if connection.silent_s > 1.2 * self._keepalive_s:
                connection.abort("silent")
                raise UnavailableError(f"nothing heard for {connection.silent_s:.1f} s")
            connection.send(_PINGREQ)

    def _arrive(self, event: Event, size: int) -> bool:
        """Keep an event until it is taken; False when no more should come."""
        self._events.append(event)
        self._events_bytes += size
        self._arrived.set()
        return len(self._events) < MAX_PENDING_EVENTS and self._events_bytes < MAX_PENDING_BYTES


class _Connection(asyncio.Protocol):
    """One TCP connection: bytes to packets and back, and the messages that wait for their PUBACK."""

    def __init__(self, session: Session) -> None:
        loop = _loop()
        self.let_in: asyncio.Future[bool] = loop.create_future()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        self._session = session
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._heard = _now()
        self._serves_since: float | None = None
        self._is_paused = False
        self._is_writable = True
        self._disconnect_reason = ""
        self._in_flight: dict[int, asyncio.Future[int]] = {}
        self._slots = asyncio.Semaphore(0)
        self._packet_id = 0
        self._has_subscription_ids = False

    @property
    def silent_s(self) -> float:
        """Seconds since anything was heard; 0 while we ourselves do not listen."""
        return 0.0 if self._is_paused else _now() - self._heard

    def serve(self) -> None:
        """We are let in and hear what we subscribed to."""
        self._serves_since = _now()

    @property
    def served_s(self) -> float:
        """Seconds since then, 0 before."""
        return 0.0 if self._serves_since is None else _now() - self._serves_since

    def send(self, data: bytes) -> None:
        """Send packets, unless the connection is lost; how many there can be is bounded by what they answer."""
        if self._transport is not None and not self.lost.done():
            self._transport.write(data)

    def send_if_writable(self, data: bytes) -> None:
        """Send what nobody will acknowledge.

        Raises:
            UnavailableError: The broker does not read fast enough.
        """
        if not self._is_writable:
            raise UnavailableError("the broker does not read")
        self.send(data)

    async def publish(self, packet: Callable[..., PublishPacket]) -> int:
        """Send with QoS 1 and wait for the PUBACK's reason code.

        A caller that stops waiting leaves its packet id in flight: only the broker can free it.

        Raises:
            UnavailableError: The connection is lost.
        """
        await self._slots.acquire()
        if self.lost.done():
            self._slots.release()
            raise UnavailableError(self.lost.result())
        packet_id = self._next_packet_id()
        acknowledged: asyncio.Future[int] = _loop().create_future()
        self._in_flight[packet_id] = acknowledged
        self.send(packet(qos=QoS.AT_LEAST_ONCE, packet_id=packet_id).write())
        return await acknowledged

    def resume(self) -> None:
        """Listen again."""
        if self._is_paused and self._transport is not None and not self.lost.done():
            self._is_paused = False
            self._heard = _now()
            self._transport.resume_reading()

    def abort(self, reason: str) -> None:
        """Drop the connection without a word; the broker sends the last will."""
        self._disconnect_reason = self._disconnect_reason or reason
        if self._transport is not None:
            self._transport.abort()

    def new_subscription_id(self) -> int | None:
        """Another one for each connection: it stays with each message that comes by it (MQTT 5, 3.8.2.1.2).

        At random, because what is counted would have to be on a disk before the broker hears of it. None where the
        broker knows no such thing.
        """
        return secrets.randbelow(_MAX_SUBSCRIPTION_ID) + 1 if self._has_subscription_ids else None

    async def close(self) -> None:
        """Say DISCONNECT and wait until it is on its way, at most a second."""
        if self._transport is not None and not self.lost.done():
            self.send(mqtt5.DisconnectPacket().write())
            self._transport.close()
            await asyncio.wait([self.lost], timeout=1)
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        self._heard = _now()
        view = memoryview(self._rest + data if self._rest else data)
        offset, size = 0, len(view)
        try:
            while offset < size:
                packet, used = mqtt5.read(view[offset:])
                offset += used
                self._receive(packet, used)
        except IndexError:  # the codec's word for: more bytes are needed
            pass
        except ValueError as error:
            self.abort(f"malformed packet: {error}")
        self._rest = bytes(view[offset:])

    def pause_writing(self) -> None:
        self._is_writable = False

    def resume_writing(self) -> None:
        self._is_writable = True

    def connection_lost(self, exc: Exception | None) -> None:
        reason = self._disconnect_reason or f"connection lost{f': {exc}' if exc else ''}"
        self.lost.set_result(reason)
        waiters: list[asyncio.Future[Any]] = [self.let_in, self.subscribed, *self._in_flight.values()]
        for waiting in waiters:
            if not waiting.done():
                waiting.set_exception(UnavailableError(reason))
                waiting.exception()  # nobody may be waiting any more
        self._slots.release()  # one who waits for a slot wakes, sees that all is lost and wakes the next

    def _receive(self, packet: mqtt5.Packet, size: int) -> None:
        match packet:
            case PublishPacket():
                if not self._session._arrive(Delivery(packet, self), size):  # noqa: SLF001 - one noun in two classes
                    self._pause()
            case mqtt5.PubAckPacket():
                self._acknowledged(packet)
            case mqtt5.ConnAckPacket():
                self._let_in(packet)
            case mqtt5.SubAckPacket():
                self._answered(packet)
            case mqtt5.DisconnectPacket():
                self._disconnect_reason = f"broker disconnected us: {packet.reason_code!r} {packet.reason_str or ''}"
            case _:
                pass  # PINGRESP: it was heard, that is all

    def _let_in(self, packet: mqtt5.ConnAckPacket) -> None:
        if self.let_in.done():
            return
        if int(packet.reason_code) != 0:
            self.let_in.set_exception(PermanentError(f"broker refused the connection: {packet.reason_code!r}"))
            return
        try:
            self._session._admit(_limits(packet))  # noqa: SLF001 - one noun in two classes
        except PermanentError as error:
            self.let_in.set_exception(error)
            return
        self._slots = asyncio.Semaphore(packet.receive_max)
        self._has_subscription_ids = packet.subscription_id_available
        self._session._arrive(Connected(packet.session_present), 0)  # noqa: SLF001 - one noun in two classes
        self.let_in.set_result(packet.session_present)

    def _pause(self) -> None:
        """Do not listen until what has arrived is taken."""
        if self._transport is None:
            return
        self._is_paused = True
        self._transport.pause_reading()
        if not self.subscribed.done():
            # Only a session that is resumed has messages now. It has its subscriptions too, and the SUBACK may be
            # behind all that waits for us.
            self.subscribed.set_result(None)

    def _answered(self, packet: mqtt5.SubAckPacket) -> None:
        asked = zip(self._session._subscriptions, map(int, packet.reason_codes), strict=True)  # noqa: SLF001 - as above
        if refused := [f"{topic!r} (0x{code:02x})" for topic, code in asked if code >= 0x80]:
            error = f"broker refused the subscription to {', '.join(refused)}"
            if self.subscribed.done():
                self.abort(error)
            else:
                self.subscribed.set_exception(PermanentError(error))
        elif not self.subscribed.done():
            self.subscribed.set_result(None)

    def _acknowledged(self, packet: mqtt5.PubAckPacket) -> None:
        if (waiting := self._in_flight.pop(packet.packet_id, None)) is None:
            return
        self._slots.release()
        if not waiting.done():
            waiting.set_result(int(packet.reason_code))

    def _next_packet_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 65_535 + 1
            if self._packet_id not in self._in_flight:
                return self._packet_id


def _limits(packet: mqtt5.ConnAckPacket) -> Limits:
    return Limits(
        session_expiry_s=packet.session_expiry_interval,
        max_qos=int(packet.max_qos),
        max_packet_bytes=packet.max_packet_size,
        has_retained=packet.retain_available,
        has_wildcards=packet.wildcard_subscription_available,
    )


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _now() -> float:
    return _loop().time()
