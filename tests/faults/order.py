"""What is on the disk before it is acknowledged, by the order of system calls: R10."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mqtt5
import orjson

from tests.e2e.system import System
from tests.faults import strace
from tests.faults.board import Board
from tests.faults.device import Device
from tests.faults.findings import look, settle
from tests.faults.judge import judge
from tests.faults.oracle import Oracle, share
from tests.faults.reading import Reading, Sensors
from tests.faults.strace import Call
from tests.faults.trial import Outcome, trial
from tests.waiting import until

MESSAGES = 1_000
BOARDS = 8
TRACED = ("bridge", "http_api")


@trial("R10", must_hold="fdatasync before PUBACK and before 201 in 1,000 of 1,000")
def every_call_is_traced(directory: Path) -> Outcome:
    system = System(directory)
    traces = {name: directory / f"{name}.strace" for name in TRACED}
    for name, file in traces.items():
        service = system._services[name]
        system._services[name] = replace(service, command=strace.traced(service.command, file))
    device = Device(system.settings.mqtt_port, "device", system.settings.mqtt_device_password.get_secret_value())
    boards = [Board(system.settings.http_port, system.key) for _ in range(BOARDS)]
    sent, posted = Sensors("sent", 10), Sensors("posted", BOARDS)
    try:
        system.start()
        system.wait_until()
        with Oracle(device, *boards) as oracle:
            oracle.offer(device, sent.make(MESSAGES // 2))
            for board, some in share(posted.make(MESSAGES // 2), boards):
                oracle.offer(board, some)
            oracle.wait()
            settle(system, messages=MESSAGES)
        findings = look(system)
        processes = {name: system._processes[name].pid for name in TRACED}
        for name in reversed(TRACED):
            system.stop(name)
            until(lambda: strace.is_complete(traces[name], processes[name]))  # noqa: B023 - used at once
    finally:
        system.stop_all()
    port = system.settings.mqtt_port
    bridge = Trace(strace.calls(traces["bridge"].open()), port)
    http_api = Trace(strace.calls(traces["http_api"].open()), port)
    found = judge(sent.made + posted.made, findings.rows + findings.buried)
    pubacks, receipts = list(early_pubacks(bridge)), list(early_receipts(bridge))
    answers = list(early_answers(bridge, http_api, posted.made))
    violations = sum(pubacks) + sum(receipts) + sum(answers)
    return Outcome(
        injected="nothing; every system call of bridge and http_api was traced",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=(
            f"{violations} early among {len(pubacks)} PUBACKs, {len(receipts)} receipts and {len(answers)} x 201; "
            f"{len(bridge.syncs)} fdatasyncs"
        ),
        holds=found.holds
        and violations == 0
        and (len(pubacks), len(receipts), len(answers)) == (MESSAGES, MESSAGES // 2, MESSAGES // 2),
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """One MQTT packet on its way, and the calls that moved its first and its last byte."""

    packet: mqtt5.Packet
    first: Call
    last: Call


class Trace:
    """What one process did with its one connection to the broker, with its write-ahead log, and for boards."""

    def __init__(self, calls: Iterable[Call], broker_port: int) -> None:
        self.calls = list(calls)
        self.syncs = [call for call in self.calls if call.is_sync and call.target.endswith("/spool.db-wal")]
        mqtt = [call for call in self.calls if call.target.endswith(f"->127.0.0.1:{broker_port}]")]
        assert len({call.target for call in mqtt}) == 1, "packet ids of two connections would be mixed up"
        self.arrived = list(packets(call for call in mqtt if call.is_in))
        self.sent = list(packets(call for call in mqtt if call.is_out))

    def has_synced(self, arrival: Call, *, before: int) -> bool:
        """Whether the log went to the disk after that arrival and before that place in the trace."""
        return any(arrival.ended < sync.began and sync.ended < before for sync in self.syncs)

    def synced_s(self, arrival: Call) -> float:
        """When the log was first on the disk after that arrival, in seconds since the epoch."""
        return next((sync.ended_s for sync in self.syncs if arrival.ended < sync.began), float("inf"))


def packets(calls: Iterable[Call]) -> Iterator[Moved]:
    """The packets of one direction of a connection."""
    stream, bounds = bytearray(), list[tuple[int, Call]]()
    for call in calls:
        stream += call.moved
        bounds.append((len(stream), call))
    view = memoryview(bytes(stream))
    offset, place = 0, 0
    while offset < len(view):
        packet, used = mqtt5.read(view[offset:])
        while bounds[place][0] <= offset:
            place += 1
        first, offset = bounds[place][1], offset + used
        while bounds[place][0] < offset:
            place += 1
        yield Moved(packet, first, bounds[place][1])


def publishes(moved: Iterable[Moved], prefix: str) -> Iterator[tuple[mqtt5.PublishPacket, Moved]]:
    """Those packets that are messages on topics with this prefix."""
    for each in moved:
        if isinstance(each.packet, mqtt5.PublishPacket) and each.packet.topic.startswith(prefix):
            yield each.packet, each


def early_pubacks(bridge: Trace) -> Iterator[bool]:
    """For each PUBACK of the bridge, whether it went out before the log was on the disk."""
    arrivals = {packet.packet_id: moved.last for packet, moved in publishes(bridge.arrived, "sensors/")}
    for each in bridge.sent:
        if isinstance(each.packet, mqtt5.PubAckPacket):
            yield not bridge.has_synced(arrivals[each.packet.packet_id], before=each.first.began)


def early_receipts(bridge: Trace) -> Iterator[bool]:
    """For each receipt, whether it went out before the log was on the disk."""
    arrivals = arrivals_by_correlation(bridge)
    for packet, moved in publishes(bridge.sent, "receipts/"):
        for correlation in orjson.loads(packet.payload):
            yield not bridge.has_synced(arrivals[correlation], before=moved.first.began)


def early_answers(bridge: Trace, http_api: Trace, readings: Iterable[Reading]) -> Iterator[bool]:
    """For each 201, whether http_api gave it before it had the receipt, or before the bridge's log was on the disk."""
    arrivals = arrivals_by_correlation(bridge)
    correlations = {bytes(packet.payload): correlation(packet) for packet, _ in publishes(http_api.sent, "sensors/")}
    receipts = {
        each: moved.last
        for packet, moved in publishes(http_api.arrived, "receipts/")
        for each in orjson.loads(packet.payload)
    }
    answers = answers_by_body(http_api.calls)
    for reading in readings:
        answer = answers.get(reading.payload(sensor_id=reading.sensor_id))
        if answer is not None:
            name = correlations[reading.payload(sensor_id=reading.sensor_id)]
            is_told = name in receipts and receipts[name].ended < answer.began
            yield not is_told or bridge.synced_s(arrivals[name]) > answer.began_s


def arrivals_by_correlation(bridge: Trace) -> dict[str, Call]:
    """Which call brought the bridge the message of each POST."""
    return {
        correlation(packet): moved.last
        for packet, moved in publishes(bridge.arrived, "sensors/")
        if packet.correlation_data
    }


def correlation(packet: mqtt5.PublishPacket) -> str:
    return (packet.correlation_data or b"").decode()


def answers_by_body(calls: Iterable[Call]) -> dict[bytes, Call]:
    """By a request's body, the call that began its answer, where that is a 201. A board asks one thing at a time."""
    asked: dict[str, bytes] = {}
    answers: dict[bytes, Call] = {}
    for call in calls:
        if call.is_in:
            asked[call.target] = asked.get(call.target, b"") + call.moved
        elif call.moved.startswith(b"HTTP/1.1 "):
            body = asked.pop(call.target, b"").partition(b"\r\n\r\n")[2]
            if call.moved.startswith(b"HTTP/1.1 201 "):
                answers[body] = call
    return answers
