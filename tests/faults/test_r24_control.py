"""R24 sees what it looks for: against a broker without our protection the same intruder does damage in every way."""

from pathlib import Path

import pytest

from tests.faults.intrusion import MESSAGES, intrude_with_a_user_of_its_own

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_settings")]


def test_intruder_does_all_that_r24_counts_where_the_broker_does_not_protect(tmp_path: Path) -> None:
    damage, found = intrude_with_a_user_of_its_own(tmp_path / "disarmed", is_protected=False)

    assert damage.published
    assert damage.read >= MESSAGES
    assert damage.stolen
    assert damage.thrown_out
    assert found.lost >= MESSAGES  # all that waited for the bridge
    assert found.foreign  # rows in another's name
