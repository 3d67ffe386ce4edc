"""Starters that no longer run are ended, so that the agent takes their place.

On a system machine a starter has its job's user, who can stop it like any process of theirs, or
leave it a descriptor whose close never returns. Then nobody would keep the job's limits or end it.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping

from ostler.agent import proc
from ostler.agent.hand import Hand
from ostler.agent.starters import Starter
from ostler.model.ids import AllocationId

log = logging.getLogger("ostler.agent")

_LOOK = 3.0  # seconds between two looks; at each a starter is given cause to run
_MISSES = 3  # looks in a row without a sign of life


class Watchdog:
    """Looks at the starters of other users' shares."""

    def __init__(self, hands: Mapping[AllocationId, Hand]) -> None:
        self._hands = hands
        self._loop = asyncio.get_running_loop()
        self._seen: dict[Starter, tuple[int, int]] = {}  # switches, and looks without a new one
        self._timer = self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        self._timer = self._loop.call_later(_LOOK, self._look)
        own = os.geteuid()
        seen: dict[Starter, tuple[int, int]] = {}
        for hand in self._hands.values():
            starter = hand.starter
            if starter is None or (hand.launch is not None and hand.launch.uid == own):
                continue
            switches = proc.switches(starter.pid)
            before, misses = self._seen.get(starter, (-1, 0))
            misses = misses + 1 if switches == before else 0
            if misses >= _MISSES:
                self._end(starter, hand.alloc)
                continue
            seen[starter] = (switches, misses)
            starter.send({"type": "ping", "alloc": hand.alloc})
        self._seen = seen

    def _end(self, starter: Starter, alloc: AllocationId) -> None:
        log.warning("a starter does not run", extra={"starter": starter.name, "alloc": alloc})
        with contextlib.suppress(ProcessLookupError):
            if starter.pidfd >= 0:
                signal.pidfd_send_signal(starter.pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()
