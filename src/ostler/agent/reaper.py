"""The agent as reaper: what ends below it is recorded before the kernel forgets it."""

import asyncio
import os
import signal

from ostler.agent import proc
from ostler.agent.reaped import Reaped, ReapedLog, next_zombie, read_reaped, still_there
from ostler.agent.starter_protocol import SPOOL
from ostler.wire.supervise import process_start, read_supervisor

_STEP = 0.01  # seconds between looks at somebody else's zombie
_PATIENCE = 2.0  # seconds in which a living supervisor must have reaped


class Reaper:
    """Reaps at SIGCHLD, and finds how a process ended that we or the supervisor reaped."""

    def __init__(self, state: str) -> None:
        self._state = state
        folder = os.path.join(state, SPOOL)
        self._paths = [os.path.join(folder, name) for name in ("agent", "supervisor")]
        self._log = ReapedLog(self._paths[0])
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self.reap)
        self.reap()

    def reap(self) -> None:
        """Reap everything that has ended."""
        while pid := next_zombie():
            if self._log.reap(pid) is None:
                return  # somebody waits for it already

    def supervisor(self) -> tuple[int, int]:
        """Return pid and start time of the living supervisor; zeros if there is none."""
        record = read_supervisor(self._state)
        pid, began = record.get("pid"), record.get("start_time")
        if isinstance(pid, int) and isinstance(began, int) and process_start(pid) == began:
            return pid, began
        return 0, 0

    def above(self, pid: int) -> tuple[int, int]:
        """Return the same if it is above this process, so that it would reap its orphans."""
        found = self.supervisor()
        while found[0] and pid > 1 and pid != found[0]:
            pid = proc.parent(pid)
        return found if found[0] and pid == found[0] else (0, 0)

    async def settle(self) -> None:
        """Wait until what has ended around us is in the records."""
        deadline = self._loop.time() + _PATIENCE
        while True:
            self.reap()
            supervisor, _ = self.supervisor()
            left = [pid for pid in proc.children(supervisor) if proc.is_zombie(pid)]
            if not supervisor or not left or self._loop.time() > deadline:
                return
            await asyncio.sleep(_STEP)

    async def ending(self, pid: int, start_time: int) -> Reaped | None:
        """Return how a process that has ended did so; None if nobody of ours reaped it."""
        deadline = self._loop.time() + _PATIENCE
        while True:
            self.reap()
            gone = not still_there(pid, start_time)
            found = self.records().get((pid, start_time))
            # Once it is gone its record is whole: it was written before it was reaped.
            if gone or self._loop.time() > deadline:
                return found
            await asyncio.sleep(_STEP)

    def records(self) -> dict[tuple[int, int], Reaped]:
        """Return everything that was reaped here and by the supervisor."""
        return read_reaped(self._paths) | self._log.records()

    def clear(self) -> None:
        """Drop our own records: no share is left that they could tell of."""
        self._log.clear()

    def close(self) -> None:
        """Stop reaping."""
        self._loop.remove_signal_handler(signal.SIGCHLD)
        self._log.close()
