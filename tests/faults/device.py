"""A device that speaks MQTT 5 with QoS 1 as fast as it can, on the codec alone: none of the code under test."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import cast

import mqtt5

from tests.faults.reading import Reading

ACCEPTED = "0x00"
RECONNECT_S = 0.02


class Device:
    """Sends readings in the order in which they were offered, and after a reconnect first those without a PUBACK.

    Args:
        in_flight: At most so many are sent and not acknowledged.
        refused: Counts PUBACKs by reason code, but for 0x00; such a reading is sent again, after the others.
    """

    def __init__(self, port: int, username: str, password: str, *, in_flight: int = 500, retain: bool = False) -> None:
        self.refused: dict[str, int] = {}
        self.reconnects = 0
        self._port, self._username, self._password = port, username, password
        self._most_in_flight = in_flight
        self._retain = retain
        self._waiting: deque[Reading] = deque()
        self._in_flight: dict[int, Reading] = {}
        self._packet_id = 0
        self._wire: _Wire | None = None

    def offer(self, readings: Iterable[Reading]) -> None:
        """Send these as soon as there is room. Not bounded: what is offered is what the trial has made."""
        self._waiting.extend(readings)
        self._fill()

    @property
    def is_idle(self) -> bool:
        """Whether all that was offered is acknowledged."""
        return not self._waiting and not self._in_flight

    async def run(self) -> None:
        """Stay connected, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            wire = _Wire(self)
            try:
                await loop.create_connection(lambda: wire, "127.0.0.1", self._port)  # noqa: B023 - used at once
                await wire.lost
            except OSError:
                pass
            finally:
                wire.abort()
            self.reconnects += 1
            await asyncio.sleep(RECONNECT_S)

    def connected(self, wire: "_Wire") -> None:
        """The broker has let us in: what it had not acknowledged goes first, in order."""
        self._wire = wire
        unanswered, self._in_flight = self._in_flight, {}
        self._waiting.extendleft(reversed(unanswered.values()))
        self._fill()

    def disconnected(self) -> None:
        """Wait with all that follows."""
        self._wire = None

    def acknowledged(self, pubacks: Iterable[mqtt5.PubAckPacket]) -> None:
        """Note the answers and send as many more."""
        for puback in pubacks:
            reading = self._in_flight.pop(puback.packet_id, None)
            if reading is None:
                continue
            code = f"0x{int(puback.reason_code):02x}"
            if code == ACCEPTED:
                reading.answer = code
            else:
                self.refused[code] = self.refused.get(code, 0) + 1
                self._waiting.append(reading)
        self._fill()

    def connect_packet(self) -> bytes:
        """With a session that ends with the connection: the device keeps its own books."""
        return mqtt5.ConnectPacket(
            f"oracle-{id(self):x}", username=self._username, password=self._password.encode(), keep_alive=60
        ).write()

    def _fill(self) -> None:
        if self._wire is None:
            return
        packets = []
        while self._waiting and len(self._in_flight) < min(self._most_in_flight, self._wire.receive_maximum):
            reading = self._waiting.popleft()
            packet_id = self._next_packet_id()
            self._in_flight[packet_id] = reading
            reading.sent += 1
            packet = mqtt5.PublishPacket(
                reading.topic,
                reading.payload(),
                qos=mqtt5.QoS.AT_LEAST_ONCE,
                packet_id=packet_id,
                retain=self._retain,
            )
            packets.append(packet.write())
        if packets:
            self._wire.send(b"".join(packets))

    def _next_packet_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 65_535 + 1
            if self._packet_id not in self._in_flight:
                return self._packet_id


class _Wire(asyncio.Protocol):
    """One TCP connection of a device."""

    def __init__(self, device: Device) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.receive_maximum = 0
        self._device = device
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def send(self, packets: bytes) -> None:
        if self._transport is not None:
            self._transport.write(packets)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.send(self._device.connect_packet())

    def data_received(self, data: bytes) -> None:
        view = memoryview(self._rest + data)
        offset = 0
        pubacks: list[mqtt5.PubAckPacket] = []
        try:
            while offset < len(view):
                packet, used = mqtt5.read(view[offset:])
                offset += used
                if isinstance(packet, mqtt5.PubAckPacket):
                    pubacks.append(packet)
                elif isinstance(packet, mqtt5.ConnAckPacket):
                    self._let_in(packet)
        except IndexError:  # the codec's word for: more bytes are needed
            pass
        self._rest = bytes(view[offset:])
        self._device.acknowledged(pubacks)

    def _let_in(self, packet: mqtt5.ConnAckPacket) -> None:
        if int(packet.reason_code) != 0:
            raise AssertionError(f"the broker does not let the oracle in: {packet.reason_code!r}")
        self.receive_maximum = packet.receive_max
        self._device.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._device.disconnected()
        if not self.lost.done():
            self.lost.set_result(None)
