"""Named keys: who may what, for which sensors, until when. Pure; the command line writes keys.json, http_api reads it.

    sf_<id>_<256 random bits>        what its owner sends: told once, kept nowhere
       |
       +-- finds the key; no secret: it may be shown and logged

Of a secret only its SHA-256 is kept. Without salt and without many rounds: nobody guesses 256 random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from sensorflow.errors import PermanentError
from sensorflow.kinds import SensorId  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

FILE = "keys.json"
USED_FILE = "keys-used.json"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
BUILT_IN = ("API_KEY", "API_KEY_WS")  # the settings; no named key may be called like one of them

Scope = Literal["write", "read", "live", "admin"]
EVERY_SCOPE: frozenset[Scope] = frozenset({"write", "read", "live", "admin"})


class KeysError(PermanentError):
    """The keys are not such as they must be; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request may that has shown a good secret.

    Args:
        sensors: The only ones that it may write and read; None for all.
        secret_id: Of which secret, for those of keys.json.
    """

    name: str
    scopes: frozenset[Scope]
    sensors: frozenset[str] | None = None
    secret_id: str = ""

    def covers(self, sensor_id: str) -> bool:
        """Whether this sensor is among those of the key."""
        return self.sensors is None or sensor_id in self.sensors


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Secret(_Stored):
    """One of a key's secrets; during a rotation there are two."""

    id: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    expires: AwareDatetime | None = None


class NamedKey(_Stored):
    """One key."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sensors: Annotated[tuple[SensorId, ...], Field(min_length=1)] | None = None
    created: AwareDatetime
    expires: AwareDatetime | None = None
    secrets: Annotated[tuple[Secret, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_possible(self) -> NamedKey:
        if self.name in BUILT_IN:
            raise ValueError(f"{self.name} is the name of a setting")
        if self.sensors is not None and not {"live", "admin"}.isdisjoint(self.scopes):
            raise ValueError("live and admin are for all sensors, so that a key with sensors cannot have them")
        return self

    @property
    def grant(self) -> Grant:
        """What it opens; admin is all there is."""
        scopes = EVERY_SCOPE if "admin" in self.scopes else frozenset(self.scopes)
        return Grant(self.name, scopes, None if self.sensors is None else frozenset(self.sensors))

    def valid(self, now: datetime) -> tuple[Secret, ...]:
        """The secrets that open something now."""
        if _is_past(self.expires, now):
            return ()
        return tuple(each for each in self.secrets if not _is_past(each.expires, now))


class Keys(_Stored):
    """All of keys.json."""

    version: Literal[1] = 1
    keys: tuple[NamedKey, ...] = ()

    @model_validator(mode="after")
    def _are_told_apart(self) -> Keys:
        for what, all_ in (
            ("name", Counter(each.name for each in self.keys)),
            ("secret id", Counter(secret.id for each in self.keys for secret in each.secrets)),
        ):
            if twice := [one for one, count in all_.items() if count > 1]:
                raise ValueError(f"the {what} {twice[0]} is there twice")
        return self

    def add(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        now: datetime,
        sensors: Sequence[str] = (),
        expires: datetime | None = None,
    ) -> tuple[Keys, str]:
        """With one more key, and its secret, which is to be told once.

        Raises:
            KeysError: There is one of this name, or something about it cannot be.
        """
        if any(each.name == name for each in self.keys):
            raise KeysError(f"there is a key {name!r} already; rotate it, or revoke it first")
        if _is_past(expires, now):
            raise KeysError("it would have expired already")
        secret, told = _make()
        key = {"name": name, "scopes": tuple(dict.fromkeys(scopes)), "sensors": tuple(dict.fromkeys(sensors)) or None}
        made = _validated(NamedKey, key | {"created": now, "expires": expires, "secrets": (secret,)})
        return Keys(keys=(*self.keys, made)), told

    def rotate(self, name: str, overlap: timedelta, *, now: datetime) -> tuple[Keys, str]:
        """With a new secret for this key; the ones that it has are good for ``overlap`` more, at most.

        Raises:
            KeysError: There is no such key, or it has expired.
        """
        key = self.find_name(name)
        if _is_past(key.expires, now):
            raise KeysError(f"the key {name!r} has expired; revoke it and add it again")
        secret, told = _make()
        end = now + overlap
        old = [each.model_copy(update={"expires": min(end, each.expires or end)}) for each in key.valid(now)]
        kept = tuple(each for each in old if not _is_past(each.expires, now))
        return self._with(key, key.model_copy(update={"secrets": (secret, *kept)})), told

    def revoke(self, name: str) -> Keys:
        """Without this key.

        Raises:
            KeysError: There is no such key.
        """
        return self._with(self.find_name(name))

    def find_name(self, name: str) -> NamedKey:
        """The key of this name.

        Raises:
            KeysError: There is none.
        """
        for each in self.keys:
            if each.name == name:
                return each
        there_are = ", ".join(each.name for each in self.keys) or "none so far"
        raise KeysError(f"no key {name!r}; there are: {there_are}")

    def _with(self, old: NamedKey, *new: NamedKey) -> Keys:
        return Keys(keys=tuple(one for each in self.keys for one in (new if each is old else (each,))))


class Index:
    """Finds what a secret opens, however many keys there are."""

    def __init__(self, keys: Keys) -> None:
        self._entries = dict(_entries(keys))

    def find(self, shown: str, now_s: float) -> Grant | None:
        """What it opens now, None for nothing; takes as long for a nearly right secret as for any other."""
        kind, _, rest = shown.partition("_")
        if kind != "sf":
            return None
        entry = self._entries.get(rest.partition("_")[0])
        digest = hashlib.sha256(shown.encode(errors="surrogateescape")).digest()
        if entry is None or not hmac.compare_digest(digest, entry.digest):
            return None
        return entry.grant if now_s < entry.until_s else None

    def knows(self, secret_id: str) -> bool:
        """Whether there is such a secret, good or expired."""
        return secret_id in self._entries

    def still_grants(self, grant: Grant, now_s: float) -> bool:
        """Whether the secret that was shown for this would get the same now."""
        entry = self._entries.get(grant.secret_id)
        return entry is not None and entry.grant == grant and now_s < entry.until_s


def parse(text: bytes) -> Keys:
    """What is in keys.json.

    Raises:
        KeysError: It is not such a file; the message names each place.
    """
    try:
        return Keys.model_validate_json(text)
    except ValidationError as error:
        raise KeysError(_explain(error)) from None


def dump(keys: Keys) -> str:
    """For keys.json."""
    return keys.model_dump_json(indent=1) + "\n"


def secret_id(shown: str) -> str:
    """The part of a secret that may be logged; empty where it is none of ours, and nobody knows what it is."""
    kind, _, rest = shown.partition("_")
    name = rest.partition("_")[0]
    return name if kind == "sf" and len(name) == 12 and name.isalnum() and name.isascii() else ""


@dataclass(frozen=True, slots=True)
class _Entry:
    digest: bytes
    grant: Grant
    until_s: float


def _entries(keys: Keys) -> Iterator[tuple[str, _Entry]]:
    for key in keys.keys:
        grant = key.grant
        for secret in key.secrets:
            ends = [moment.timestamp() for moment in (key.expires, secret.expires) if moment is not None]
            own = Grant(grant.name, grant.scopes, grant.sensors, secret.id)
            yield secret.id, _Entry(bytes.fromhex(secret.sha256), own, min(ends, default=float("inf")))


def _make() -> tuple[Secret, str]:
    name = secrets.token_hex(6)
    told = f"sf_{name}_{secrets.token_urlsafe(32)}"
    return Secret(id=name, sha256=hashlib.sha256(told.encode()).hexdigest()), told


def _is_past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _validated(model: type[NamedKey], values: dict[str, Any]) -> NamedKey:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise KeysError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    each = [
        f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}".removeprefix(": ")
        for one in error.errors(include_url=False, include_input=False)
    ]
    more = f"; and {len(each) - 3} more" if len(each) > 3 else ""
    return "; ".join(each[:3]) + more
