"""The directory of Flight's socket, in a temporary directory of the test's own with a short path."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.errors import StartError
from store.flight_socket import flight_socket
from tests.store.store_process import StoreProcess


@pytest.fixture
def tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:  # tmp_path must not be made in it
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("TMPDIR", directory)
        monkeypatch.setattr(tempfile, "tempdir", None)  # else it remembers the other one
        yield Path(directory)


def test_after_a_crash_the_next_start_takes_the_directory_over(tmp: Path, tmp_path: Path) -> None:
    store = StoreProcess(tmp_path).start()
    store.kill()
    left = list(tmp.iterdir())

    store.start()
    with store.client() as client:
        answer = client.query("SELECT 1 AS one")

    assert answer.to_pylist() == [{"one": 1}]
    assert list(tmp.iterdir()) == left
    assert len(left) == 1
    assert left[0].stat().st_mode & 0o777 == 0o700
    store.stop()
    assert list(tmp.iterdir()) == []


def test_two_stores_have_a_directory_each(tmp: Path, tmp_path: Path) -> None:
    with flight_socket(tmp_path / "a") as one, flight_socket(tmp_path / "b") as other:
        assert one.parent != other.parent


@pytest.mark.parametrize("trap", ["symlink", "open to all"])
def test_directory_that_is_not_ours_ends_the_start(tmp: Path, tmp_path: Path, trap: str) -> None:
    with flight_socket(tmp_path) as path:
        directory = path.parent
    if trap == "symlink":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        directory.symlink_to(tmp_path / "elsewhere")
    else:
        directory.mkdir()
        directory.chmod(0o777)

    with pytest.raises(StartError, match=f"{directory} must be a directory of user"), flight_socket(tmp_path):
        pass
