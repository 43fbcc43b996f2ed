"""A device that tries what it may not: MQTT 5 over a blocking socket, byte by byte as it wants it."""

import contextlib
import socket
from typing import Self, TypeVar

import mqtt5

TIMEOUT_S = 5.0
NOT_AUTHORIZED = 0x87
DISCONNECTED = -1

Packet = TypeVar("Packet")


class Intruder:
    """One connection. It acknowledges whatever it is given, so that it is given more.

    The session ends with it, so that no session which it finds later is its own.

    Args:
        connack: The broker's reason code; ``DISCONNECTED`` where it said nothing.
        has_session: Whether the broker gave it a session that was there.
        received: The messages that reached it.
    """

    def __init__(
        self,
        port: int,
        username: str,
        password: str,
        client_id: str,
        *,
        clean_start: bool = True,
        will: mqtt5.Will | None = None,
    ) -> None:
        self.received: list[mqtt5.PublishPacket] = []
        self._rest = b""
        self._packet_id = 0
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        connect = mqtt5.ConnectPacket(
            client_id,
            username=username,
            password=password.encode(),
            clean_start=clean_start,
            receive_max=65_535,
            will=will,
        )
        answer = self._ask(connect.write(), mqtt5.ConnAckPacket)
        self.connack = DISCONNECTED if answer is None else int(answer.reason_code)
        self.has_session = answer is not None and answer.session_present

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """With QoS 1; the PUBACK's reason code."""
        packet = mqtt5.PublishPacket(
            topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=self._next_packet_id(), retain=retain
        )
        answer = self._ask(packet.write(), mqtt5.PubAckPacket)
        return DISCONNECTED if answer is None else int(answer.reason_code)

    def subscribe(self, topic_filter: str) -> int:
        """With QoS 1; the SUBACK's reason code."""
        packet = mqtt5.SubscribePacket(
            self._next_packet_id(), [mqtt5.TopicFilter(topic_filter, max_qos=mqtt5.QoS.AT_LEAST_ONCE)]
        )
        answer = self._ask(packet.write(), mqtt5.SubAckPacket)
        return DISCONNECTED if answer is None else int(answer.reason_codes[0])

    def wait(self) -> None:
        """Until all that the broker has for it by now has come."""
        self._ask(mqtt5.PingReqPacket().write(), mqtt5.PingRespPacket)

    def drop(self) -> None:
        """Break off without a word: the broker publishes the last will."""
        self._socket.close()

    def leave(self) -> None:
        """Say DISCONNECT."""
        with contextlib.suppress(OSError):
            self._socket.sendall(mqtt5.DisconnectPacket().write())
        self._socket.close()

    def _next_packet_id(self) -> int:
        self._packet_id += 1
        return self._packet_id

    def _ask(self, question: bytes, kind: type[Packet]) -> Packet | None:
        """The next packet of this kind; None when the broker ends the connection."""
        try:
            self._socket.sendall(question)
            while True:
                for packet in self._packets():
                    if isinstance(packet, mqtt5.PublishPacket):
                        self._take(packet)
                    elif isinstance(packet, kind):
                        return packet
                if not (more := self._socket.recv(65_536)):
                    return None
                self._rest += more
        except ConnectionError:
            return None

    def _packets(self) -> list[mqtt5.Packet]:
        packets = []
        with contextlib.suppress(IndexError):  # the codec's word for: more bytes are needed
            while self._rest:
                packet, used = mqtt5.read(memoryview(self._rest))
                self._rest = self._rest[used:]
                packets.append(packet)
        return packets

    def _take(self, packet: mqtt5.PublishPacket) -> None:
        self.received.append(packet)
        if packet.packet_id:
            self._socket.sendall(mqtt5.PubAckPacket(packet.packet_id).write())
