"""Acknowledgements that come too late for their connection: R11.

A lock on the spool holds the bridge between receiving and COMMIT for as long as it takes to cut the connection and to
let it have another. Every other time the session is reset meanwhile, so that packet ids start again at 1: a PUBACK that
is late then confirms a message which nobody has stored.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mqtt5
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from sensorflow.settings import BridgeSettings, read
from tests.e2e.system import System
from tests.faults.device import Device
from tests.faults.findings import counters, look, settle, spool_of
from tests.faults.judge import judge
from tests.faults.oracle import Oracle
from tests.faults.reading import Sensors
from tests.faults.trial import Outcome, trial
from tests.proxy import Proxy
from tests.waiting import until

CUTS = 4  # a bridge that is cut off again soon waits twice as long each time
MESSAGES = 250  # of each connection


@trial("R11", must_hold="0 PUBACKs from an old epoch, 0 lost")
def connection_is_cut_between_commit_and_puback(directory: Path) -> Outcome:
    return asyncio.run(cut_again_and_again(directory))


async def cut_again_and_again(directory: Path) -> Outcome:
    """The proxy lives on the event loop, all that blocks in a thread."""
    system = System(directory)
    try:
        async with Proxy(system.settings.mqtt_port) as proxy:
            system._more["MQTT_PORT"] = str(proxy.port)
            return await asyncio.to_thread(Cuts(system, proxy, asyncio.get_running_loop()).run)
    finally:
        await asyncio.to_thread(system.stop_all)


class Cuts:
    """One system whose bridge reaches the broker through the proxy alone."""

    def __init__(self, system: System, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._system, self._proxy, self._loop = system, proxy, loop
        self._sensors = Sensors("numbered", 10)
        self._device = Device(
            system.settings.mqtt_port, "device", system.settings.mqtt_device_password.get_secret_value()
        )

    def run(self) -> Outcome:
        self._system.start("mosquitto", "store", "bridge")
        until(lambda: self._is_subscribed)
        with Oracle(self._device) as oracle:
            for number in range(CUTS):
                with held(self._system):
                    self._deliver(oracle)
                    self._cut(resets_session=number % 2 == 0)
                    self._deliver(oracle)
                settle(self._system, messages=len(self._sensors.made))
                until(lambda: not deliveries(last(self._proxy.received)) - pubacks(last(self._proxy.sent)))
        findings = look(self._system)
        found = judge(self._sensors.made, findings.rows + findings.buried)
        acknowledged = [pubacks(stream) for stream in self._proxy.sent]
        delivered = [deliveries(stream) for stream in self._proxy.received]
        stale = sum((acks - those).total() for acks, those in zip(acknowledged, delivered, strict=True))
        return Outcome(
            injected=f"{CUTS} cuts between COMMIT and PUBACK, the session reset at {CUTS // 2} of them",
            offered=found.offered,
            accepted=found.accepted,
            lost=found.lost,
            duplicated=found.duplicated,
            measured=(
                f"{stale} stale PUBACKs of {sum(acks.total() for acks in acknowledged)}; "
                f"{counters(self._system).get('duplicates', 0)} redeliveries known again; {found.words()}"
            ),
            holds=found.holds and findings.is_conserved and stale == 0,
        )

    @property
    def _is_subscribed(self) -> bool:
        return any(isinstance(packet, mqtt5.SubAckPacket) for packet in packets(last(self._proxy.received)))

    def _deliver(self, oracle: Oracle) -> None:
        """Have the bridge receive readings that it cannot commit yet; all of them, since a reset loses what waits."""
        before = deliveries(last(self._proxy.received)).total()
        oracle.offer(self._device, self._sensors.make(MESSAGES))
        oracle.wait()
        until(lambda: deliveries(last(self._proxy.received)).total() >= before + MESSAGES)

    def _cut(self, *, resets_session: bool) -> None:
        """End the bridge's connection, and return when it has another."""
        connections = len(self._proxy.received)
        self._loop.call_soon_threadsafe(self._proxy.stall)
        self._loop.call_soon_threadsafe(self._proxy.cut)
        until(lambda: len(self._proxy.received) > connections)  # the bridge is back, and stalled
        if resets_session:
            reset_session(self._system)
        self._loop.call_soon_threadsafe(self._proxy.flow)
        until(lambda: self._is_subscribed)


@contextmanager
def held(system: System) -> Iterator[None]:
    """Nothing is committed to the spool; the bridge waits up to 10 s for it."""
    path = spool_of(system) / "spool.db"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


def reset_session(system: System) -> None:
    """Do what only the bridge's own user can: start its session anew."""
    password = system.settings.mqtt_password_bridge
    bridge = read(BridgeSettings, mqtt_password=password.get_secret_value(), influx_token="a token it needs not")
    client = paho.Client(CallbackAPIVersion.VERSION2, bridge.stable_client_id, protocol=paho.MQTTv5)
    client.username_pw_set("bridge", password.get_secret_value())
    client.connect("127.0.0.1", system.settings.mqtt_port, clean_start=True)
    client.loop_start()
    until(client.is_connected)
    client.disconnect()
    client.loop_stop()


def packets(stream: bytearray) -> Iterator[mqtt5.Packet]:
    """The packets that have come whole."""
    view = memoryview(bytes(stream))
    offset = 0
    while offset < len(view):
        try:
            packet, used = mqtt5.read(view[offset:])
        except IndexError:  # the codec's word for: more bytes are needed
            return
        offset += used
        yield packet


def last(streams: list[bytearray]) -> bytearray:
    """The newest connection's; empty before the first."""
    return streams[-1] if streams else bytearray()


def deliveries(stream: bytearray) -> Counter[int]:
    """How often each packet id was delivered with QoS 1."""
    return Counter(
        packet.packet_id for packet in packets(stream) if isinstance(packet, mqtt5.PublishPacket) and packet.packet_id
    )


def pubacks(stream: bytearray) -> Counter[int]:
    """How often each packet id was acknowledged."""
    return Counter(packet.packet_id for packet in packets(stream) if isinstance(packet, mqtt5.PubAckPacket))
