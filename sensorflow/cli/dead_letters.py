"""``sensorflow dead-letters``: look at what was rejected, send it again, or throw it away."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.table import Table
from rich.text import Text

from bridge import dead_letters
from bridge.dead_letters import DeadLetter, Selection
from sensorflow import topics
from sensorflow.cli.moments import rfc3339
from sensorflow.cli.options import DataDir  # noqa: TC001 - typer reads the annotations
from sensorflow.cli.output import fail, printable, stdout
from sensorflow.cli.publisher import Publisher
from sensorflow.errors import RejectedError, SensorFlowError
from sensorflow.settings import Common, OperatorSettings, read

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

HELP = """What was rejected: kept in the spool with its reason, until you send it again or throw it away.

\b
  sensorflow dead-letters list --reason bad_reading
  sensorflow dead-letters show 17
  sensorflow dead-letters replay --reason unknown_kind
  sensorflow dead-letters purge --all

It works whether the bridge is running or not."""
LIST_HELP = "The newest dead letters: when each was first seen, where, and what is wrong with it."
SHOW_HELP = "One dead letter with its whole payload; what a terminal could act on is escaped."
REPLAY_HELP = """Publish dead letters again, each to its topic and with the time at which it was first seen.

One is deleted once the broker has taken it; what is still wrong becomes a
new dead letter. Useful after you have added a kind, widened a bound, or
moved the window of times."""
PURGE_HELP = "Delete dead letters for good."
_IN_FLIGHT = 100
_PUBACK_TIMEOUT_S = 15.0
_MAX_COMPLAINTS = 20

Reason = Annotated[str | None, typer.Option(help="Only those of this reason, such as bad_json.")]
Ids = Annotated[list[int] | None, typer.Argument(metavar="ID...", help="The ids, as `list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="Every one of them.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list", help=LIST_HELP)(list_)
    group.command("show", help=SHOW_HELP)(show)
    group.command("replay", help=REPLAY_HELP)(replay_)
    group.command("purge", help=PURGE_HELP)(purge)
    app.add_typer(group, name="dead-letters", help=HELP)


def list_(
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data_dir: DataDir = None,
) -> None:
    """List them (see LIST_HELP)."""
    selection = Selection(reason=reason)
    with _spool(read(Common, data_dir=data_dir).data_dir) as spool:
        letters = list(dead_letters.selected(spool, selection, limit=limit, newest_first=True))
        total, _ = dead_letters.count(spool, selection)
        reasons = [] if total else dead_letters.reasons(spool)
    if reasons:
        typer.echo(f"sensorflow: no dead letter{_of(reason)}; the reasons here: {', '.join(reasons)}", err=True)
    if as_json:
        for letter in letters:
            typer.echo(orjson.dumps(_record(letter)))
    else:
        stdout().print(_table(letters))
        typer.echo(f"{len(letters):,} of {total:,}")


def show(letter_id: Annotated[int, typer.Argument(metavar="ID")], data_dir: DataDir = None) -> None:
    """Show one (see SHOW_HELP)."""
    with _spool(read(Common, data_dir=data_dir).data_dir) as spool:
        letter = next(dead_letters.selected(spool, Selection(ids=[letter_id])), None)
    if letter is None:
        fail(f"no dead letter {letter_id}")
    record = _record(letter)
    payload = str(record.pop("payload")).splitlines()
    for name, value in record.items():
        typer.echo(f"{name:<10} {printable(str(value or '-'))}")
    typer.echo(f"{'payload':<10} {len(letter.payload):,} bytes")
    typer.echo("\n".join(f"  {printable(line)}" for line in payload))


def replay_(ids: Ids = None, reason: Reason = None, *, all_: All = False, data_dir: DataDir = None) -> None:
    """Send them again (see REPLAY_HELP)."""
    settings = read(OperatorSettings, data_dir=data_dir)
    with _spool(settings.data_dir, to_delete=True) as spool:
        selection, total = _meant(spool, ids, reason, all_=all_)
        missing = _missing(spool, selection)
        sent, complaints = asyncio.run(_replay(spool, selection, settings)) if total else (0, [])
    typer.echo(f"{sent:,} of {total:,} sent again")
    for complaint in complaints + missing:
        typer.echo(f"sensorflow: {complaint}", err=True)
    raise typer.Exit(0 if sent == total and not missing else 1)


def purge(
    ids: Ids = None,
    reason: Reason = None,
    *,
    all_: All = False,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete them (see PURGE_HELP)."""
    with _spool(read(Common, data_dir=data_dir).data_dir, to_delete=True) as spool:
        selection, total = _meant(spool, ids, reason, all_=all_)
        missing = _missing(spool, selection)
        if total and not is_sure:
            typer.confirm(f"Delete {total:,} dead {'letter' if total == 1 else 'letters'} for good?", abort=True)
        typer.echo(f"{dead_letters.delete(spool, selection):,} deleted")
    if missing:
        fail(missing[0])


@contextmanager
def _spool(data_dir: Path, *, to_delete: bool = False) -> Iterator[sqlite3.Connection]:
    try:
        with dead_letters.opened(data_dir / "spool", to_delete=to_delete) as spool:
            yield spool
    except SensorFlowError as error:
        fail(error)


def _meant(
    spool: sqlite3.Connection, ids: list[int] | None, reason: str | None, *, all_: bool
) -> tuple[Selection, int]:
    """What a command that changes something is to work on, and how many these are now."""
    if not (ids or reason or all_):
        fail("say which: ids, --reason or --all", code=2)
    if all_ and (ids or reason):
        fail("--all leaves no room for ids or --reason", code=2)
    selection = Selection(ids=ids or (), reason=reason)
    total, last_id = dead_letters.count(spool, selection)
    return replace(selection, last_id=last_id), total


def _missing(spool: sqlite3.Connection, selection: Selection) -> list[str]:
    """What is to say of ids that were given but are not there."""
    if not selection.ids:
        return []
    missing = sorted(set(selection.ids) - {letter.id for letter in dead_letters.selected(spool, selection)})
    return [f"no dead letter {', '.join(map(str, missing))}{_of(selection.reason)}"] if missing else []


def _of(reason: str | None) -> str:
    return "" if reason is None else f" of the reason {reason!r}"


async def _replay(spool: sqlite3.Connection, selection: Selection, settings: OperatorSettings) -> tuple[int, list[str]]:
    """Send what is meant again; returns how many the broker took, and what is to say about the others."""
    sent = 0
    complaints: list[str] = []
    async with Publisher(
        settings, username=settings.mqtt_username, password=settings.mqtt_password, max_in_flight=_IN_FLIGHT
    ) as publisher:
        while letters := list(dead_letters.selected(spool, selection, limit=_IN_FLIGHT)):
            outcomes = await asyncio.gather(*(_publish(publisher, letter) for letter in letters))
            taken = [letter.id for letter, complaint in zip(letters, outcomes, strict=True) if complaint is None]
            if taken:
                sent += dead_letters.delete(spool, Selection(ids=taken))
            complaints += filter(None, outcomes)
            if not taken:  # nothing of a whole batch got through; the rest would not either
                break
            selection = replace(selection, after_id=letters[-1].id)
    return sent, complaints[:_MAX_COMPLAINTS]


async def _publish(publisher: Publisher, letter: DeadLetter) -> str | None:
    """None once the broker has taken it, else why it has not."""
    origin = [("client_ip", letter.client_ip)] if letter.client_ip else []
    try:
        topics.parse_reading(letter.topic)
        async with asyncio.timeout(_PUBACK_TIMEOUT_S):
            await publisher.publish(letter.topic, letter.payload, [("received_us", str(letter.time_us)), *origin])
    except RejectedError as error:
        return f"{letter.id} cannot be replayed: {error}"
    except SensorFlowError as error:
        return f"{letter.id} stays: {error}"
    except TimeoutError:
        return f"{letter.id} stays: no PUBACK within {_PUBACK_TIMEOUT_S:g} s"
    return None


def _table(letters: Iterable[DeadLetter]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("first seen", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    table.add_column("topic", overflow="fold")
    table.add_column("detail", overflow="fold")
    for letter in letters:
        cells = (str(letter.id), rfc3339(letter.time_us), letter.reason, letter.topic, letter.detail)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _record(letter: DeadLetter) -> dict[str, str | int | None]:
    """For people and programs: the payload as text, with escapes for bytes that are no UTF-8."""
    return {
        "id": letter.id,
        "time": rfc3339(letter.time_us),
        "reason": letter.reason,
        "detail": letter.detail,
        "topic": letter.topic,
        "client_ip": letter.client_ip,
        "payload": letter.payload.decode(errors="backslashreplace"),
    }
