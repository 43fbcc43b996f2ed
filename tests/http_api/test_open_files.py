import resource
import subprocess
import sys

import pytest

from http_api.open_files import RESERVED


def connections(wanted: int, soft: int, hard: int) -> list[int]:
    """What a process with these limits may have, and its soft limit then."""
    code = (
        "import resource, sys; from http_api.open_files import connections\n"
        f"print(connections({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    ).stdout
    return [int(word) for word in printed.split()]


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (256, 4096, [1000, 1000 + RESERVED]),
        (4096, 4096, [1000, 4096]),
        (256, 700, [700 - RESERVED, 700]),
        (100, 150, [1, 150]),
    ],
)
def test_the_soft_limit_is_raised_and_the_hard_one_is_kept_to(soft: int, hard: int, expected: list[int]) -> None:
    assert connections(1000, soft, hard) == expected
