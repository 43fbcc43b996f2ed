"""Negative controls: a trial that cannot fail shows nothing."""

from pathlib import Path

import pytest

from tests.faults.kills import kill_bridge
from tests.faults.trial import Outcome
from tests.faults.workers import lost_by_taking_out

KILLS = 8
MESSAGES = 8_000
BUSY_S = 0.2  # some commits of the variants, so that a kill may find one at any point

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_settings")]


def kill(directory: Path, order: str) -> Outcome:
    return kill_bridge(directory, kills=KILLS, messages=MESSAGES, most_s=10, busy_s=BUSY_S, bridge=order)


def test_r1_holds_where_the_bridge_acknowledges_after_the_commit(tmp_path: Path) -> None:
    outcome = kill(tmp_path, "right")

    assert outcome.holds, outcome
    assert outcome.offered == outcome.accepted


def test_r1_fails_where_the_bridge_acknowledges_before_the_commit(tmp_path: Path) -> None:
    outcome = kill(tmp_path, "wrong")

    assert not outcome.holds, outcome
    assert outcome.lost > 0, outcome


def test_r26_finds_what_is_stranded_where_workers_are_ended_as_for_a_restart(tmp_path: Path) -> None:
    lost, left = lost_by_taking_out(tmp_path, ending="undrained")

    assert lost > 0
    assert left.sessions == 2
