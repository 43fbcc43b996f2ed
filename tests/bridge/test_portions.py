"""What arrived at once is committed in parts that no disk is too small for."""

from bridge import service
from bridge.service import portions
from sensorflow.mqtt import Connected, Event
from tests.bridge.deliveries import delivery


def test_much_at_once_is_taken_in_parts_and_in_order() -> None:
    payload = bytes(service.MAX_COMMIT_BYTES // 4)
    events: list[Event] = [
        Connected(session_present=True),
        *(delivery(payload, packet_id=number) for number in range(1, 11)),
    ]

    parts = list(portions(events))

    assert [len(part) for part in parts] == [5, 4, 2]
    assert [event for part in parts for event in part] == events


def test_little_is_one_part_and_nothing_is_none() -> None:
    events: list[Event] = [delivery(packet_id=1), delivery(packet_id=2)]

    assert list(portions(events)) == [events]
    assert list(portions([])) == []
