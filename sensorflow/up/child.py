"""One child process: started again when it ends by itself, ended when we say so, and never left behind."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from sensorflow.backoff import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensorflow.up.services import Service

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_SOUND_AFTER_S = 30.0  # whoever ran as long as this is started again as quickly as at first
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

log = logging.getLogger("up")


class Child:
    """A service's process, in a process group of its own, so that Ctrl-C in the terminal reaches the supervisor alone.

    Its standard output is our standard error: ours is for the person who started us.
    """

    def __init__(self, service: Service, lock: int) -> None:
        """Keep ``lock``, a file descriptor, open in the child for as long as it lives."""
        self.name = service.name
        self._service = service
        self._lock = lock
        self._process: asyncio.subprocess.Process | None = None
        self._is_ending = asyncio.Event()

    async def run(self) -> None:
        """Keep it running until :meth:`end`."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._is_ending.is_set():
            started = loop.time()
            self._process = await self._start()
            if self._is_ending.is_set():  # said while it was being started: it has nothing yet to lose
                self._process.kill()
            code = await self._process.wait()
            if self._is_ending.is_set():
                return
            failures = 1 if loop.time() - started > _SOUND_AFTER_S else failures + 1
            delay_s = backoff_s(failures - 1, first_s=_FIRST_DELAY_S, most_s=_LONGEST_DELAY_S)
            log.warning("%s ended with %s; starting it again in %.1f s", self.name, _describe(code), delay_s)
            await self._pause(delay_s)

    async def end(self, timeout_s: float) -> None:
        """End it by SIGTERM, and by SIGKILL if it is still there after ``timeout_s``."""
        self._is_ending.set()
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), timeout_s)
        except TimeoutError:
            log.error("%s did not end within %.1f s of SIGTERM; killed", self.name, timeout_s)  # noqa: TRY400 # no bug
            self._process.kill()
            await self._process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._service.command,
            env=self._service.environment,
            cwd=self._service.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            pass_fds=(self._lock,),
            process_group=0,
            preexec_fn=_end_with_parent(),
        )

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._is_ending.wait(), seconds)
        except TimeoutError:
            return


def _describe(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _end_with_parent() -> Callable[[], None] | None:
    """What a new child does first on Linux: ask for a SIGTERM when its parent ends, even if that is by SIGKILL.

    Elsewhere nothing does that; the next start then says that an earlier one's processes are still there.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # before the fork: nothing is loaded after it
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)

    return ask
