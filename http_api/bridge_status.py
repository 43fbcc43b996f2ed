"""What the bridge last said about itself. Pure: the caller says what time it is."""

from __future__ import annotations

from typing import Any

import orjson

STALE_AFTER_S = 15.0  # three heartbeats
BEHIND_AFTER_S = 2.0


class BridgeStatus:
    """The retained ``status/bridge``. Before the first one the bridge counts as inactive."""

    def __init__(self) -> None:
        self._status: dict[str, Any] = {}
        self._has_broker_kept_one = False
        self._heard_s = float("-inf")

    def hear(self, payload: bytes, now_s: float) -> None:
        """Take one status; what is not a JSON object counts as silence."""
        try:
            status = orjson.loads(payload)
        except ValueError:
            return
        if isinstance(status, dict):
            self._status, self._heard_s = status, now_s
            self._has_broker_kept_one = True

    def reconnected(self) -> None:
        """This may be another broker, or one that has forgotten everything."""
        self._has_broker_kept_one = False

    @property
    def has_session(self) -> bool:
        """Whether this broker holds what is for the bridge. One that keeps its status does: it saves both at once."""
        return self._has_broker_kept_one

    @property
    def said(self) -> dict[str, Any]:
        """The whole of its last status; empty before the first."""
        return self._status

    def silent_s(self, now_s: float) -> float:
        """Since that, in seconds."""
        return now_s - self._heard_s

    def is_active(self, now_s: float) -> bool:
        """Whether it runs and has said so lately: the last will covers a crash, the age a hang."""
        return self._status.get("state") == "running" and now_s - self._heard_s <= STALE_AFTER_S

    @property
    def spool(self) -> dict[str, Any]:
        """``readings``, ``bytes``, ``oldest_s``, ``is_full``; empty before the first status."""
        spool = self._status.get("spool")
        return spool if isinstance(spool, dict) else {}

    @property
    def is_full(self) -> bool:
        """Whether the bridge takes nothing more until the store has drained the spool."""
        return self.spool.get("is_full") is True

    @property
    def has_store(self) -> bool:
        """Whether the bridge reaches the store, as far as it has said."""
        return self._status.get("store") != "disconnected"

    @property
    def is_behind(self) -> bool:
        """Whether the store may lack readings that were announced some time ago."""
        return not self.has_store or float(self.spool.get("oldest_s") or 0) > BEHIND_AFTER_S
