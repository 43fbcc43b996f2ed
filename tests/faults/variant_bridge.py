"""A bridge on a slow disk, for the negative control: ``right`` acknowledges after the commit, ``wrong`` before it.

Not in the product, where no setting could make it wrong. The disk is slow for both, so that a kill finds a commit under
way, and nothing differs but the order.
"""

import asyncio
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


if __name__ == "__main__":
    setattr(bridge_main, "Bridge", {"right": SlowBridge, "wrong": AckFirst}[sys.argv[1]])  # noqa: B010 - no name of ours
    bridge_main.main()
