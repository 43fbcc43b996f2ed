"""Some hundreds of random histories; ``tests/faults/histories.py`` runs ten thousand."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from bridge.fingerprints import Fingerprints
from bridge.idempotency import Answers
from bridge.timeline import Timeline
from sensorflow.mqtt import Delivery, Session, _Connection
from tests.bridge.history import Flaws, Memory, Step
from tests.bridge.shrinking import Spools, first_finding, in_loop, shrink

HISTORIES = 300
ON_A_SPOOL = 20
MOST = 3_000  # histories within which a flaw has to show


def test_nothing_that_can_happen_breaks_the_promise() -> None:
    assert in_loop(lambda: first_finding(range(HISTORIES))) is None


def test_nothing_that_can_happen_breaks_the_promise_on_a_real_spool(tmp_path: Path) -> None:
    with Spools(tmp_path) as new_spool:
        assert in_loop(lambda: first_finding(range(ON_A_SPOOL), new_spool)) is None


# --- that it would be seen -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flaws", "seen"),
    [
        (Flaws(acknowledges_before_commit=True), "acknowledged"),
        (Flaws(acknowledges_what_failed=True), ""),
        (Flaws(announces_before_commit=True), "receipt"),
    ],
    ids=str,
)
def test_bridge_that_does_not_wait_for_the_disk_is_caught(flaws: Flaws, seen: str) -> None:
    finding = in_loop(lambda: first_finding(range(MOST), flaws=flaws))

    assert finding is not None
    assert seen in finding.violation
    assert "is not on the disk" in finding.violation


def _acknowledge_on_the_newest_connection(session: Session, deliveries: Iterable[Delivery]) -> None:
    for each in deliveries:
        assert session._newest is not None
        session._newest.send(b"\x40\x02" + (each.packet_id or 0).to_bytes(2, "big"))


def _acknowledge_newest_first(
    session: Session, deliveries: Iterable[Delivery], acknowledge: Any = Session.acknowledge
) -> None:
    acknowledge(session, reversed(list(deliveries)))


@pytest.mark.parametrize(
    ("owner", "name", "wrong", "seen"),
    [
        (Session, "acknowledge", _acknowledge_on_the_newest_connection, "on a connection where it was not the next"),
        (Session, "acknowledge", _acknowledge_newest_first, "on a connection where it was not the next"),
        (Fingerprints, "__contains__", lambda *_: False, "2 rows of"),
        (_Connection, "new_subscription_id", lambda _: None, "0 rows of"),
        (_Connection, "new_subscription_id", lambda _: 1, "0 rows of"),
        (Timeline, "__init__", lambda self, *_, start=Timeline.__init__: start(self), "rows of"),
        (Memory, "fingerprints", lambda _: [], "2 rows of"),
        (Answers, "find", lambda *_: None, "must be"),
        (Memory, "answers", lambda _: [], "must be"),
    ],
    ids=[
        "acknowledges on any connection",
        "acknowledges in any order",
        "knows no redelivery",
        "no subscription identifiers",
        "the same subscription identifier",
        "forgets times at restart",
        "forgets redeliveries at restart",
        "stores a retry again",
        "forgets answers at restart",
    ],
)
def test_bridge_with_a_flaw_is_caught(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, wrong: Callable[..., Any], seen: str
) -> None:
    monkeypatch.setattr(owner, name, wrong)

    finding = in_loop(lambda: first_finding(range(MOST)))

    assert finding is not None
    assert seen in finding.violation


def test_history_that_is_found_is_short_and_can_be_lived_again() -> None:
    flaws = Flaws(acknowledges_before_commit=True)

    finding, again = in_loop(lambda: [first_finding(range(MOST), flaws=flaws) for _ in range(2)])

    assert finding is not None
    assert finding == again
    assert len(finding.steps) < 15
    assert str(finding).startswith(f"seed {finding.seed}, {len(finding.steps)} steps: message ")


def test_shrinking_keeps_what_it_fails_by() -> None:
    steps = [Step("publish", number) for number in range(100)]

    def fails(fewer: Iterable[Step]) -> bool:
        return {17, 18, 83} <= {step.by for step in fewer}

    assert [step.by for step in shrink(steps, fails)] == [17, 18, 83]
