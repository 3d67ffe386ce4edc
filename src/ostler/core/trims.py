"""Nodes that a job with tasks of its own gets, or gives back, while the rest of it goes on.

The allocation keeps its number, by which its nodes know it. What it asked for stays as it was: if
the job runs again, it begins with that.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from ostler.core.effects import Fail
from ostler.core.entry import Entry
from ostler.core.over import close_stretch
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.errors import NotNow
from ostler.model.orders import Ended, EndShare, Resized
from ostler.model.resources import Placement
from ostler.model.states import Result
from ostler.schedule.words import counted


def is_joining(entry: Entry, alloc: Allocation, node: str) -> bool:
    """Say whether the node was added to what runs, and has not said yet that tasks run there."""
    if not alloc.resized or node in alloc.made:
        return False
    return any(
        place.node == node and place.first_rank >= entry.job.spec.request.tasks
        for place in alloc.placements
    )


def is_apart(entry: Entry, alloc: Allocation, row: Ended, node: str) -> bool:
    """Say whether what ended on that node is no matter to the other nodes."""
    if alloc.cause:
        return False
    never_ran = row.started_at is None and is_joining(entry, alloc, node)
    return never_ran or node in alloc.leaving


def give_back(
    s: State,
    now: float,
    entry: Entry,
    alloc: Allocation,
    names: Iterable[str],
    why: str,
    *,
    forget: bool,
) -> Allocation:
    """Take nodes on which nothing is left out of an allocation; return it, not saved yet.

    forget: their tasks count for nothing. why: the sentence of the event.
    """
    going = frozenset(names)
    gone = tuple(place for place in alloc.placements if place.node in going)
    kept = tuple(place for place in alloc.placements if place.node not in going)
    for place in gone:
        node = s.nodes[place.node]
        node.books.give(place, cpus=alloc.suspended_at is None)
        node.allocations.discard(alloc.id)
        node.guests.discard(alloc.id)
        s.marks.nodes.add(place.node)
    trimmed = replace(
        alloc,
        left=(*alloc.left, *gone),
        made=alloc.made - going,
        freed=alloc.freed - going,
        leaving=alloc.leaving - going,
        dropped=alloc.dropped + (sum(place.tasks for place in gone) if forget else 0),
    )
    return change(s, now, entry, trimmed, kept, why)


def change(
    s: State,
    now: float,
    entry: Entry,
    alloc: Allocation,
    places: tuple[Placement, ...],
    why: str,
) -> Allocation:
    """Let an allocation go on with these places; its time with those before is accounted for."""
    job = entry.job
    close_stretch(s, now, entry, alloc)
    if alloc.suspended_at is None:
        s.used(now, job, alloc)
    alloc = replace(alloc, placements=places, granted_at=now, resized=alloc.resized + 1)
    if alloc.suspended_at is None:
        s.uses(now, job, alloc)
    names = [place.node for place in places]
    entry.touched[alloc.element] = replace(entry.touched[alloc.element], node=",".join(names))
    has = f"it has {counted(len(names), 'node')} now: {', '.join(names)}"
    s.note(now, "job/resized", f"{why}; {has}", job=job.id, allocation=alloc.id, user=job.user)
    return alloc


def tell(s: State, alloc: Allocation, *nodes: str) -> None:
    """Tell these nodes, else all on which tasks run, of which nodes the allocation is one."""
    tasks = sum(place.tasks for place in alloc.placements)
    members = tuple(place.node for place in alloc.placements)
    for node in nodes or sorted(alloc.made - alloc.freed - alloc.leaving):
        s.send(node, Resized(alloc.id, members, tasks))


def order_end(s: State, alloc: Allocation, node: str) -> None:
    """Ask the tasks on a node to end that is to be given back."""
    grace = s.jobs[alloc.job].job.spec.grace
    s.send(node, EndShare(alloc.id, Result.CANCELLED, "its job gives the node back", grace))


def give_up(s: State, entry: Entry, why: str) -> None:
    """Answer whoever asked for more nodes that there are none."""
    if entry.growth is not None:
        hint = "ask for fewer nodes, or again later"
        told = f"job {entry.job.name} cannot grow now: {why}"
        s.effects.append(Fail(entry.growth.to, NotNow(told, hint=hint)))
        entry.growth = None
        s.immediate.discard(entry.job.id)
        s.marks.jobs.add(entry.job.id)
