"""What answers over HTTP: the HTTP API and the store, and what their clocks say."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from sensorflow.cli.checkup.finding import Finding
from sensorflow.cli.output import printable
from sensorflow.credentials import bracketed, reachable
from sensorflow.errors import SensorFlowError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sensorflow.settings import BoardSettings, QuerySettings

APART_S = 3.0  # a Date header has whole seconds, and an answer takes its time
OLDEST_NOW_S = 1_764_547_200  # December 2025: before this release nothing could be now

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str
    apart_s: float
    """By how much the server's clock is ahead of ours."""


def examine_http_api(settings: BoardSettings) -> Iterator[Finding]:
    """Whether it is there, takes our key and is well."""
    url = f"http://{bracketed(reachable(settings.http_host))}:{settings.http_port}"
    try:
        health = _get(f"{url}/api/v1/health", {})
        latest = _get(f"{url}/api/v1/sensor/doctor/latest", {"X-API-Key": settings.api_key.get_secret_value()})
    except OSError as error:
        yield Finding("http_api", f"{url}: {_brief(error)}", "start it: sensorflow up; or set HTTP_HOST and HTTP_PORT")
        return
    yield from _clock("http_api", health)
    if latest.status in {401, 403}:
        yield Finding("http_api", f"{url} does not take API_KEY", "give this command the API_KEY that http_api has")
    if health.status != 200:
        yield Finding("http_api", f"it takes no readings: {_services(health.text)}", "see what is said of these")


def examine_store(settings: QuerySettings) -> Iterator[Finding]:
    """Whether it is there, takes our token and answers a query."""
    from sensorflow.influx import Influx  # noqa: PLC0415 - half a second that --help should not wait for

    token, url = settings.influx_token.get_secret_value(), settings.influx_host.rstrip("/")
    query = urlencode({"db": settings.influx_database, "q": "SELECT 1", "format": "json"})
    try:
        answer = _get(f"{url}/api/v3/query_sql?{query}", {"Authorization": f"Bearer {token}"})
    except (OSError, ValueError) as error:
        yield Finding("store", f"{url}: {_brief(error)}", "start it; INFLUX_HOST says where it is looked for")
        return
    yield from _clock("store", answer)
    if answer.status in {401, 403}:
        yield Finding("store", f"{url} does not take INFLUX_TOKEN", "give it the token that the store was started with")
        return
    store = Influx(url, token, settings.influx_database, timeout_s=_TIMEOUT_S)
    try:
        store.query("SELECT 1 AS one")
    except SensorFlowError as error:
        yield Finding(
            "store",
            f"{url} answers no query to database {settings.influx_database!r}: {error}",
            "the bridge makes the database when it first finds the store; see its log",
        )
    finally:
        store.close()


def examine_clock(now_s: float) -> Iterator[Finding]:
    """Whether this machine's could be right."""
    if now_s < OLDEST_NOW_S:
        day = time.strftime("%Y-%m-%d", time.gmtime(now_s))
        yield Finding("clock", f"this machine's says {day}", "set it (timedatectl): readings get its time")


def _clock(part: str, answer: _Answer) -> Iterator[Finding]:
    if abs(answer.apart_s) > APART_S:
        side = "ahead of" if answer.apart_s > 0 else "behind"
        yield Finding(
            "clock",
            f"that of {part} is {abs(answer.apart_s):,.0f} s {side} this machine's",
            "have both set by NTP (timedatectl)",
        )


def _get(url: str, headers: dict[str, str]) -> _Answer:
    """An answer of any status.

    Raises:
        OSError: There is none.
    """
    # No proxy: what is asked is ours, and near.
    opener = build_opener(ProxyHandler({}))
    try:
        response = opener.open(Request(url, headers=headers), timeout=_TIMEOUT_S)  # noqa: S310 - a URL of our settings
    except HTTPError as error:
        response = error
    with response:
        text = response.read(10_000).decode(errors="replace")
        apart_s = 0.0
        if date := response.headers.get("Date"):
            apart_s = parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
        return _Answer(response.status, text, apart_s)


def _services(text: str) -> str:
    """Which of the services that health names are away."""
    try:
        health = json.loads(text)
        away = [f"{name} {state}" for name, state in health["services"].items() if state not in {"connected", "active"}]
        if health["spool"].get("is_full"):
            away.append("spool full")
    except (ValueError, KeyError, AttributeError, TypeError):
        return printable(text[:200])
    return ", ".join(away) or str(health.get("status"))


def _brief(error: Exception) -> str:
    return printable(str(getattr(error, "reason", error)))[:200]
