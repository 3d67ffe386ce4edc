"""After a restart: what the journal and the spools say of shares, before any manager is greeted."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine

from ostler.agent import inquest, proc, remains
from ostler.agent.elements import doubted, ends_of, lost_turn
from ostler.agent.hand import Hand
from ostler.agent.journal import Entry
from ostler.agent.office import Office, inquire, remove_spool
from ostler.agent.programs import EPILOG, end_left
from ostler.agent.spool import SpoolState, read_spool
from ostler.agent.starter_protocol import SPOOL
from ostler.core.agent_words import (
    Phase,
    Recovered,
)
from ostler.model.ids import AllocationId
from ostler.model.orders import ElementEnd, Ended, Launch

log = logging.getLogger("ostler.agent")

_NOT_STARTERS = ("agent", "supervisor")

_UNPREPARED = "its agent ended while its prolog ran"
_ANEW = "this node was started anew; nobody can tell how it ended"

NewHand = Callable[[AllocationId, Launch | None], Hand]


class Recovery:
    """One pass over everything that is on disk."""

    def __init__(self, office: Office, state: str, new_hand: NewHand) -> None:
        self._office = office
        self._folder = os.path.join(state, SPOOL)
        self._new_hand = new_hand
        self._inquiries: list[asyncio.Task[None]] = []
        self._spools: dict[str, SpoolState] = {}  # by path, as far as they can be read
        self._seen: set[str] = set()  # names of spools that a share of the journal explains

    async def run(self) -> None:
        """Take up every share, and clean up after those that nobody holds."""
        for sentence in self._office.journal.damage:
            log.warning("journal is damaged", extra={"what": sentence})
        for name in sorted(self._names()):
            self._look(os.path.join(self._folder, name))
        for alloc, entry in list(self._office.journal.entries.items()):
            self._take_up(alloc, entry)
        for name in sorted(self._names() - self._seen):
            self._stray(os.path.join(self._folder, name))
        if self._inquiries:
            await asyncio.wait(self._inquiries)
        elif not self._office.journal.entries:
            self._office.reaper.clear()

    def _names(self) -> set[str]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return set()
        return {name for name in names if name.partition(".")[0] not in _NOT_STARTERS}

    def _look(self, path: str) -> None:
        """Read a spool, once, as it may be long; say what is damaged, the rest of it is used."""
        try:
            self._spools[path] = read_spool(path)
            damage = self._spools[path].damage
        except OSError as error:
            damage = [f"{path}: {error.strerror}"]
        for sentence in damage:
            log.warning("a spool is damaged", extra={"what": sentence})

    # -- shares of the journal -------------------------------------------------------------

    def _take_up(self, alloc: AllocationId, entry: Entry) -> None:
        handed = entry.handed
        if entry.ran is not None and entry.boot_id == self._office.boot_id:
            end_left(entry.ran)
        if handed is None:
            if entry.ended is not None:
                self._recovered(alloc, entry, Phase.ENDED, entry.ended)
            elif entry.boot_id != self._office.boot_id:
                self._other_boot(alloc, entry, "")
            else:
                self._never_ran(alloc, entry)
            return
        self._seen.add(handed.name)
        path = os.path.join(self._folder, handed.name)
        here = self._is_of_this_boot(entry, path)
        if here and proc.is_alive(handed.pid, handed.start_time):
            hand = self._alive(alloc, entry, path)
            hand.adopt(self._office.starters.known(handed.name, handed.pid, handed.start_time))
        elif entry.ended is not None:
            self._recovered(alloc, entry, Phase.ENDED, entry.ended).died(path)
        elif not here:
            self._other_boot(alloc, entry, path)
        else:
            self._later(self._dead(alloc, entry, path, handed.above))

    def _is_of_this_boot(self, entry: Entry, path: str) -> bool:
        """Say whether the share was accepted in this boot; where the journal lost that, its spool.

        A living process with the starter's number and start time is proof enough.
        """
        if entry.boot_id or entry.handed is None:
            return entry.boot_id == self._office.boot_id
        if proc.is_alive(entry.handed.pid, entry.handed.start_time):
            return True
        state = self._spools.get(path)
        return state is not None and state.boot_id == self._office.boot_id

    def _later(self, inquiry: Coroutine[None, None, None]) -> None:
        self._inquiries.append(asyncio.get_running_loop().create_task(inquiry))

    async def _dead(
        self, alloc: AllocationId, entry: Entry, path: str, above: tuple[int, int]
    ) -> None:
        """Find out about a share whose starter died while nobody watched."""
        verdict = await inquire(self._office, path, alloc, above)
        if isinstance(verdict, inquest.NeverRan):
            remove_spool(path)
            self._never_ran(alloc, entry)
        else:
            self._recovered(alloc, entry, Phase.ACCEPTED).judged(path, verdict)

    def _recovered(
        self, alloc: AllocationId, entry: Entry, phase: Phase, ended: Ended | None = None
    ) -> Hand:
        hand = self._new_hand(alloc, entry.launch)
        hand.over = ended is not None
        if hand.around is not None and entry.boot_id == self._office.boot_id:
            hand.around.touched = entry.handed is not None or entry.ran is not None
            if entry.ran is not None and entry.ran.what == EPILOG:
                hand.around.begun = entry.ran
        at = None if ended is None else ended.started_at
        found = Recovered(entry.launch, alloc, phase, at, ended, progress=entry.progress)
        self._office.feed(found)
        return hand

    def _alive(self, alloc: AllocationId, entry: Entry, path: str) -> Hand:
        """Go by the spool; the starter itself will come and tell more."""
        if entry.ended is not None:
            return self._recovered(alloc, entry, Phase.ENDED, entry.ended)
        hand = self._recovered(alloc, entry, Phase.ACCEPTED)
        state = self._spools.get(path)
        if state is not None and state.alloc == alloc and state.first_start is not None:
            hand.started(state.first_start)
        return hand

    def _never_ran(self, alloc: AllocationId, entry: Entry) -> None:
        """No starter has it. What would start at once is left to the manager to order again.

        It may have been told elsewhere meanwhile, as we were silent; "not held" says that it did
        not run. A context alone does no harm and is made anew.
        """
        ran = entry.ran
        if ran is not None and (entry.launch.start or ran.what == EPILOG):
            hand = self._recovered(alloc, entry, Phase.ACCEPTED)
            hand.finish(Ended(alloc, time.time(), None, "", _UNPREPARED))
            return
        if entry.launch.start:
            self._office.journal.drop(alloc)
            return
        self._new_hand(alloc, entry.launch)
        launch = entry.launch
        self._office.feed(Recovered(launch, alloc, Phase.ACCEPTED, alive=False))

    def _other_boot(self, alloc: AllocationId, entry: Entry, path: str) -> None:
        """Nothing of another boot lives; how it ended is known only if it was written down."""
        row, ends = _written(self._spools.get(path), alloc)
        hand = self._recovered(alloc, entry, Phase.ACCEPTED)
        if path:
            hand.died(path)
        hand.finish(row or inquest.lost(alloc, entry.accepted_at, _ANEW), ends)

    # -- spools that no share explains -----------------------------------------------------

    def _stray(self, path: str) -> None:
        """Adopt what runs although the journal does not know it, for a person to end or keep."""
        state = self._spools.get(path)
        if state is None:
            return
        alive = state.boot_id == self._office.boot_id and proc.is_alive(state.pid, state.start_time)
        alloc = state.alloc
        known = alloc is None or alloc in self._office.hands
        if alive and (known or state.ended is not None):
            return  # it connects and is told to forget, or is idle and ends
        if alloc is None or known or (not alive and not remains.orphans(state)):
            remove_spool(path)
            return
        log.warning("a share is not in the journal", extra={"alloc": alloc, "spool": path})
        hand = self._new_hand(alloc, None)
        at = state.first_start
        phase = Phase.MADE if at is None else Phase.STARTED
        self._office.feed(Recovered(None, alloc, phase, at))
        if alive:
            name = os.path.basename(path)
            hand.adopt(self._office.starters.known(name, state.pid, state.start_time))
        else:
            self._later(self._stray_dead(hand, path))

    async def _stray_dead(self, hand: Hand, path: str) -> None:
        hand.judged(path, await inquire(self._office, path, hand.alloc, (0, 0)))


def _written(
    state: SpoolState | None, alloc: AllocationId
) -> tuple[Ended | None, tuple[ElementEnd, ...]]:
    """Return what the spool of another boot tells of a share's end, and of its elements'."""
    if state is None or state.alloc != alloc:
        return None, ()
    ends, row = ends_of(state), inquest.ended_row(state)
    if row is not None:
        return doubted(row, state), ends
    # It was not synced, so that it is no proof that the elements behind did not run.
    began = None if state.first_start is None else inquest.lost(alloc, state.first_start, _ANEW)
    return began, ends + (lost_turn(state, _ANEW) if state.is_slot else ())
