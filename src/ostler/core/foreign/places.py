"""Where foreign jobs are: allocations of what runs already, whatever was free."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ostler.core.entry import Entry
from ostler.core.foreign.bounds import bounded, resources
from ostler.core.foreign.distrust import Odd, agree, tell
from ostler.core.foreign.rms import Rm
from ostler.core.life import give_whole
from ostler.core.moved import placed
from ostler.core.moves import settle
from ostler.core.resize import exchange, occupy
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.foreign import ForeignJob, Share
from ostler.model.limits import MAX_TASKS
from ostler.model.resources import Placement
from ostler.schedule.words import counted


class Found(NamedTuple):
    """Shares as places of the machine."""

    places: tuple[Placement, ...]
    strange: tuple[str, ...]  # nodes that the machine does not know
    short: Mapping[str, int]  # node -> CPUs that are used there and that it does not have


def places_of(s: State, rm: Rm, shares: Iterable[Share], kept: Iterable[Placement] = ()) -> Found:
    """Return the places of shares. Of CPUs those that it has already are kept, then free ones taken."""
    held = {place.node: place for place in kept}
    places: list[Placement] = []
    strange: list[str] = []
    short: dict[str, int] = {}
    rank = 0
    for share in _by_node(shares):
        name = rm.here(share.node)
        node = s.nodes.get(name)
        if node is None or node.node.rm != rm.name:
            strange.append(name)
            continue
        own = held.get(name, Placement(name))
        cpus = (*own.cpus, *sorted(node.books.cpus - set(own.cpus)))[: share.cpus]
        gpus = (*own.gpus, *sorted(node.books.gpus - set(own.gpus)))[: share.gpus]
        tasks = min(share.tasks, MAX_TASKS)
        if len(cpus) < share.cpus:
            short[name] = share.cpus - len(cpus)
        memory, generic = bounded(share.memory), resources(share.generic)
        places.append(Placement(name, tasks, rank, cpus, memory, gpus, generic))
        rank += tasks
    return Found(tuple(places), tuple(strange), short)


def _by_node(shares: Iterable[Share]) -> list[Share]:
    found: dict[str, Share] = {}
    for each in shares:
        had = found.get(each.node)
        if had is not None:
            each = Share(  # noqa: PLW2901 - both together
                each.node,
                had.tasks + each.tasks,
                had.cpus + each.cpus,
                had.memory + each.memory,
                had.gpus + each.gpus,
                {**had.generic, **each.generic},
            )
        found[each.node] = each
    return list(found.values())


def hold(
    s: State, now: float, entry: Entry, places: tuple[Placement, ...], since: float
) -> Allocation:
    """Give a job of which it is told that it runs what it has. since: Unix seconds of its start."""
    job, index = entry.job, entry.job.spans()[0][0]
    alloc = Allocation(
        s.next_allocation,
        job.id,
        index,
        entry.element(index).attempt + 1,
        places,
        min(now, since),
        s.epoch,
        time_limit=job.spec.time_limit,
    )
    s.next_allocation += 1
    occupy(s, now, entry, alloc)
    give_whole(entry, alloc)
    s.put(alloc)
    where = ", ".join(f"{counted(len(p.cpus), 'CPU')} of {p.node}" for p in places)
    s.note(now, "allocation/granted", f"it has {where}", job=job.id, allocation=alloc.id)
    settle(s, now, entry)
    placed(s, now, entry, s.allocations[alloc.id])
    return s.allocations[alloc.id]


def correct(
    s: State, now: float, rm: Rm, entry: Entry, alloc: Allocation, told: ForeignJob
) -> Allocation:
    """Bring an allocation to where its job is told to be; return the one that it has then."""
    if not told.shares or alloc.suspended_at is not None or alloc.cause or alloc.freed:
        return alloc
    had = {rm.own(p.node): len(p.cpus) for p in alloc.placements}
    has: dict[str, int] = {}
    for share in told.shares:
        has[share.node] = has.get(share.node, 0) + share.cpus
    if had.keys() == has.keys() and all(has[node] <= had[node] for node in had):
        for kind in ("elsewhere", "more_cpus"):
            agree(s, now, rm, kind, f"{rm.name}/{told.id}")
        return alloc
    found = places_of(s, rm, told.shares, alloc.placements)
    kind = "more_cpus" if had.keys() == has.keys() else "elsewhere"
    odd = Odd(kind, f"{rm.name}/{told.id}", _shown(rm, had), _shown(rm, has), "", job=entry.job.id)
    if found.strange or not found.places:
        done = f"{_unknown(found.strange)}: it counts as before"
        tell(s, now, rm, odd._replace(done=done))
        return alloc
    if [(p.node, p.cpus) for p in found.places] == [(p.node, p.cpus) for p in alloc.placements]:
        tell(s, now, rm, odd._replace(done="there is no CPU more to count as used"))
        return alloc
    other = exchange(s, now, entry, alloc, found.places)
    tell(s, now, rm, odd._replace(done="what it has counts as used"), lasts=False)
    settle(s, now, entry)
    placed(s, now, entry, s.allocations[other.id])
    return s.allocations[other.id]


def _unknown(nodes: tuple[str, ...]) -> str:
    return f"nobody knows node {', '.join(nodes)}" if nodes else "it is nowhere"


def _shown(rm: Rm, cpus: Mapping[str, int]) -> str:
    return ", ".join(f"{counted(n, 'CPU')} of {rm.here(node)}" for node, n in sorted(cpus.items()))
