"""A bridge that SIGUSR1 kills as ``kill -9`` does, and starts again: each is forked where all modules are loaded.

To load them is most of a start, and fifty starts of Python would take longer than all that R1 is about.

``ours`` is the bridge as it is. The other two are for the negative control, on a disk that is slow for both, so that a
kill finds a commit under way: ``right`` acknowledges after the commit, ``wrong`` before it.
"""

import asyncio
import os
import signal
import sys

from bridge import __main__ as bridge_main
from bridge.intake import Commit
from bridge.service import Bridge

COMMIT_S = 0.05


class SlowBridge(Bridge):
    """Ours, but for the time that a commit takes."""

    async def _commit(self, commit: Commit, stopping: asyncio.Event) -> bool:
        await asyncio.sleep(COMMIT_S)
        return await super()._commit(commit, stopping)


class AckFirst(SlowBridge):
    """The same with two lines swapped."""

    async def _commit(self, commit: Commit, stopping: asyncio.Event) -> bool:
        deliveries, commit.deliveries = commit.deliveries, []
        self._session.acknowledge(deliveries)
        return await super()._commit(commit, stopping)


BRIDGES = {"ours": Bridge, "right": SlowBridge, "wrong": AckFirst}


def main() -> None:
    """Fork one bridge after the other, until SIGTERM, which the last one is told."""
    setattr(bridge_main, "Bridge", BRIDGES[sys.argv[1]])  # noqa: B010 - no name of ours
    told = {signal.SIGUSR1, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, told)
    while True:
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, told)
            bridge_main.main()
            return
        number = signal.sigwait(told)
        os.kill(pid, signal.SIGKILL if number == signal.SIGUSR1 else signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        if number == signal.SIGTERM:
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
