import json
from typing import Any, cast

import pytest

from bridge import announcer as announcer_module
from bridge.announcer import MAX_MESSAGE_BYTES, Announcer
from bridge.intake import Commit, DeadLetter
from sensorflow.errors import SensorFlowError
from sensorflow.mqtt import RefusedError, UnavailableError

PACKET_BYTES = 262_144  # the broker's max_packet_size: it disconnects who sends more


class StandIn:
    """A session that keeps what is published, or fails."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, int]] = []
        self.error: SensorFlowError | None = None

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1) -> None:
        assert len(topic) + len(payload) + 100 < PACKET_BYTES
        if self.error:
            raise self.error
        self.published.append((topic, payload, qos))


@pytest.fixture
def session() -> StandIn:
    return StandIn()


@pytest.fixture
def announcer(session: StandIn) -> Announcer:
    return Announcer(cast("Any", session))


def letter(detail: str = "detail", topic: str = "sensors/s/t", payload: bytes = b"{") -> DeadLetter:
    return DeadLetter(1_755_354_645_123_456, "bad_json", detail, topic, payload)


def commit(**parts: Any) -> Commit:
    return Commit(0, **parts)


async def test_receipts_go_out_at_once_and_live_and_dead_letters_soon(announcer: Announcer, session: StandIn) -> None:
    await announcer.announce(
        commit(
            receipts={
                "receipts/a": {"0a": [5], "0b": [{"reason": "bad_time", "detail": "x"}]},
                "receipts/b": {"0c": [6]},
            },
            frames=[b'{"a":1}', b'{"a":2}'],
            dead_letters=[letter()],
        )
    )

    assert session.published == [
        ("receipts/a", b'{"0a":[5],"0b":[{"reason":"bad_time","detail":"x"}]}', 0),
        ("receipts/b", b'{"0c":[6]}', 0),
    ]
    session.published.clear()
    await announcer.flush()
    live, (topic, mirror, qos) = session.published
    assert live == ("live", b'{"a":1}\n{"a":2}', 1)
    assert (topic, qos) == ("dead_letters/bad_json", 1)
    assert json.loads(mirror) == {
        "timestamp": "2025-08-16T14:30:45.123Z",
        "reason": "bad_json",
        "detail": "detail",
        "topic": "sensors/s/t",
        "payload": "{",
        "payload_bytes": 1,
    }


async def test_nothing_is_published_that_the_broker_would_disconnect_us_for(
    announcer: Announcer, session: StandIn
) -> None:
    frames = [b"f" * size for size in (70_000, 70_000, 5, 127_000, 1000, MAX_MESSAGE_BYTES)]
    many = {f"{number:032x}": [1_755_354_645_123_456] * 1_300 for number in range(100)}
    letters = [letter("d" * 700_000), letter(topic='"' * 60_000, payload=b"\0" * 65_536)]

    await announcer.announce(commit(receipts={"receipts/a": many}, frames=frames, dead_letters=letters))
    await announcer.flush()

    receipts: dict[str, Any] = {}
    for topic, payload, _ in session.published:
        if topic == "receipts/a":
            receipts |= json.loads(payload)
    assert receipts == many
    live = [payload for topic, payload, _ in session.published if topic == "live"]
    assert b"\n".join(live).split(b"\n") == frames
    assert announcer.dropped == 0


async def test_receipt_that_is_too_long_tells_the_reasons_without_the_words(
    announcer: Announcer, session: StandIn
) -> None:
    rejected = {"reason": "bad_reading", "field": "level", "detail": "x" * 1000}

    await announcer.announce(commit(receipts={"receipts/a": {"0a": [1, *[rejected] * 500]}}))

    (receipt,) = (json.loads(payload)["0a"] for topic, payload, _ in session.published if topic == "receipts/a")
    assert receipt == [1, *[rejected | {"detail": "the dead letter says why"}] * 500]
    assert announcer.dropped == 0


async def test_receipt_that_fits_no_message_is_dropped_alone(announcer: Announcer, session: StandIn) -> None:
    endless = [{"reason": "bad_reading", "detail": "x" * 100}] * 9_000

    await announcer.announce(commit(receipts={"receipts/a": {"0a": [1], "0b": endless, "0c": [2]}}))

    assert {key for _, payload, _ in session.published for key in json.loads(payload)} == {"0a", "0c"}
    assert announcer.dropped == 1


async def test_what_waits_is_bounded_and_the_rest_is_counted(
    announcer: Announcer, session: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer_module, "MAX_WAITING", 3)
    for _ in range(2):
        await announcer.announce(commit(frames=[b"{}", b"{}"], dead_letters=[letter()]))

    await announcer.flush()

    assert announcer.dropped == 1
    assert session.published[0] == ("live", b"{}\n{}\n{}", 1)


@pytest.mark.parametrize(
    ("error", "dropped"), [(UnavailableError("away"), 5), (RefusedError("t", 0x87), 3), (RefusedError("t", 0x10), 0)]
)
async def test_what_cannot_be_told_is_counted_unless_nobody_listens(
    announcer: Announcer, session: StandIn, error: SensorFlowError, dropped: int
) -> None:
    session.error = error

    await announcer.announce(
        commit(
            receipts={"receipts/a": {"0a": [1], "0b": [2]}} if isinstance(error, UnavailableError) else {},
            frames=[b"{}", b"{}"],
            dead_letters=[letter()],
        )
    )
    await announcer.flush()

    assert announcer.dropped == dropped


async def test_once_so_many_bytes_wait_the_next_commits_are_dropped_and_counted(
    announcer: Announcer, session: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer_module, "MAX_WAITING_BYTES", 100)

    await announcer.announce(commit(frames=[b"x" * 60], dead_letters=[letter(payload=b"{" * 60)]))
    await announcer.announce(commit(frames=[b"y"], dead_letters=[letter()]))

    assert announcer.dropped == 2
    await announcer.flush()
    await announcer.announce(commit(frames=[b"z"]))
    await announcer.flush()
    assert [payload for topic, payload, _ in session.published if topic == "live"] == [b"x" * 60, b"z"]


async def test_log_says_how_many_dead_letters_there_are_and_not_each(
    announcer: Announcer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await announcer.announce(commit(dead_letters=[letter("first"), letter("humidity: \x1b[2J")]))
    await announcer.announce(commit(dead_letters=[letter("third")]))
    monkeypatch.setattr(announcer_module, "LOG_INTERVAL_S", 0.0)
    await announcer.announce(commit(dead_letters=[letter("fourth")]))

    assert caplog.messages == [
        "dead letters: 2 more, the last on 'sensors/s/t': 'humidity: \\x1b[2J'",
        "dead letters: 2 more, the last on 'sensors/s/t': 'fourth'",
    ]
