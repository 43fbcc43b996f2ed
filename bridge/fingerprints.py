"""What a redelivery is: the broker sends it again with DUP set, under the packet id that it had (MQTT 5, 4.4).

Exact, and not a guess by content, because packet ids are handed out in sequence: an id comes back for another message
only after all 65,535, and by then its fingerprint has left the window. Where the broker has lost the session, or was
killed and has fallen back to an earlier one, ids come back sooner; but then for messages that came by another
subscription, whose identifier the broker keeps with the message (MQTT 5, 3.8.2.1.2) and which is in the fingerprint.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Longer than what can be in flight, which Mosquitto 2.0.11 lets grow far beyond the receive maximum, and short enough
# that it ends before the packet ids start again at 1.
WINDOW = 60_000
_DIGEST_BYTES = 12
_ENTRY_BYTES = 2 + _DIGEST_BYTES


def entry(packet_id: int, topic: str, payload: bytes, subscription_ids: Sequence[int] = ()) -> bytes:
    """One delivery in 14 bytes: ``| packet id (2, big-endian) | blake2b of topic NUL payload (12) |``.

    The digest is salted with the identifier of the subscription; there is one at most, as we have one subscription.
    """
    salt = subscription_ids[0].to_bytes(4, "big") if subscription_ids else b""
    digest = blake2b(b"%b\0%b" % (topic.encode(), payload), digest_size=_DIGEST_BYTES, salt=salt).digest()
    return packet_id.to_bytes(2, "big") + digest


def split_entries(entries: bytes) -> Iterable[bytes]:
    """The entries that were joined into one row of the spool."""
    return (entries[at : at + _ENTRY_BYTES] for at in range(0, len(entries), _ENTRY_BYTES))


class Fingerprints:
    """The last ``WINDOW`` deliveries of one MQTT session: at most one for each packet id."""

    def __init__(self, entries: Iterable[bytes] = ()) -> None:
        self._seen = {each[:2]: (number, each) for number, each in enumerate(entries, 1)}
        self._count = max((number for number, _ in self._seen.values()), default=0)

    def __contains__(self, each: bytes) -> bool:
        count, known = self._seen.get(each[:2], (0, b""))
        return known == each and self._count - count < WINDOW

    def add(self, each: bytes) -> None:
        """Remember the delivery; what had the packet id before is forgotten."""
        self._count += 1
        self._seen[each[:2]] = (self._count, each)

    def clear(self) -> None:
        """Forget all: the broker has started a new session, and packet ids anew."""
        self._seen.clear()
