import os
import sys
from pathlib import Path

import psutil
import pytest

from bridge.footprint import footprint


def test_it_is_what_the_system_says_of_this_process(tmp_path: Path) -> None:
    process = psutil.Process(os.getpid())
    with (tmp_path / "one").open("w"):
        found = footprint()

        if sys.platform == "linux":
            assert found["memory_bytes"] == pytest.approx(process.memory_info().rss, rel=0.05)
            assert found["open_files"] == process.num_fds() - 1  # psutil counts the one that looks
        assert found["cpu_s"] == pytest.approx(sum(process.cpu_times()[:2]), abs=1)
