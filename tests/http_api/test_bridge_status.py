import orjson
import pytest

from http_api.bridge_status import STALE_AFTER_S, BridgeStatus


def heard(**status: object) -> BridgeStatus:
    bridge = BridgeStatus()
    bridge.hear(orjson.dumps(status), now_s=100.0)
    return bridge


def test_a_bridge_that_was_never_heard_is_inactive_and_not_full() -> None:
    bridge = BridgeStatus()

    assert (bridge.is_active(0.0), bridge.is_full, bridge.spool) == (False, False, {})


def test_a_bridge_is_active_while_it_says_so() -> None:
    bridge = heard(state="running")

    assert bridge.is_active(100.0 + STALE_AFTER_S)
    assert not bridge.is_active(100.1 + STALE_AFTER_S)


@pytest.mark.parametrize("state", ["stopped", "gone"])
def test_a_bridge_that_left_is_inactive(state: str) -> None:
    assert not heard(state=state).is_active(100.0)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_is_no_status_changes_nothing(payload: bytes) -> None:
    bridge = heard(state="running")

    bridge.hear(payload, now_s=1000.0)

    assert bridge.is_active(100.0)
    assert not bridge.is_active(1000.0)


@pytest.mark.parametrize(
    ("status", "is_behind"),
    [
        ({}, False),
        ({"store": "connected", "spool": {"readings": 5, "oldest_s": 0.1}}, False),
        ({"store": "connected", "spool": {"readings": 0, "oldest_s": None}}, False),
        ({"store": "connected", "spool": {"readings": 5, "oldest_s": 2.5}}, True),
        ({"store": "disconnected", "spool": {"readings": 0}}, True),
        ({"spool": "full of rubbish"}, False),
    ],
)
def test_the_store_is_behind_when_readings_have_waited(status: dict[str, object], *, is_behind: bool) -> None:
    assert heard(state="running", **status).is_behind is is_behind
