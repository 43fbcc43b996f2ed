"""Trials of the HTTP edge: R15 (crowds), R19 (slow and silent clients), R20 (bodies without end)."""

import gzip
import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.e2e.system import ROOT, System
from tests.faults.flow import Board
from tests.faults.running import running
from tests.faults.trial import Outcome, trial

SAMPLE_S = 0.005
PACE_BYTES = 8192
PACE_S = 0.02  # between two pieces, for an answer to come
HUGE_BYTES = 200_000_000
MOST_BYTES = 65_536
MOST_RSS_MB = 5.0
RATE = 100.0  # a legitimate board's
CALM_S = 10.0
CROWD_S = 30.0
Fate = tuple[float | None, str]


@trial("R20", must_hold="413 after <= 64 KiB; RSS +<= 5 MB")
def endless_bodies(directory: Path) -> Outcome:
    with running(directory) as system:
        system.wait_until()
        for number in range(200):  # so that what is allocated once is allocated
            assert system.post("telemetry", {"sensor_id": "calm", "n": number}).status_code == 201
        zeros = gzip.compress(bytes(HUGE_BYTES), 1)
        packed = {"Content-Encoding": "gzip", "Content-Length": str(len(zeros))}
        chunked = {"Transfer-Encoding": "chunked"}
        with _rss_mb(system) as most_mb:
            paced = [
                _paced(system, {"Content-Length": str(HUGE_BYTES)}, bytes(PACE_BYTES)),
                _paced(system, chunked, b"%x\r\n%b\r\n" % (PACE_BYTES, bytes(PACE_BYTES))),
                _paced(system, packed, zeros[:PACE_BYTES]),
                _paced(system, packed | chunked | {"Content-Length": ""}, b"2000\r\n%b\r\n" % zeros[:PACE_BYTES]),
            ]
            poured = [_poured(system, {"Content-Length": str(HUGE_BYTES)}), _poured(system, chunked)]
            small = gzip.compress(bytes(50_000_000))
            assert len(small) < MOST_BYTES
            unpacked = system.http.post("/api/v1/telemetry", content=small, headers={"Content-Encoding": "gzip"})
        grown_mb = max(most_mb) - most_mb[0]
        after = system.post("telemetry", {"sensor_id": "calm", "n": -1}).status_code
    statuses = [status for status, _ in paced] + [status for status in poured if status]
    most_bytes = max(sent for _, sent in paced)
    return Outcome(
        injected="200 MB declared, 200 MB without a length, packed zeros; paced and poured",
        measured=f"{_told(Counter(statuses))} after at most {most_bytes} bytes; "
        f"a small packed bomb {unpacked.status_code}; RSS +{grown_mb:.1f} MB; then {after}",
        holds=set(statuses) <= {413, 415}
        and most_bytes <= MOST_BYTES + PACE_BYTES  # what was sent while the answer came
        and unpacked.status_code == 415
        and grown_mb <= MOST_RSS_MB
        and after == 201,
    )


def _paced(system: System, headers: dict[str, str], piece: bytes) -> tuple[int, int]:
    """Send piece by piece until there is an answer: its status, and how many bytes of the body went before it."""
    with _begun(system, headers) as connection:
        sent = 0
        while not select.select([connection], [], [], PACE_S)[0]:
            assert sent < 100 * MOST_BYTES, "no answer"
            connection.sendall(piece)
            sent += PACE_BYTES
        return _status(connection.recv(1000)), sent


def _poured(system: System, headers: dict[str, str]) -> int:
    """Send as fast as it goes, and read afterwards; 0 where the reset came before the answer was read."""
    megabyte = bytes(2**20)
    piece = b"100000\r\n%b\r\n" % megabyte if "Transfer-Encoding" in headers else megabyte
    with _begun(system, headers) as connection:
        with suppress(OSError):
            for _ in range(HUGE_BYTES // len(megabyte)):
                connection.sendall(piece)
        with suppress(OSError):
            return _status(connection.recv(1000))
    return 0


def _begun(system: System, headers: dict[str, str]) -> socket.socket:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
    connection = socket.create_connection(("127.0.0.1", system.settings.http_port), 15)
    connection.sendall(f"POST /api/v1/telemetry HTTP/1.1\r\nHost: a\r\nX-API-Key: {system.key}\r\n{lines}\r\n".encode())
    return connection


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@contextmanager
def _rss_mb(system: System) -> Iterator[list[float]]:
    """What http_api has in memory, sampled again and again."""
    process = psutil.Process(system._processes["http_api"].pid)
    samples = [process.memory_info().rss / 1e6]
    stopping = threading.Event()

    def sample() -> None:
        while not stopping.wait(SAMPLE_S):
            samples.append(process.memory_info().rss / 1e6)

    thread = threading.Thread(target=sample, name="rss")
    thread.start()
    try:
        yield samples
    finally:
        stopping.set()
        thread.join()


def _told(counts: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(counts.items()))


@trial("R19", must_hold="closed <= 10 s; a board's p99 <= 1.2x, or below 10 ms", is_long=True)
def slow_clients(directory: Path) -> Outcome:
    with running(directory) as system:
        system.wait_until()
        board = Board(system, RATE)
        began = time.monotonic()
        time.sleep(CALM_S)
        crowds = [_crowd(system, sort, 500, CROWD_S, password=system.key) for sort in ("slow", "idle")]
        fates = [fate for crowd in crowds for fate in _fates(crowd)]
        ended = time.monotonic()
        time.sleep(CALM_S)
        board.stop()
        before_s, during_s = board.p99_s(began, began + CALM_S), board.p99_s(began + CALM_S, ended)
        after_s = board.p99_s(ended, ended + CALM_S)
        tracebacks = system.log("http_api").count("Traceback")
    longest_s = max(CROWD_S if lasted_s is None else lasted_s for lasted_s, _ in fates)
    return Outcome(
        injected="500 slow clients (head, body, chunks, not reading) and 500 silent ones",
        offered=sum(board.answers.values()),
        accepted=len(board.accepted),
        measured=f"closed after at most {longest_s:.1f} s; a board's p99 {1000 * before_s:.1f} ms before, "
        f"{1000 * during_s:.1f} ms meanwhile, {1000 * after_s:.1f} ms after; answers {_told(board.answers)}",
        holds=longest_s <= 10
        and set(board.answers) == {201}
        and not tracebacks
        and (during_s <= 1.2 * max(before_s, after_s) or during_s < 0.01),
    )


@trial("R15", must_hold="bridge disconnects 0; refused ones get 503; ingest p99 < 2 s; no OOM", is_long=True)
def crowds(directory: Path) -> Outcome:
    with running(directory) as system:
        system.wait_until()
        board = Board(system, RATE)
        began = time.monotonic()
        password = system.settings.mqtt_device_password.get_secret_value()
        by_mqtt = _crowd(system, "mqtt", 10_000, 3 * 30.0, password=password)
        by_http = _crowd(system, "http", 10_000, CROWD_S)
        http_fates = _fates(by_http)
        mqtt_fates = _fates(by_mqtt)
        board.stop()
        p99_s = board.p99_s(began, time.monotonic())
        rss_mb = {
            name: psutil.Process(process.pid).memory_info().rss / 1e6 for name, process in system._processes.items()
        }
        exits = [name for name, process in system._processes.items() if process.poll() is not None]
        cuts = sum(system.log(name).count("trying again") for name in ("bridge", "http_api"))
    let_in = sum(told.startswith("\x20") for _, told in mqtt_fates)
    answers = Counter(told.split(" ")[1] if told.startswith("HTTP") else told or "nothing" for _, told in http_fates)
    return Outcome(
        injected="10,000 MQTT connects within 30 s, 10,000 HTTP connections within 10 s",
        offered=sum(board.answers.values()),
        accepted=len(board.accepted),
        measured=f"services cut off {cuts} x; {let_in} MQTT clients let in; HTTP: "
        + ", ".join(f"{count} x {told}" for told, count in answers.most_common())
        + f"; a board: {_told(board.answers)}, p99 {1000 * p99_s:.0f} ms; "
        + ", ".join(f"{name} {size:.0f} MB" for name, size in rss_mb.items()),
        holds=not cuts
        and not exits
        and p99_s < 2
        and set(answers) <= {"200", "503"}
        and set(board.answers) <= {201, 202, 503},
    )


def _crowd(system: System, sort: str, count: int, seconds: float, *, password: str = "") -> subprocess.Popen[bytes]:
    port = system.settings.mqtt_port if sort == "mqtt" else system.settings.http_port
    command = [sys.executable, "-m", "tests.faults.variant_crowd", sort, str(port), str(count), str(seconds), password]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def _fates(crowd: subprocess.Popen[bytes]) -> list[Fate]:
    output, _ = crowd.communicate()
    assert crowd.returncode == 0, f"the crowd ended with {crowd.returncode}"
    fates: list[Fate] = [(lasted_s, told) for lasted_s, told in json.loads(output)]
    return fates
