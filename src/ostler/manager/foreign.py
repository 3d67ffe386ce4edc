"""All resource managers beside our own: one runner for each that is enabled."""

import asyncio
from collections.abc import Callable
from typing import Any

from ostler.core.effects import Call, TakenIn
from ostler.core.events import Event
from ostler.core.state import State
from ostler.manager.native import Blobs
from ostler.manager.runner import Runner
from ostler.model.site import ResourceManager


class Foreign:
    """Runners, as the rows of the site want them."""

    def __init__(
        self, state: Callable[[], State], put: Callable[[Event], None], blobs: Blobs
    ) -> None:
        self._state = state
        self._put = put
        self._blobs = blobs
        self.runners: dict[str, Runner] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def configured(self) -> None:
        """Obey the rows as they are now: one that has changed gets a new process."""
        rows = {row.name: row for row in self._state().site.rms.values() if row.enabled}
        for name, runner in list(self.runners.items()):
            if name not in rows or _differs(rows[name], runner.row):
                self._end(self.runners.pop(name))
        for name, row in rows.items():
            if name not in self.runners:
                self.runners[name] = Runner(row, self._put, self._blobs, self._is_taking)

    def _is_taking(self, name: str) -> bool:
        """Say whether a load is being taken in that needs more turns."""
        rm = self._state().rms.get(name)
        return rm is not None and rm.intake is not None

    def give(self, call: Call) -> None:
        """Have an order carried out; what becomes of one for nobody is never known."""
        if runner := self.runners.get(call.rm):
            runner.give(call)

    def taken_in(self, taken: TakenIn) -> None:
        """Take note that a load is in that took several turns."""
        if runner := self.runners.get(taken.rm):
            runner.taken_in()

    def read(self) -> dict[str, dict[str, Any]]:
        """Return timings and processes by resource manager."""
        return {name: runner.read() for name, runner in self.runners.items()}

    def forget(self) -> None:
        """Begin anew with what the database has: what was not durable is forgotten."""
        for runner in self.runners.values():
            runner.forget()

    def _end(self, runner: Runner) -> None:
        task = asyncio.get_running_loop().create_task(runner.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End all processes, and wait until they have."""
        for runner in self.runners.values():
            self._end(runner)
        self.runners.clear()
        while self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)


_OURS = ("driver", "settings", "interval", "deadline", "workers")  # the rest is the core's matter


def _differs(row: ResourceManager, other: ResourceManager) -> bool:
    return any(getattr(row, field) != getattr(other, field) for field in _OURS)
