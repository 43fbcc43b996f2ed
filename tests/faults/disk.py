"""Trials of the disk: full, damaged, and written by an earlier release."""

import asyncio
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.system import System
from tests.faults.flow import Flow, judge, status, wait_until_drained
from tests.faults.trial import Outcome, trial
from tests.proxy import Proxy
from tests.waiting import until

DISK_BYTES = 32 * 2**20
NOTE = "x" * 200
FULL_FOR_S = 3.0


@dataclass(frozen=True)
class Full:
    """What was seen while a spool was full, and after."""

    offered: int
    accepted: int
    lost: int
    duplicated: int
    answers: dict[int, int]
    has_retry_after: bool
    pubacks: int
    are_alive: bool
    is_clean: bool

    @property
    def holds(self) -> bool:
        return (
            self.is_clean
            and set(self.answers) == {503}
            and self.has_retry_after
            and self.pubacks == 0
            and self.are_alive
        )

    def __str__(self) -> str:
        retry = "with" if self.has_retry_after else "without"
        alive = "all alive" if self.are_alive else "A PROCESS ENDED"
        return f"answers {self.answers}, {retry} Retry-After; {self.pubacks} PUBACKs; {alive}"


@trial("R8", must_hold="503 + Retry-After, 0 x 201, 0 PUBACKs; processes alive; after space returns 0 lost")
def disk_full(directory: Path) -> Outcome:
    capped = directory / "cap"
    capped.mkdir()
    by_cap = _fill(System(capped, SPOOL_MAX_BYTES=4 * 2**20))
    system = System(directory)
    spool = system.settings.data_dir / "spool"
    spool.mkdir()
    with _small_disk(spool):
        by_disk = _fill(system, ballast=spool / "ballast")
    both = (by_cap, by_disk)
    return Outcome(
        injected="SPOOL_MAX_BYTES of 4 MiB reached; a disk of 32 MiB full to the last byte",
        offered=sum(each.offered for each in both),
        accepted=sum(each.accepted for each in both),
        lost=sum(each.lost for each in both),
        duplicated=sum(each.duplicated for each in both),
        measured=f"limit: {by_cap}. Disk: {by_disk}",
        holds=all(each.holds for each in both),
    )


def _fill(system: System, ballast: Path | None = None) -> Full:
    """Fill the spool with the store away, look at what is answered, then let it drain by itself.

    Args:
        ballast: What somebody else fills the disk with, to the last byte, and takes away in the end.
    """
    with _counted_pubacks(system) as pubacks:
        system.start("mosquitto", "bridge", "http_api")
        try:
            system.wait_until(mqtt="connected", bridge="active")
            flow = Flow(system, rate=20_000, per_message=20, also={"note": NOTE})
            until(lambda: status(system)["spool"]["is_full"], 60)
            until(lambda: system.health()["spool"].get("is_full"))
            if ballast:
                _fill_disk(ballast)
            before = pubacks()
            end, answers, has_retry_after = time.monotonic() + FULL_FOR_S, Counter[int](), True
            while time.monotonic() < end:
                answer = system.post("telemetry", {"sensor_id": "board", "n": 1})
                answers[answer.status_code] += 1
                has_retry_after &= "Retry-After" in answer.headers
            acknowledged = pubacks() - before
            flow.stop()
            are_alive = all(process.poll() is None for process in system._processes.values())
            if ballast:
                ballast.unlink()
            system.start("store")
            until(lambda: not status(system)["spool"]["is_full"], 60)
            with suppress(AssertionError):  # how many are lost is the verdict's to say
                until(lambda: status(system)["counters"]["accepted"] >= len(flow.accepted), 30)
            wait_until_drained(system)
            verdict = judge(system, flow.accepted)
        finally:
            system.stop_all()
    return Full(
        offered=flow.offered + answers.total(),
        accepted=len(flow.accepted),
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        answers=dict(answers),
        has_retry_after=has_retry_after,
        pubacks=acknowledged,
        are_alive=are_alive,
        is_clean=verdict.is_clean,
    )


def _fill_disk(file: Path) -> None:
    """Until nothing more goes onto it."""
    with suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))
    assert shutil.disk_usage(file.parent).free < 4096, "the disk is not full"


@contextmanager
def _counted_pubacks(system: System) -> Iterator[Callable[[], int]]:
    """Put a proxy between bridge and broker; yields how many PUBACKs the bridge has sent so far."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
    thread.start()
    proxy = Proxy(system.settings.mqtt_port)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(10)
    system._services["bridge"].environment["MQTT_PORT"] = str(proxy.port)
    try:
        yield lambda: sum(map(_pubacks, list(proxy.sent)))
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _pubacks(sent: bytearray) -> int:
    """Count the packets of type 4 (MQTT 5, 2.1); the last may be incomplete."""
    count, at = 0, 0
    data = bytes(sent)
    while at < len(data):
        count += data[at] >> 4 == 4
        size, shift, at = 0, 0, at + 1
        while at < len(data):
            size |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 0x80:
                break
        at += size
    return count


@contextmanager
def _small_disk(place: Path) -> Iterator[None]:
    """Mount one of ``DISK_BYTES`` there, which only root may.

    Raises:
        RuntimeError: This machine does not let us.
    """
    _mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False, timeout=10)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise RuntimeError(f"no disk of its own could be mounted, so that a full one was not tried: {done.stderr}")
