"""``sensorflow keys``: make, show, rotate and revoke the named keys of the HTTP API."""

from __future__ import annotations

import fcntl
import getpass
import os
import sys
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.table import Table

from sensorflow import audit, keys
from sensorflow.cli.moments import parse_duration
from sensorflow.cli.options import DataDir  # noqa: TC001 - typer reads the annotations
from sensorflow.cli.output import fail, stdout
from sensorflow.credentials import give_to_owner, write_private
from sensorflow.errors import RejectedError
from sensorflow.keys import Keys, KeysError, NamedKey
from sensorflow.reading import parse_time
from sensorflow.settings import KeySettings, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELP = """Named keys of the HTTP API, each for what it needs to do, one a board or program.

\b
  sensorflow keys add barn --scope write --sensor barn-1 --sensor barn-2
  sensorflow keys add dashboard --scope read --scope live --expires 90d
  sensorflow keys rotate barn --overlap 24h
  sensorflow keys revoke dashboard

Each takes effect within a second, without a restart. API_KEY and API_KEY_WS are
settings and stay what they are."""
ADD_HELP = "Make a key. It is printed once, alone on standard output; only its SHA-256 is kept."
LIST_HELP = "All keys: what they may, until when, and when one was last used."
ROTATE_HELP = "Give a key a new secret, which is printed once. The old one is good for the overlap, too."
REVOKE_HELP = "Take a key away: it opens nothing any more."

_LOCK = ".keys.lock"
_BOUND = "a duration has at most 9 digits, and nothing ends after the year 9999"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ScopeName(StrEnum):
    """What a key may."""

    WRITE = "write"
    READ = "read"
    LIVE = "live"
    ADMIN = "admin"


Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_', '-'; 1 to 64.")]
Scopes = Annotated[
    list[ScopeName],
    typer.Option(
        "--scope",
        help="write: send readings; read: ask for them; live: WebSocket; admin: everything. Again for more than one.",
    ),
]
Sensors = Annotated[
    list[str] | None, typer.Option("--sensor", metavar="ID", help="Only for this sensor; again for more. Default: all.")
]
Expires = Annotated[
    str | None, typer.Option(metavar="30d|TIME", help="After a while such as 30d or 12h, or at an RFC 3339 time.")
]
Overlap = Annotated[
    str, typer.Option(metavar="24h", help="How long the old secret is good, too; 0 ends it now, as for a stolen one.")
]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command("add", help=ADD_HELP)(add)
    group.command("list", help=LIST_HELP)(list_)
    group.command("rotate", help=ROTATE_HELP)(rotate)
    group.command("revoke", help=REVOKE_HELP)(revoke)
    app.add_typer(group, name="keys", help=HELP)


def add(name: Name, scope: Scopes, sensor: Sensors = None, expires: Expires = None, data_dir: DataDir = None) -> None:
    """Make one (see ADD_HELP)."""
    now = datetime.now(UTC)
    until = None if expires is None else _moment(expires, now)
    place = _place(data_dir)
    with _changed(place) as kept:
        scopes = [each.value for each in scope]
        kept.keys, told = kept.keys.add(name, scopes, now=now, sensors=sensor or (), expires=until)
    _tell(told, f"key {name!r} added: {_described(kept.keys.find_name(name))}")
    _note(place, "key added", kept.keys.find_name(name))


def list_(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show them (see LIST_HELP)."""
    place = _place(data_dir)
    now = datetime.now(UTC)
    records = [_record(each, now) for each in _load(place).keys]
    used = _used(place)
    for record in records:
        record["last_used"] = max((used[one] for one in record["secret_ids"] if one in used), default=None)
    built_in = [{"name": name, "last_used": used[name]} for name in keys.BUILT_IN if name in used]
    if as_json:
        for each in [*records, *built_in]:
            typer.echo(orjson.dumps(each))
    else:
        stdout().print(_table([*records, *built_in]))


def rotate(name: Name, overlap: Overlap = "24h", data_dir: DataDir = None) -> None:
    """Change its secret (see ROTATE_HELP)."""
    now = datetime.now(UTC)
    wait = timedelta() if overlap == "0" else _overlap(overlap, now)
    place = _place(data_dir)
    with _changed(place) as kept:
        kept.keys, told = kept.keys.rotate(name, wait, now=now)
    _tell(
        told, f"key {name!r} has a new secret; " + (f"the old one ends in {overlap}" if wait else "the old one ended")
    )
    _note(place, "key rotated", kept.keys.find_name(name), overlap_s=wait.total_seconds())


def revoke(name: Name, data_dir: DataDir = None) -> None:
    """Take it away (see REVOKE_HELP)."""
    place = _place(data_dir)
    with _changed(place) as kept:
        revoked = kept.keys.find_name(name)
        kept.keys = kept.keys.revoke(name)
    typer.echo(f"key {name!r} revoked", err=True)
    _note(place, "key revoked", revoked)


class _Kept:
    """What is in the file, to be changed while nobody else does."""

    def __init__(self, all_: Keys) -> None:
        self.keys = all_


def _place(data_dir: Path | None) -> Path:
    return read(KeySettings, data_dir=data_dir).keys_place


@contextmanager
def _changed(place: Path) -> Iterator[_Kept]:
    """Read, let change, write: whole, durably, and one command at a time."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place / _LOCK).touch(mode=0o600)
        give_to_owner(place / _LOCK)
        with (place / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kept = _Kept(_load(place))
            yield kept
            write_private(place / keys.FILE, keys.dump(kept.keys))
    except KeysError as error:
        fail(error)
    except OSError as error:
        fail(f"cannot write {str(place / keys.FILE)!r}: {error.strerror}")


def _load(place: Path) -> Keys:
    path = place / keys.FILE
    try:
        return keys.parse(path.read_bytes())
    except FileNotFoundError:
        return Keys()
    except KeysError as error:
        fail(f"{path}: {error}")
    except OSError as error:
        fail(f"cannot read {str(path)!r}: {error.strerror}")


def _used(place: Path) -> dict[str, str]:
    """When each secret was last used, by its id; what http_api has not said yet is missing."""
    with suppress(OSError, orjson.JSONDecodeError):
        used = orjson.loads((place / keys.USED_FILE).read_bytes())
        if isinstance(used, dict):
            return {name: when for name, when in used.items() if isinstance(when, str)}
    return {}


def _tell(secret: str, what: str) -> None:
    """The secret alone on standard output, so that a script may take it."""
    typer.echo(secret)
    typer.echo(what, err=True)
    if sys.stdout.isatty():
        typer.echo("Keep it now: it is not shown again.", err=True)


def _note(place: Path, event: str, key: NamedKey, **more: object) -> None:
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        who = str(os.getuid())
    ids = [each.id for each in key.secrets]
    try:
        audit.append(place, event, key=key.name, scopes=key.scopes, sensors=key.sensors, secret_ids=ids, by=who, **more)
        give_to_owner(place / audit.FILE)
    except OSError as error:
        typer.echo(f"sensorflow: not in the audit log: {error.strerror}", err=True)


def _described(key: NamedKey) -> str:
    sensors = "all sensors" if key.sensors is None else f"sensors {', '.join(key.sensors)}"
    until = "" if key.expires is None else f", until {_rfc3339(key.expires)}"
    return f"{', '.join(key.scopes)} for {sensors}{until}"


def _moment(text: str, now: datetime) -> datetime:
    try:
        return _after("--expires", text, now)
    except ValueError:
        pass
    try:
        return _EPOCH + timedelta(microseconds=parse_time(text))
    except (RejectedError, OverflowError):
        example = "a duration such as 30d nor a time such as 2027-01-31T12:00:00Z"
        fail(f"--expires: {text!r} is neither {example}; {_BOUND}", code=2)


def _overlap(text: str, now: datetime) -> timedelta:
    try:
        return _after("--overlap", text, now) - now
    except ValueError as error:
        fail(f"--overlap: {error}; {_BOUND}", code=2)


def _after(option: str, text: str, now: datetime) -> datetime:
    duration_us = parse_duration(text)
    try:
        return now + timedelta(microseconds=duration_us)
    except OverflowError:
        fail(f"{option}: {text!r} ends too late; {_BOUND}", code=2)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _record(key: NamedKey, now: datetime) -> dict[str, Any]:
    """For people and programs."""
    valid = key.valid(now)
    return {
        "name": key.name,
        "state": "expired" if not valid else "rotating" if len(valid) > 1 else "active",
        "scopes": key.scopes,
        "sensors": key.sensors,
        "created": _rfc3339(key.created),
        "expires": None if key.expires is None else _rfc3339(key.expires),
        "secret_ids": [each.id for each in key.secrets],
        "last_used": None,
    }


def _table(records: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("name", "state", "scopes", "sensors", "expires", "last used"):
        table.add_column(name, overflow="fold")
    for each in records:
        table.add_row(
            each["name"],
            each.get("state", "setting"),
            ", ".join(each.get("scopes", ())) or "-",
            ", ".join(each.get("sensors") or ()) or ("all" if "state" in each else "-"),
            each.get("expires") or "-",
            each["last_used"] or "-",
        )
    return table
