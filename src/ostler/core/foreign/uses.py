"""What is in use on the nodes of a resource manager: by its jobs, and as it says of the nodes."""

from collections.abc import Iterator
from math import inf

from ostler.core.foreign.distrust import Odd, agree, tell
from ostler.core.foreign.rms import Conflict, Intake, Rm
from ostler.core.node_entry import NodeEntry
from ostler.core.state import State
from ostler.model.foreign import ForeignState
from ostler.model.foreign_rows import Stage
from ostler.schedule.words import counted

_NODE = 2.0  # microseconds to look at one
_JOB = 3.0  # likewise


def compare(s: State, at: Intake, rm: Rm, began: float) -> Iterator[float]:
    """Compare what runs on each node with what the resource manager tells of the node itself.

    began: when the load began. What has started or ended since may show or not; and as nodes and
    jobs are not listed at one moment, only what a second load in a row shows counts as odd.
    """
    for name in list(rm.told):
        yield _NODE
        told, now = rm.told.get(name), at.now
        if told is None or told.used_cpus is None or rm.nodes[name].missing_since is not None:
            continue
        entry = s.nodes[name]
        quiet = not (entry.extra or rm.odd or name in rm.conflicts or name in rm.busier)
        if quiet and told.used_cpus == len(entry.node.facts.cpus) - len(entry.books.cpus):
            continue
        cost = _JOB * len(entry.allocations)
        sure, most = _uses(s, rm, entry, began)
        _hold_more(s, at, rm, entry, told.used_cpus, most, began)
        if told.used_cpus < sure:
            _idle(s, now, rm, name, Conflict(now, sure, told.used_cpus))
        elif name in rm.conflicts:
            del rm.conflicts[name]
            rm.stale = True
            agree(s, now, rm, "node_idle", name)
        yield cost


def _uses(s: State, rm: Rm, entry: NodeEntry, began: float, seen: float = inf) -> tuple[int, int]:
    """Return how many CPUs jobs use for sure, and how many they may use at most.

    began: what has started later is not sure. seen: nor what no load had shown to run by then.
    """
    sure = most = 0
    for number in entry.allocations:
        alloc = s.allocations[number]
        cpus = sum(len(p.cpus) for p in alloc.placements if p.node == entry.node.name)
        most += cpus
        job = rm.of((alloc.job, alloc.element, alloc.attempt), number)
        if job is None or job.stage is not Stage.SEEN or job.state != ForeignState.RUNNING:
            continue
        known = job.missing_since is None and job.since <= seen
        before = alloc.started_at is not None and max(alloc.started_at, alloc.granted_at) < began
        if known and before and not alloc.cause and alloc.suspended_at is None:
            sure += cpus
    return sure, most


def _hold_more(
    s: State, at: Intake, rm: Rm, entry: NodeEntry, used: int, most: int, began: float
) -> None:
    """Count CPUs as used of which nobody knows who uses them."""
    name, now = entry.node.name, at.now
    more = used - most
    if more > 0 and rm.freed_at.get(name, 0.0) >= began:
        return  # what has ended meanwhile was still counted there
    if more <= 0:
        if entry.extra:
            hold_extra(s, entry, 0)
        rm.busier.pop(name, None)
        agree(s, now, rm, "node_busy", name)
        return
    hold_extra(s, entry, more)
    lasts = rm.busier.get(name, 0) > _came(s, rm, entry, at.first)
    rm.busier[name] = more
    if not lasts:  # the jobs are listed by now that it had more
        return
    tell(
        s,
        now,
        rm,
        Odd(
            "node_busy",
            name,
            before=f"busy with {counted(most, 'CPU')}",
            after=f"busy with {used}",
            done="the others count as used, too",
            node=name,
        ),
    )


def _came(s: State, rm: Rm, entry: NodeEntry, first: float) -> int:
    """Return how many CPUs of a node jobs use that this load is the first to show. first: its piece."""
    found = 0
    for number in entry.allocations:
        alloc = s.allocations[number]
        job = rm.of((alloc.job, alloc.element, alloc.attempt), number)
        if job is not None and job.stage is Stage.SEEN and job.since >= first:
            found += sum(len(p.cpus) for p in alloc.placements if p.node == entry.node.name)
    return found


def hold_extra(s: State, entry: NodeEntry, count: int) -> None:
    """Let so many CPUs of a node be used by nobody who is known, or as many as are left."""
    if count == len(entry.extra):
        return
    entry.books.cpus.update(entry.extra)
    entry.extra = frozenset(sorted(entry.books.cpus, reverse=True)[:count])
    entry.books.cpus.difference_update(entry.extra)
    s.marks.nodes.add(entry.node.name)
    s.changed = True


def _idle(s: State, now: float, rm: Rm, name: str, new: Conflict) -> None:
    """Keep new work from a node that is told to be idler than it can be, until its word counts."""
    known, sure, used = rm.conflicts.get(name), new.sure, new.told
    if known is not None and (known.sure, known.told) != (sure, used):
        known = None if known.settled else known._replace(sure=sure, told=used)
    if known is not None and not known.lasts:
        known = known._replace(lasts=used < _uses(s, rm, s.nodes[name], now, known.since)[0])
    rm.stale = rm.stale or known != rm.conflicts.get(name)
    if known is None or not known.lasts:
        rm.conflicts[name] = new
        return
    rm.conflicts[name] = known
    tell(
        s,
        now,
        rm,
        Odd(
            "node_idle",
            name,
            before=f"busy with {counted(sure, 'CPU')}",
            after=f"busy with {used}",
            done=f"nothing new starts there for {rm.row.node_sync} s, unless they agree before",
            node=name,
        ),
    )
    if not known.settled and now - known.since > rm.row.node_sync:
        rm.conflicts[name] = known._replace(settled=True)
        rm.stale = True
        text = f"{rm.name} has told for {now - known.since:.0f} s that {counted(used, 'CPU')} are"
        text += f" in use, not {sure}: its word counts from now on"
        s.note(now, "sync/deadline", text, node=name, about=rm.name)


def recount(s: State, entry: NodeEntry) -> None:
    """Make the books of a node anew, for it is another, or holds other things."""
    entry.books = type(entry.books)(entry.node.facts)
    for number in entry.allocations:
        alloc = s.allocations[number]
        for place in alloc.placements:
            if place.node == entry.node.name:
                entry.books.force(place, cpus=alloc.suspended_at is None)
    count, entry.extra = len(entry.extra), frozenset()
    hold_extra(s, entry, count)
