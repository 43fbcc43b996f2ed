"""What the pipeline writes about itself has a table that no kind may have."""

from pathlib import Path

import pytest

from bridge import stats
from sensorflow.kinds import RESERVED_TABLES, load_kinds


def module(directory: Path, body: str) -> str:
    file = directory / "my_kinds.py"
    file.write_text(f"from sensorflow.kinds import Kind\nclass Mine(Kind):\n    {body}\n")
    return str(file)


@pytest.mark.parametrize(
    "body", ["table = 'pipeline_stats'; x: float", "kind = 'pipeline_stats'; table = 'mine'; x: float"]
)
def test_no_kind_and_no_table_is_called_as_the_bridges_own(tmp_path: Path, body: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"Mine: neither a kind nor a table can be called 'pipeline_stats': it is the bridge's own",
    ):
        load_kinds([module(tmp_path, body)])


def test_table_that_the_bridge_writes_about_itself_is_reserved() -> None:
    assert stats.TABLE in RESERVED_TABLES
