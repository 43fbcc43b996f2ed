"""The trial of SQL injection, R23: what reaches the store is one constant text for each endpoint, and parameters."""

import asyncio
import http.client
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from urllib.parse import quote

from tests.e2e.system import System
from tests.faults.trial import Outcome, trial
from tests.proxy import Proxy
from tests.waiting import until

SEED = 23
STRINGS = 500
KINDS = ("temperature_reading", "telemetry")
CORES = [
    *("' OR '1'='1", "' OR 1=1 --", "'; DROP TABLE sensor_readings; --", "' UNION SELECT * FROM telemetry --", "'||'"),
    *(
        '" OR ""="',
        '"; DELETE FROM sensor_readings; --',
        "\\'; SELECT 1; --",
        "') OR ('a'='a",
        "1 OR 1=1",
        "\x00' OR 1",
    ),
    *("a' AND (SELECT count(*) FROM information_schema.tables) > 0 --", "'; COPY telemetry TO '/tmp/x'; --", "?", "%s"),
    *("'; ATTACH '/tmp/x.db'; --", "' AND pg_sleep(5) --", "' LIMIT 1; INSERT INTO telemetry VALUES (1); --", "$1"),
    *("x/**/OR/**/1=1", "%27%20OR%201=1", "$sensor_id", ":x", "\x00' OR 1"),
    *(
        "sensor_readings.1",
        "1.OR.1",
        "a--",
        "0x31",
        "SELECT",
        "DROP",
        "NULL",
        "true",
        "a.b.c",
        "x_or_1-1",
    ),  # good names
]
# What else history and the list of sensors are asked by. A name here is good in `sensor_id`, `prefix` and the list's
# `cursor`, and an unknown field of telemetry; of all others no string above is.
HISTORY = (
    "kind",
    "fields",
    "start",
    "end",
    "every",
    "agg",
    "limit",
    "order",
    "cursor",
    "format",
    "kind=telemetry&fields",
)
SENSORS = ("kind", "inactive_for", "active_within", "limit")
# Of each kind its newest reading and its sensors; the columns of a table; history by sensor and by prefix. The table of
# telemetry has no fields yet, so that there nothing is asked.
TEXTS = 2 * len(KINDS) + 1 + 2
# As a ticket of Flight holds it, in plain bytes.
SQL = re.compile(rb'"sql_query": ?"((?:[^"\\]|\\.)*)"')


def strings(chance: Random) -> Iterator[str]:
    """Each core as it is, and in disguise, for ever."""
    yield from CORES
    while True:
        core = chance.choice(CORES)
        core = chance.choice([core, core.lower(), core.swapcase(), core.replace(" ", "\t"), core.replace(" ", "/**/")])
        yield (
            chance.choice(["", "a", "sensor_1", "0"]) + core + chance.choice(["", "", ";", "--", "#", "\n", "'", "/*"])
        )


@trial("R23", must_hold="only 200 empty, 404, 422; distinct SQL texts = what is declared")
def injected(directory: Path) -> Outcome:
    some = strings(Random(SEED))  # noqa: S311 - to be repeated by its seed
    texts: dict[str, None] = {}
    while len(texts) < STRINGS:
        texts[next(some)] = None
    system = System(directory)
    with _listening(system.settings.influx_port) as proxy:
        ours = system._services["http_api"]
        spied = ours.environment | {"INFLUX_HOST": f"http://127.0.0.1:{proxy.port}"}
        system._services["http_api"] = replace(ours, environment=spied)
        try:
            system.start()
            system.wait_until()
            until(lambda: {table for table, _ in tables(system)} == {"sensor_readings", "telemetry"})
            before = tables(system)
            answers = _ask(system, [path for number, text in enumerate(texts) for path in _paths(number, text)])
            unchanged = tables(system) == before
        finally:
            system.stop_all()
        queries = [found for sent in proxy.sent for found in SQL.findall(bytes(sent))]
    distinct = set(queries)
    return Outcome(
        injected=f"{len(texts)} strings (seed {SEED}) in the path and in each parameter, for {len(KINDS)} kinds",
        offered=sum(answers.values()),
        measured=", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))
        + f"; {len(queries)} queries, {len(distinct)} distinct of {TEXTS}; tables {'un' if unchanged else ''}changed",
        holds=set(answers) <= {"200 empty", "404", "422"} and len(distinct) == TEXTS and unchanged,
    )


def _paths(number: int, text: str) -> Iterator[str]:
    """Every place in a URL of which SQL could be made; of those that take no names, some for each string."""
    coded = quote(text, safe="")
    yield f"/api/v1/sensor/{coded}/history?kind={KINDS[number % 2]}"
    yield f"/api/v1/history?sensor_id={coded}"
    yield f"/api/v1/history?prefix={coded}"
    yield f"/api/v1/history?{_turn(HISTORY, number)}={coded}"
    yield f"/api/v1/history?{_turn(HISTORY, number + 5)}={coded}"
    yield f"/api/v1/sensors?prefix={coded}"
    yield f"/api/v1/sensors?cursor={coded}"
    yield f"/api/v1/sensors?{_turn(SENSORS, number)}={coded}"
    for kind in KINDS:
        yield f"/api/v1/sensor/{coded}/latest?kind={kind}"
        yield f"/api/v1/sensor/nobody/latest?kind={kind}&sensor_id={coded}&{coded}=1&limit={coded}&order={coded}"
    yield f"/api/v1/sensor/nobody/latest?kind={coded}"
    yield f"/api/v1/sensor/{coded}/latest?kind={coded}"
    yield f"/api/v1/{coded}"


def _turn(names: Sequence[str], number: int) -> str:
    return names[number % len(names)]


def _ask(system: System, paths: list[str]) -> Counter[str]:
    """The answers, by status, and whether there was anything in them."""
    answers: Counter[str] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", system.settings.http_port, timeout=15)
    for path in paths:
        connection.request("GET", path, headers={"X-API-Key": system.key})
        answer = connection.getresponse()
        body = answer.read()
        answers[_word(answer.status, body)] += 1
    connection.close()
    return answers


def _word(status: int, body: bytes) -> str:
    if status != 200:
        return str(status)
    found = json.loads(body)
    return "200 with something in it" if found.get("rows", found.get("sensors")) != [] else "200 empty"


def tables(system: System) -> set[tuple[str, str]]:
    """All columns, but for the table that the bridge writes about itself when it is time for that."""
    there = system.rows("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'iox'")
    return {(each["table_name"], each["column_name"]) for each in there if each["table_name"] != "pipeline_stats"}


@contextmanager
def _listening(port: int) -> Iterator[Proxy]:
    """A proxy in front of the store, on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()
    proxy = Proxy(port)
    try:
        asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(5)
        yield proxy
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result(5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
