"""Which keys there are now: API_KEY and API_KEY_WS from the settings, the named ones from keys.json, as it is watched.

The rule that keeps it simple: one task looks at the file twice a second; requests only look at memory.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from sensorflow import keys
from sensorflow.credentials import write_private
from sensorflow.keys import Grant, Index, Keys, KeysError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic import SecretStr

LOOK_EVERY_S = 0.5
SAY_USED_EVERY_S = 5.0
MAX_FILE_BYTES = 16 * 2**20  # 50,000 keys

_log = logging.getLogger("http_api")


class Keyring:
    """Finds what a shown key opens.

    Args:
        place: The directory of keys.json; the file may come and go.
    """

    def __init__(self, place: Path, api_key: SecretStr, api_key_ws: SecretStr) -> None:
        self._built_in = [
            (api_key.get_secret_value().encode(), Grant("API_KEY", frozenset({"write", "read"}))),
            (api_key_ws.get_secret_value().encode(), Grant("API_KEY_WS", frozenset({"live"}))),
        ]
        self._path = place / keys.FILE
        self._used_path = place / keys.USED_FILE
        self._seen: object = None
        self._index = Index(Keys())
        self._used: dict[str, float] = {}
        self._has_said_used = True
        self._has_used_file = True
        self.look()

    def find(self, shown: str) -> Grant | None:
        """What it opens now, None for nothing; how long this takes says nothing of a nearly right key."""
        text = shown.encode(errors="surrogateescape")
        now_s = time.time()
        # All are compared, in any case: that one of them fits shall not be seen sooner.
        found = [grant for key, grant in self._built_in if hmac.compare_digest(text, key)]
        grant = found[0] if found else self._index.find(shown, now_s)
        if grant is not None:
            self._used[grant.secret_id or grant.name] = now_s
            self._has_said_used = False
        return grant

    def still_grants(self, grant: Grant) -> bool:
        """Whether what was found once would be found now."""
        return not grant.secret_id or self._index.still_grants(grant, time.time())

    async def run(self, looked: Callable[[], object]) -> None:
        """Look at the file until cancelled, and call ``looked`` each time; say now and then which keys were used."""
        said_s = time.monotonic()
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                self.look()
                looked()
                if not self._has_said_used and time.monotonic() - said_s >= SAY_USED_EVERY_S:
                    said_s = time.monotonic()
                    await asyncio.to_thread(self._say_used, dict(self._used))
        finally:
            self._say_used(self._used)

    def look(self) -> None:
        """Take over what is in the file, if it is another one than the last time; a broken one changes nothing."""
        try:
            state = os.stat(self._path)  # noqa: PTH116 - Path.stat() costs three times as much, twice a second
        except FileNotFoundError:
            if self._seen is not None:
                _log.warning("%s is gone: the keys that were in it open nothing", self._path)
            self._take(None, Keys())
            return
        except OSError as error:
            self._complain(error.errno, error.strerror)
            return
        # The ctime, too: a chown or chmod makes a file readable without changing anything else of it.
        seen = (state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_size)
        if seen == self._seen:
            return
        if state.st_size > MAX_FILE_BYTES:
            self._complain(seen, f"{state.st_size} bytes, at most {MAX_FILE_BYTES}")
            return
        try:
            self._take(seen, keys.parse(self._path.read_bytes()))
        except OSError as error:
            self._complain(seen, error.strerror)
        except KeysError as error:
            self._complain(seen, error)

    def _take(self, seen: object, found: Keys) -> None:
        if seen != self._seen:
            self._index = Index(found)
        self._seen = seen

    def _complain(self, seen: object, why: object) -> None:
        """Once for each state of the file."""
        if seen != self._seen:
            _log.error("the keys stay as they were: %s: %s", self._path, why)
        self._seen = seen

    def _say_used(self, used: dict[str, float]) -> None:
        """Together with what other processes said; a key that is gone is forgotten."""
        self._has_said_used = True
        if not used:
            return
        said = self._said()
        for name, when_s in used.items():
            said[name] = max(said.get(name, ""), _rfc3339(when_s))
        known = {name: when for name, when in said.items() if name in keys.BUILT_IN or self._index.knows(name)}
        try:
            write_private(self._used_path, orjson.dumps(known, option=orjson.OPT_INDENT_2).decode(), is_durable=False)
            self._has_used_file = True
        except OSError as error:
            if self._has_used_file:
                _log.warning("when keys are used is not kept: %s: %s", self._used_path, error.strerror)
            self._has_used_file = False

    def _said(self) -> dict[str, str]:
        try:
            said = orjson.loads(self._used_path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return {name: when for name, when in said.items() if isinstance(when, str)} if isinstance(said, dict) else {}


def _rfc3339(moment_s: float) -> str:
    return datetime.fromtimestamp(int(moment_s), UTC).isoformat().replace("+00:00", "Z")
