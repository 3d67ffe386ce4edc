"""What becomes of work on nodes that are in another partition now: it goes on, is waited for, stands still.

Nothing of it is ended, and slots of arrays take no more elements there. By the `moved` of the
active configuration: with `go_on` others may start beside it, with `drain` nothing starts on its
nodes before it has ended, with `suspend` it stands still until its nodes are its partition's again.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.halts import freeze
from ostler.core.moves import settle
from ostler.core.slots import drain
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.ids import is_step
from ostler.model.site import Moved
from ostler.model.states import AllocationState, Suspender


def moved(s: State, now: float, nodes: Iterable[str]) -> None:
    """Decide about everything on these nodes, of which each may be in another partition now."""
    numbers = {number for name in nodes for number in s.nodes[name].allocations}
    for number in sorted(numbers):
        alloc = s.allocations[number]
        if not is_step(alloc.job):  # those go with their allocation
            placed(s, now, s.jobs[alloc.job], alloc)


def placed(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """Decide about an allocation of which a node may be in another partition than its job."""
    if away(s, entry, alloc):
        _leave(s, now, entry, alloc)
    elif alloc.id in s.parts.strangers:
        _return(s, entry, alloc)


def away(s: State, entry: Entry, alloc: Allocation) -> list[str]:
    """Return the nodes of the allocation that are not in the partition of its job."""
    home = entry.job.spec.partition
    return sorted(name for name in alloc.nodes if s.nodes[name].node.partition != home)


def resized(s: State, entry: Entry, alloc: Allocation) -> None:
    """Look anew where an allocation is that has other nodes now."""
    if away(s, entry, alloc):
        _note(s, entry, alloc)
    elif alloc.id in s.parts.strangers:
        _return(s, entry, alloc)


def note_guests(s: State) -> None:
    """Find what is on the wrong side, as after a start."""
    for alloc in s.allocations.values():
        entry = s.jobs[alloc.job]
        if not is_step(alloc.job) and away(s, entry, alloc):
            _note(s, entry, alloc)


def _note(s: State, entry: Entry, alloc: Allocation) -> None:
    parts, how = s.parts, s.site.active.moved
    parts.strangers.add(alloc.id)
    away_now = away(s, entry, alloc)
    s.marks.nodes.update(alloc.nodes)
    for name in alloc.nodes:
        waited_for = how is Moved.DRAIN and name in away_now
        guests = s.nodes[name].guests
        guests.add(alloc.id) if waited_for else guests.discard(alloc.id)
    begins = alloc.state is AllocationState.GRANTED or not alloc.started
    if how is Moved.SUSPEND and begins and not (alloc.cause or entry.job.holds):
        parts.awaited.add(alloc.id)
    else:
        parts.awaited.discard(alloc.id)


def _leave(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    _note(s, entry, alloc)
    s.marks.allocations.add(alloc.id)
    if alloc.cause:
        return
    if alloc.slot:
        alloc = drain(s, entry, alloc)
    if s.site.active.moved is not Moved.SUSPEND or entry.job.holds:
        return
    if alloc.state is AllocationState.SUSPENDED and alloc.resuming:
        s.put(replace(alloc, resuming=False, suspended_by=Suspender.CONFIGURATION))
    elif alloc.state is AllocationState.READY and alloc.started:
        _stand_still(s, now, entry, alloc)


def _stand_still(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    freeze(s, now, entry, alloc, Suspender.CONFIGURATION)
    settle(s, now, entry, why=f"its nodes are not in partition {entry.job.spec.partition} now")


def _return(s: State, entry: Entry, alloc: Allocation) -> None:
    s.parts.strangers.discard(alloc.id)
    s.parts.awaited.discard(alloc.id)
    s.marks.nodes.update(alloc.nodes)
    for name in alloc.nodes:
        s.nodes[name].guests.discard(alloc.id)
    s.marks.allocations.add(alloc.id)
    s.marks.jobs.add(entry.job.id)
    if alloc.suspended_by is Suspender.CONFIGURATION and not alloc.cause:
        s.put(replace(alloc, resuming=True))


def waits_for_home(s: State, alloc: Allocation) -> bool:
    """Say whether it may go on only once its nodes are in its partition again."""
    return alloc.id in s.parts.strangers and s.site.active.moved is Moved.SUSPEND


def follow(s: State, now: float) -> None:
    """Let stand still what has started meanwhile and is on the wrong side."""
    for number in sorted(s.parts.awaited):
        alloc = s.allocations[number]
        if alloc.cause:
            s.parts.awaited.discard(number)
        elif alloc.state is AllocationState.READY and alloc.started:
            s.parts.awaited.discard(number)
            _stand_still(s, now, s.jobs[alloc.job], alloc)
