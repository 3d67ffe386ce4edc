"""What became of a share whose starter died: it is over, never ran, goes on, or nobody knows.

The order of a spool's records is the evidence. The one gap, a task between its `INTENT` and its
`PID` record, is closed by `spawned`.
"""

import logging
import os
import time
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from ostler.agent.elements import doubted, ends_of
from ostler.agent.reaper import Reaper
from ostler.agent.spawned import settle_open
from ostler.agent.spool import SpoolState, read_spool
from ostler.model.ids import AllocationId
from ostler.model.orders import ElementEnd, Ended
from ostler.model.states import Result

log = logging.getLogger("ostler.agent")


class Over(Struct, frozen=True):
    """It had ended before its starter died; of a slot with the ends of its elements."""

    row: Ended
    ends: tuple[ElementEnd, ...] = ()


class NeverRan(Struct, frozen=True):
    """It is proven that no task was spawned."""


class GoesOn(Struct, frozen=True):
    """Something of it ran; what lives is to be watched."""

    state: SpoolState
    started_at: float  # the share, Unix seconds
    turn: float | None  # what is watched; None: a slot of which no element is known to run
    unknown: frozenset[int] = frozenset()  # ranks nobody can tell of
    ends: tuple[ElementEnd, ...] = ()  # of a slot: elements that were over


class Unknown(Struct, frozen=True):
    """It may have run, and nothing can tell."""

    why: str


Verdict = Over | NeverRan | GoesOn | Unknown


def ended_row(state: SpoolState) -> Ended | None:
    """Return the end that the spool tells, if it does."""
    if state.ended is None:
        return None
    try:
        return msgspec.convert(state.ended, Ended)
    except msgspec.ValidationError:
        return None


async def inquire(path: str, alloc: AllocationId, reaper: Reaper, *, covered: bool) -> Verdict:
    """Return what became of a share, by its dead starter's spool.

    covered: a reaper of ours was above the starter for all its life, so that every child it had
    is alive or on record.
    """
    try:
        state = read_spool(path)
    except FileNotFoundError:
        return NeverRan()  # a starter removes it only when it leaves without a share
    except OSError as error:
        return Unknown(f"its starter died and left no readable record: {error.strerror}")
    if not state.header:
        return Unknown("its starter died and its record is damaged")
    if state.alloc != alloc:
        # The order was on its way when the starter died.
        return Unknown("its starter's record is damaged") if state.damage else NeverRan()
    ends = ends_of(state)
    for sentence in state.damage:
        log.warning("a spool is damaged", extra={"what": sentence})
    row = ended_row(state)
    if row is not None:
        return Over(doubted(row, state), ends)
    if not state.is_slot and not state.tasks and state.damage:
        return Unknown("its starter died and its record is damaged")
    intents = {task.rank: task.intended_at for task in state.tasks.values()}
    # What cannot be read may be the record of a spawn.
    folder = os.path.dirname(path)
    unknown = await settle_open(folder, state, reaper, covered=covered and not state.damage)
    ran = [at for rank, at in intents.items() if rank in state.tasks or rank in unknown]
    turn = min(ran, default=None)
    if not state.is_slot:
        return NeverRan() if turn is None else GoesOn(state, turn, turn, unknown)
    if turn is None and not state.damage:
        return _stood(state, alloc, intents.values(), ends)
    # Damage may hide an element that runs: whatever lives is looked for and ended.
    began = state.first_start or turn or time.time()
    return GoesOn(state, began, turn, unknown, ends)


def _stood(
    state: SpoolState,
    alloc: AllocationId,
    intents: Iterable[float],
    ends: tuple[ElementEnd, ...],
) -> Verdict:
    """Return the verdict on a slot of which no element runs. intents: of spawns that failed."""
    began = state.first_start
    if began is not None and began in intents:
        began = None
    if began is None and not ends:
        return NeverRan()
    return Over(Ended(alloc, time.time(), began, state.share_cause, state.share_why), ends)


def lost(alloc: AllocationId, started_at: float, why: str) -> Ended:
    """Return the report of a share of which nobody can tell how it ended."""
    return Ended(alloc, time.time(), started_at, Result.LOST, why)
