"""Trial of the live feed: one browser that does not read, among two hundred that do.

``python -m tests.faults.browsers URL COUNT`` is the two hundred: it reads and forgets.
"""

import asyncio
import json
import re
import selectors
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiomqtt
import psutil

from tests.e2e.system import ROOT, System
from tests.faults.flow import Flow, judge, rss_mb, wait_until_drained
from tests.faults.trial import Outcome, trial
from tests.waiting import until

HEALTHY = 200
RATE = 5_000
BEFORE_S, STALLED_S = 20.0, 30.0
CLOSED_WITHIN_S = 10.0
_SENT = re.compile(rb'"sent":([0-9.]+)[,}]')


@trial(
    "R12",
    must_hold="memory +<= 10 MB; healthy p99 <= 1.1x; stalled closed within 10 s; sent + dropped = offered",
    is_long=True,
)
def stalled_browser(directory: Path) -> Outcome:
    system = System(directory, MAX_WS_CONNECTIONS_PER_KEY=HEALTHY + 10)
    system.start()
    crowd = None
    try:
        system.wait_until()
        crowd = _crowd(system)
        flow = Flow(system, rate=RATE, is_stamped=True)
        time.sleep(2)  # connections and buffers settle
        began = time.monotonic()
        time.sleep(BEFORE_S)
        rss_before, stalled_at = rss_mb(system, "http_api"), time.monotonic()
        with closing(_opened(system.ws_url, buffer_bytes=4096)) as stalled:
            most, closed_at = 0.0, None
            while (now := time.monotonic()) < stalled_at + STALLED_S:
                most = max(most, rss_mb(system, "http_api"))
                if closed_at is None and not _is_held(system, stalled):
                    closed_at = now
                time.sleep(0.1)
        ended = time.monotonic()
        flow.stop()
        wait_until_drained(system)
        counters = until(lambda: _settled(system), 20)
        verdict = judge(system, flow.accepted)
        healthy, took = _asked(crowd)
    finally:
        if crowd:
            crowd.kill()
            crowd.communicate()
        system.stop_all()
    p99_s = _p99_s(took, stalled_at, ended)
    slower = p99_s / _p99_s(took, began, stalled_at)
    took_s = closed_at - stalled_at if closed_at else float("inf")
    return Outcome(
        injected=f"1 browser of {HEALTHY + 1} does not read, at {RATE:,} readings/s for {STALLED_S:.0f} s",
        offered=flow.offered,
        accepted=len(flow.accepted),
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        measured=(
            f"closed after {took_s:.1f} s; healthy p99 {1000 * p99_s:.0f} ms, {slower:.2f}x; "
            f"{healthy} of {HEALTHY} others still there; memory {most - rss_before:+.0f} MB; "
            f"frames {counters['ws_offered']:,} = {counters['ws_sent']:,} sent + {counters['ws_dropped']:,} dropped"
        ),
        holds=verdict.is_clean
        and took_s <= CLOSED_WITHIN_S
        and slower <= 1.1
        and most - rss_before <= 10
        and healthy == HEALTHY
        and counters["ws_dropped_clients"] == 1,
    )


def _crowd(system: System) -> subprocess.Popen[str]:
    crowd = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.browsers", system.ws_url, str(HEALTHY)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert crowd.stdout is not None
    assert crowd.stdout.readline() == f"{HEALTHY}\n", "not all of them could connect"
    return crowd


def _asked(crowd: subprocess.Popen[str]) -> tuple[int, list[tuple[float, float]]]:
    """How many are still connected; when something came to one of them, and how long the last of it had taken."""
    out, _ = crowd.communicate("how many\n", timeout=20)
    said = json.loads(out)
    return said["connected"], said["took"]


def _p99_s(took: list[tuple[float, float]], since: float, until_: float) -> float:
    there = sorted(took_s for at, took_s in took if since <= at < until_)
    assert len(there) >= 30, f"{len(there)} arrivals, too few for a p99"
    return there[int(0.99 * len(there))]


def _is_held(system: System, client: socket.socket) -> bool:
    """Whether http_api still has the connection; the client could not tell, with all that it has not read."""
    port = client.getsockname()[1]
    connections = psutil.Process(system._processes["http_api"].pid).net_connections("tcp")
    return any(each.raddr and each.raddr.port == port for each in connections)


def _settled(system: System) -> dict[str, Any] | None:
    """The counters of http_api once all that was offered is accounted for."""
    counters: dict[str, Any] = json.loads(asyncio.run(_status(system)))["counters"]
    is_settled = counters["ws_offered"] == counters["ws_sent"] + counters["ws_dropped"]
    return counters if is_settled and counters["ws_offered"] else None


async def _status(system: System) -> bytes:
    async with asyncio.timeout(10), _operator(system) as client:
        await client.subscribe("status/http_api")
        return bytes((await anext(client.messages)).payload)


def _operator(system: System) -> aiomqtt.Client:
    password = system.settings.mqtt_password_operator.get_secret_value()
    return aiomqtt.Client("127.0.0.1", system.settings.mqtt_port, username="operator", password=password)


def _opened(url: str, *, buffer_bytes: int = 2**20) -> socket.socket:
    """A WebSocket after its handshake (RFC 6455, 4.1), with no library that would read from it by itself."""
    parts = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    client.settimeout(20)
    client.connect((parts.hostname, parts.port))
    client.sendall(
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    client.setblocking(False)
    return client


def _read_and_forget(url: str, count: int) -> None:
    """Read from all connections until somebody asks on standard input; of the first, look at the clock."""
    selector = selectors.DefaultSelector()
    clients = [_opened(url) for _ in range(count)]
    for client in clients:
        selector.register(client, selectors.EVENT_READ, bytearray())
    print(count, flush=True)  # noqa: T201 - to the trial
    selector.register(sys.stdin, selectors.EVENT_READ)
    took: list[tuple[float, float]] = []
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                print(json.dumps({"connected": len(selector.get_map()) - 1, "took": took}))  # noqa: T201 - as above
                return
            data = _read(selector, key)
            if key.fileobj is clients[0] and (found := _SENT.findall(data[-1000:])):
                now = time.monotonic()
                took.append((now, now - float(found[-1])))


def _read(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> bytes:
    connection = cast("socket.socket", key.fileobj)
    try:
        data = connection.recv(2**20)
    except OSError:
        data = b""
    if not data:
        selector.unregister(connection)
        return b""
    # A ping is | 0x89 | 4 | payload (4) |, which text frames of ASCII do not hold, and which two reads may bring.
    rest: bytearray = key.data
    whole = bytes(rest) + data if rest else data
    at = whole.find(b"\x89\x04")
    ping = whole[at : at + 6] if at >= 0 else b""
    if len(ping) == 6:
        connection.send(b"\x8a\x84\0\0\0\0" + ping[2:])  # the pong, masked by zeros
        ping = b""
    rest[:] = ping or (b"\x89" if whole.endswith(b"\x89") else b"")
    return data


if __name__ == "__main__":
    _read_and_forget(sys.argv[1], int(sys.argv[2]))
