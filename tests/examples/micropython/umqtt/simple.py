"""As micropython-lib's ``umqtt.simple`` publishes with QoS 1: MQTT 3.1.1, clean session, and a wait for the PUBACK."""

import socket
import struct


class MQTTException(Exception):  # noqa: N818 - its name there
    pass


class MQTTClient:
    def __init__(self, client_id: str, server: str, port: int, user: str, password: str) -> None:
        self._fields = b"".join(map(_field, (client_id, user, password)))
        self._address = (server, port)
        self._packet_id = 0

    def connect(self) -> None:
        self._socket = socket.create_connection(self._address, 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send(0x10, _field("MQTT") + b"\x04\xc2\x00\x00" + self._fields)
        if (answer := self._receive(4))[3] != 0:
            raise MQTTException(answer[3])

    def publish(self, topic: str, msg: str, qos: int) -> None:
        assert qos == 1
        self._packet_id += 1
        packet_id = struct.pack("!H", self._packet_id)
        self._send(0x32, _field(topic) + packet_id + msg.encode())
        assert self._receive(4) == b"\x40\x02" + packet_id

    def disconnect(self) -> None:
        self._send(0xE0, b"")
        self._socket.close()

    def _send(self, kind: int, rest: bytes) -> None:
        packet, length = bytearray([kind]), len(rest)
        while length > 0x7F:
            packet.append(length & 0x7F | 0x80)
            length >>= 7
        self._socket.sendall(bytes([*packet, length]))
        self._socket.sendall(rest)

    def _receive(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            if not (more := self._socket.recv(length - len(received))):
                raise OSError(-1)
            received += more
        return received


def _field(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()
