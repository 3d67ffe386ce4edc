"""Watching the supervisor from within a daemon's loop, so that there always is one."""

import asyncio
import os
from collections.abc import Callable

from ostler.model.errors import OstlerError
from ostler.wire.supervise import (
    launch_supervisor,
    open_process,
    read_supervisor,
    watch_supervisor,
)


class SupervisorWatch:
    """Watches the supervisor from within a loop, and sees to it that there is one again.

    When it dies, waits `patience` seconds for others to act, starts another if none did, and calls
    `replaced`: the new supervisor brings fresh daemons, so the caller should end. With no patience
    at all, None, nobody starts another: it would not be in the job that this one was.
    """

    def __init__(self, state: str, patience: float | None, replaced: Callable[[str], None]) -> None:
        self._state = state
        self._patience = patience
        self._replaced = replaced
        self._loop = asyncio.get_running_loop()
        self._fd: int | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> bool:
        """Watch the supervisor that is there now; say whether there is one that is our parent."""
        record = read_supervisor(self._state)
        fd = open_process(record)
        if fd is None or record.get("pid") != os.getppid():
            if fd is not None:
                os.close(fd)
            return False
        self._fd = fd
        self._loop.add_reader(fd, self._on_end)
        return True

    def _on_end(self) -> None:
        self.stop()
        self._task = self._loop.create_task(self._replace())

    async def _replace(self) -> None:
        if self._patience is None:
            self._replaced("the supervisor died, and with it the job that this node was")
            return
        await asyncio.sleep(self._patience)
        fd = watch_supervisor(self._state)
        if fd is not None:
            os.close(fd)
            self._replaced("another supervisor is there")
            return
        try:
            pid = await self._loop.run_in_executor(None, launch_supervisor, self._state)
            self._replaced(f"the supervisor died; started another, pid {pid}")
        except (OstlerError, OSError) as error:
            self._replaced(f"the supervisor died; could not start another: {error}")

    def stop(self) -> None:
        """Stop watching."""
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None
