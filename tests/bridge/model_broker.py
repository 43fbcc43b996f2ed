"""As much of an MQTT 5 broker as matters to a bridge, without I/O: its packets are bytes, its faults are methods.

Packet ids in sequence, redelivery in order with DUP and the id that a message had (MQTT 5, 4.4), in flight at most what
the client allows; and the two things that a broker can do to us: forget a session, and fall back to an earlier one.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import mqtt5
from mqtt5 import PublishPacket, QoS, RetainHandling

if TYPE_CHECKING:
    from collections.abc import Callable


class BrokenPromiseError(AssertionError):
    """What the bridge must never do, done."""


@dataclass(eq=False, slots=True)
class Message:
    """What a device published once; its number travels as ``client_ip``, which no fingerprint covers.

    Args:
        series: Of its rows.
        fields: Of each of its rows.
        readings: How many good readings the payload holds.
        bad: How many others.
        time_us: That of the one good reading, where the device sent one.
    """

    number: int
    topic: str
    payload: bytes
    series: str
    fields: str
    readings: int = 1
    bad: int = 0
    time_us: int | None = None
    retain: bool = False
    wants_receipt: bool = False
    request: int | None = None
    """Number of the first message under its Idempotency-Key, where it has one."""
    was_sent: bool = False
    repeats: int = 0
    """How often the broker has fallen back to before it had sent it: each time it sends it as new."""
    is_at_risk: bool = False
    """It came between a fall-back and the next subscription: see ``Broker.fall_back``."""

    def packet(self, packet_id: int, subscription_id: int | None, *, duplicate: bool) -> bytes:
        """As it goes over the wire."""
        mark = b"%x" % self.number
        properties = [("client_ip", f"{self.number:04x}")]
        if self.request is not None:
            properties.append(("idempotency", f"{self.request:032x}.{0:032x}.0"))
        return PublishPacket(
            self.topic,
            self.payload,
            qos=QoS.AT_LEAST_ONCE,
            packet_id=packet_id,
            duplicate=duplicate,
            subscription_ids=[subscription_id] if subscription_id else None,
            response_topic="receipts/http_api-1" if self.wants_receipt else None,
            correlation_data=mark if self.wants_receipt else None,
            user_properties=properties,
        ).write()


_Held = tuple[Message, int | None]
"""A message, and the identifier of the subscription by which it came into the session."""


@dataclass(slots=True)
class _Session:
    is_subscribed: bool = False
    has_fallen_back: bool = False
    subscription_id: int | None = None
    queue: deque[_Held] = field(default_factory=deque)
    in_flight: dict[int, _Held] = field(default_factory=dict)
    last_id: int = 0

    def saved(self) -> _Session:
        same = copy(self)
        same.queue, same.in_flight = self.queue.copy(), self.in_flight.copy()
        return same

    def messages(self) -> set[Message]:
        return {message for message, _ in (*self.queue, *self.in_flight.values())}


class Link:
    """One TCP connection, seen by the broker: packets under way in both directions."""

    def __init__(self) -> None:
        self.to_broker: deque[bytes] = deque()
        self.to_client: deque[bytes] = deque()
        self.is_let_in = False
        self.unacknowledged: deque[int] = deque()
        """Packet ids sent here, in order: the only ones that may be acknowledged here, and in no other order."""
        self.sent: list[Message] = []


class Broker:
    """One broker with one subscriber.

    Args:
        last_packet_id: After it comes 1 again; 65,535 in MQTT.
        is_leaky: Each acknowledgement lets more in flight than the client allows, as in Mosquitto 2.0.11.
        on_acknowledged: Called with each message that the subscriber acknowledged.
    """

    def __init__(self, *, last_packet_id: int, is_leaky: bool, on_acknowledged: Callable[[Message], None]) -> None:
        self._last_packet_id = last_packet_id
        self._is_leaky = is_leaky
        self._on_acknowledged = on_acknowledged
        self._session: _Session | None = None
        self._saved: _Session | None = None
        self._retained: dict[str, Message] = {}
        self._quota = 0
        self.link: Link | None = None
        self.lost: set[Message] = set()

    @property
    def held(self) -> set[Message]:
        """What the subscriber has not acknowledged yet."""
        return self._session.messages() if self._session else set()

    def publish(self, message: Message) -> bool:
        """A device's PUBLISH; False is PUBACK 0x10, nobody is subscribed."""
        if message.retain:
            self._retained[message.topic] = message
        if self._session is None or not self._session.is_subscribed:
            return False
        message.is_at_risk = self._session.has_fallen_back
        self._session.queue.append((message, self._session.subscription_id))
        self._pump()
        return True

    def hear(self, count: int) -> None:
        """Act on so many packets of the subscriber."""
        for _ in range(count):
            if self.link is None or not self.link.to_broker:
                return
            packet, _ = mqtt5.read(memoryview(self.link.to_broker.popleft()))
            match packet:
                case mqtt5.ConnectPacket():
                    self._let_in(self.link, packet)
                case mqtt5.SubscribePacket():
                    self._subscribe(self.link, packet)
                case mqtt5.PubAckPacket():
                    self._acknowledge(self.link, packet.packet_id)

    def cut(self) -> None:
        """The connection is lost, with all that was under way on it."""
        self.link = None

    def save(self) -> None:
        """Write the session to the disk, as Mosquitto does now and then."""
        self._saved = self._session.saved() if self._session else None

    def fall_back(self) -> None:
        """Die and start again with what was saved: packet ids that were given since are given again.

        What arrives before the subscriber is back comes by the old subscription, perhaps under an id that an equal
        message had before the fall: nobody can then tell a redelivery of the one from one of the other.
        """
        before = self.held
        self._session = self._saved.saved() if self._saved else None
        if self._session:
            self._session.has_fallen_back = True
            for message, _ in self._session.queue:
                message.repeats += message.was_sent
        self.lost |= before - self.held
        self.lost -= self.held
        self.cut()

    def forget(self) -> None:
        """Lose the session for good, by its expiry or an operator's hand."""
        self.lost |= self.held
        self._session = self._saved = None
        self.cut()

    def _let_in(self, link: Link, packet: mqtt5.ConnectPacket) -> None:
        is_present = self._session is not None and not packet.clean_start
        if self._session is None or not is_present:
            self.lost |= self.held
            self._session = _Session()
        link.is_let_in = True
        self._quota = packet.receive_max
        link.to_client.append(mqtt5.ConnAckPacket(session_present=is_present).write())
        for packet_id, held in self._session.in_flight.items():
            self._send(link, packet_id, held, duplicate=True)
        self._pump()

    def _subscribe(self, link: Link, packet: mqtt5.SubscribePacket) -> None:
        assert self._session is not None
        self._session.is_subscribed = True
        self._session.has_fallen_back = False
        self._session.subscription_id = packet.subscription_id
        codes = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE] * len(packet.topic_filters)
        link.to_client.append(mqtt5.SubAckPacket(packet.packet_id, codes).write())
        if packet.topic_filters[0].retain_handling != RetainHandling.SEND_NEVER:
            self._session.queue += [(message, packet.subscription_id) for message in self._retained.values()]
        self._pump()

    def _acknowledge(self, link: Link, packet_id: int) -> None:
        if not link.unacknowledged or link.unacknowledged.popleft() != packet_id:
            raise BrokenPromiseError(f"PUBACK {packet_id} on a connection where it was not the next")
        assert self._session is not None
        message, _ = self._session.in_flight.pop(packet_id)
        self._on_acknowledged(message)
        if self._is_leaky:
            self._quota += 2
        self._pump()

    def _pump(self) -> None:
        """Send what the client's receive maximum lets through."""
        session, link = self._session, self.link
        if session is None or link is None or not link.is_let_in:
            return
        while session.queue and len(session.in_flight) < self._quota:
            held = session.queue.popleft()
            session.last_id = session.last_id % self._last_packet_id + 1
            assert session.last_id not in session.in_flight
            session.in_flight[session.last_id] = held
            held[0].was_sent = True
            self._send(link, session.last_id, held, duplicate=False)

    @staticmethod
    def _send(link: Link, packet_id: int, held: _Held, *, duplicate: bool) -> None:
        message, subscription_id = held
        link.unacknowledged.append(packet_id)
        link.sent.append(message)
        link.to_client.append(message.packet(packet_id, subscription_id, duplicate=duplicate))
