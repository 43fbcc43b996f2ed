"""Where Flight's unix socket lies: a private directory whose name follows from the data's.

So a store that was killed leaves one directory at most, and the next start on the same data takes it over. It is not in
the data directory because a unix socket's path may have about 100 bytes.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from store.errors import StartError


@contextmanager
def flight_socket(data_dir: Path) -> Iterator[Path]:
    """Give a path where no socket is yet; for the one process that holds the lock of ``data_dir``.

    Raises:
        StartError: Somebody else has made the directory, or others may look into it.
    """
    directory = _directory(data_dir)
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StartError(f"{directory} must be a directory of user {os.getuid()}, with mode 0700: remove it")
    path = directory / "flight"
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):  # what lies in /tmp is swept away at times
            path.unlink(missing_ok=True)
            directory.rmdir()


def _directory(data_dir: Path) -> Path:
    name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"sensorflow-store-{os.getuid()}-{name}"
