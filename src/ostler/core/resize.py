"""Allocations that grow and shrink while a client holds them: `ostler modify JOB --nodes N`.

What it is to have stands in its request; as long as it has fewer nodes, the rest waits in the queue
like a job, and is added when a plan starts it. An allocation that changes ends, and the job goes on
with another: so accounting, shares of use and the tables of nodes need to know nothing of it.
"""

from msgspec.structs import replace

from ostler.core import moved
from ostler.core.claims import count_licences
from ostler.core.entry import Entry, Slot
from ostler.core.life import free
from ostler.core.moves import settle
from ostler.core.over import close_stretch
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.constraint import parse
from ostler.model.errors import NotNow, Refused
from ostler.model.ids import job_name
from ostler.model.resources import Placement, Request
from ostler.model.states import AllocationState
from ostler.schedule.words import counted


def growth(s: State, entry: Entry) -> Request | None:
    """Return what an allocation waits for beside what it holds; None: nothing."""
    alloc = _held(s, entry)
    if alloc is None or alloc.state is not AllocationState.READY:
        return None
    if entry.growth is not None:
        return entry.growth.request
    if not entry.job.holds:
        return None
    request = entry.job.spec.request
    nodes = request.nodes - len(alloc.placements)
    if nodes <= 0:
        return None
    return replace(
        request,
        nodes=nodes,
        tasks=request.tasks - sum(place.tasks for place in alloc.placements),
        exclude=(*request.exclude, *sorted(alloc.nodes)),
        licences={},
    )


def resized(s: State, entry: Entry, nodes: int) -> Request:
    """Return the request of a job that is to hold so many nodes; raise `NotNow` or `Refused`.

    Each node that it gets takes as many tasks as one that it has, on the average.
    """
    alloc, request, name = _held(s, entry), entry.job.spec.request, entry.job.name
    if alloc is None or alloc.state is not AllocationState.READY:
        raise NotNow(f"job {name} does not hold its nodes yet, or no longer; they cannot change")
    if parse(request.constraint).groups:
        raise Refused(f"job {name} counts nodes by {request.constraint!r}, and keeps their number")
    if nodes < 1:
        raise Refused(f"job {name} holds {counted(len(alloc.placements), 'node')}, not {nodes}")
    tasks = [place.tasks for place in alloc.placements]
    more = nodes - len(tasks)
    if more >= 0:
        total = sum(tasks) + more * -(-sum(tasks) // len(tasks))
    else:
        total = sum(place.tasks for place in _kept(s, entry, alloc, nodes))
    return replace(request, nodes=nodes, tasks=total)


def follow(s: State, now: float, entry: Entry, by: str) -> None:
    """Give back what an allocation has too much; what it has too little a plan will give."""
    alloc = _held(s, entry)
    if alloc is not None and len(alloc.placements) > entry.job.spec.request.nodes:
        kept = _kept(s, entry, alloc, entry.job.spec.request.nodes)
        left = sorted(alloc.nodes - {place.node for place in kept})
        _change(s, now, entry, alloc, kept, f"{by} took {', '.join(left)} from it")


def grow(s: State, now: float, entry: Entry, places: tuple[Placement, ...]) -> None:
    """Add places, which are known to be free, to what the job holds."""
    alloc = _held(s, entry)
    if alloc is None:
        return
    rank = sum(place.tasks for place in alloc.placements)
    more = tuple(replace(place, first_rank=place.first_rank + rank) for place in places)
    names = ", ".join(sorted(place.node for place in places))
    _change(s, now, entry, alloc, (*alloc.placements, *more), f"it was given {names}")


def _held(s: State, entry: Entry) -> Allocation | None:
    return next((s.allocations[number] for number in entry.slots), None)


def _kept(s: State, entry: Entry, alloc: Allocation, count: int) -> tuple[Placement, ...]:
    """Return the nodes that stay: those with steps, then the first ones; raise `NotNow`."""
    busy: dict[str, str] = {}
    for number in sorted(s.steps.get(entry.job.id, ())):
        for part in s.jobs[number].slots:
            busy |= dict.fromkeys(s.allocations[part].nodes, job_name(number))
    if len(busy) > count:
        steps = ", ".join(sorted(set(busy.values())))
        raise NotNow(
            f"steps run on {counted(len(busy), 'node')} of job {entry.job.name} ({steps})",
            hint="end some of them first",
        )
    order = sorted(alloc.placements, key=lambda place: (place.node not in busy, place.first_rank))
    rank, kept = 0, []
    for place in sorted(order[:count], key=lambda place: place.first_rank):
        kept.append(replace(place, first_rank=rank))
        rank += place.tasks
    return tuple(kept)


def _change(
    s: State,
    now: float,
    entry: Entry,
    alloc: Allocation,
    places: tuple[Placement, ...],
    why: str,
) -> None:
    """Let the job go on with these places, and tell it."""
    other = exchange(s, now, entry, alloc, places)
    s.alloc_news.add(entry.job.id)
    names = ", ".join(sorted(other.nodes))
    has = f"it has {counted(len(places), 'node')} now: {names}"
    s.note(
        *(now, "job/resized", f"{why}; {has}"),
        job=entry.job.id,
        allocation=other.id,
        user=entry.job.user,
    )
    settle(s, now, entry)


def exchange(
    s: State, now: float, entry: Entry, alloc: Allocation, places: tuple[Placement, ...]
) -> Allocation:
    """End the allocation, and let the job go on with another that holds these places; return it."""
    close_stretch(s, now, entry, alloc)
    free(s, now, entry, alloc)
    s.put(replace(alloc, state=AllocationState.RELEASED, freed=alloc.nodes))
    del entry.slots[alloc.id]
    nodes = frozenset(place.node for place in places)
    other = replace(
        alloc, id=s.next_allocation, placements=places, granted_at=now, made=nodes, epoch=s.epoch
    )
    s.next_allocation += 1
    occupy(s, now, entry, other)
    entry.live[alloc.element] = other.id
    names = ",".join(place.node for place in places)
    entry.touched[alloc.element] = replace(entry.touched[alloc.element], node=names)
    s.put(other)
    moved.resized(s, entry, other)
    return other


def occupy(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """Enter in the books that a job has this allocation, whatever was free."""
    runs = alloc.suspended_at is None
    for place in alloc.placements:
        node = s.nodes[place.node]
        node.books.force(place, cpus=runs)
        node.allocations.add(alloc.id)
        s.marks.nodes.add(place.node)
    if runs:
        s.uses(now, entry.job, alloc)
    count_licences(s, entry, 1)
    entry.slots[alloc.id] = Slot()
