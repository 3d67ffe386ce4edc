"""Moves what ended long ago from the database into archives, beside everything else.

Reading and copying happen in a thread of its own, deleting in the writer's, some rows at a time.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ostler.core.archive import lifetimes
from ostler.core.events import Archived
from ostler.manager.turns import Turns
from ostler.model.errors import OstlerError
from ostler.store.protocol import Store

log = logging.getLogger("ostler.manager")

OFTEN = 10  # looks in the shorter lifetime,
RARELY = 600.0  # but so many seconds at most between two
LOOK = 1.0  # seconds after which a changed setting is seen
JOBS = 500  # at a time
ROWS = 2_000  # of a table deleted in one transaction, or of accounting

Made = TypeVar("Made")


class Archivist:
    """The housekeeping of one manager."""

    def __init__(
        self, store: Store, turns: Turns, folder: str, epoch: int, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._turns = turns
        self._folder = folder
        self._epoch = epoch
        self._clock = clock
        self._said = ""
        self._emptied = False  # since blobs were looked at

    async def run(self) -> None:
        """Go on until cancelled: at once when a lifetime is set, else now and then."""
        seen: tuple[int, int] | None = None
        due = time.monotonic()
        while True:
            state = self._turns.machine.state
            now = state.setting("jobs-lifetime"), state.setting("accounting-lifetime")
            if now != seen or time.monotonic() >= due:
                shorter = min((each for each in now if each), default=RARELY)
                seen, due = now, time.monotonic() + min(shorter / OFTEN, RARELY)
                try:
                    while await self.round():
                        pass
                    await self._sweep()
                    self._said = ""
                except OstlerError as error:  # a full disk, say: the next time is as good
                    if str(error) != self._said:
                        log.warning("cannot archive", extra={"error": str(error)})
                    self._said = str(error)
            await asyncio.sleep(LOOK)

    async def round(self) -> bool:
        """Move one batch; say whether there may be more."""
        before, accounts_before = lifetimes(self._turns.machine.state, self._clock())
        moved = False
        if before is not None:
            moved = await self._jobs(before)
        if accounts_before is not None:
            copy = partial(self._store.copy_accounts, self._folder, accounts_before, ROWS)
            accounts = await asyncio.to_thread(copy)
            if accounts:
                await self._write(partial(self._store.drop_accounts, self._epoch, accounts))
            moved = moved or len(accounts) == ROWS
        return moved

    async def _jobs(self, before: float) -> bool:
        copied = await asyncio.to_thread(self._store.copy_jobs, self._folder, before, JOBS)
        if not copied:
            return False
        self._turns.put(Archived(tuple(copied), before))
        await self._turns.barrier()
        state = self._turns.machine.state
        gone = [job for job in copied if job not in state.ended and job not in state.jobs]
        while not await self._write(partial(self._store.drop_jobs, self._epoch, gone, ROWS)):
            pass  # others have had their turn meanwhile
        self._emptied = self._emptied or bool(gone)
        return bool(gone)

    async def _sweep(self) -> None:
        """Remove environments and scripts that only jobs named which have moved."""
        if self._emptied:
            digests, asked = await asyncio.to_thread(self._store.orphans)
            if digests:
                await self._write(partial(self._store.drop_blobs, self._epoch, digests, asked))
            self._emptied = False

    async def _write(self, work: Callable[[], Made]) -> Made:
        """Do it in the writer's thread, and return what it returned."""
        made: list[Made] = []
        await self._turns.in_writer(lambda: made.append(work()))
        return made[0]
