"""`ostler modify JOB --nodes N` while tasks of the job run: more nodes with more tasks, or fewer.

It grows at once or not at all: a plan decides, as it would of a job of `--immediate`, and whoever
asked is answered then. It gives back nodes on which its tasks have ended; those on which some run
only if they may be ended.
"""

from math import inf
from typing import Any

from msgspec.structs import replace

from ostler.core import moved, trims
from ostler.core.access import check_access, check_limits
from ostler.core.claims import check_fits
from ostler.core.delta import begun
from ostler.core.effects import Reply
from ostler.core.entry import Entry, Growth
from ostler.core.events import Modified
from ostler.core.life import order_launch
from ostler.core.moves import settle
from ostler.core.roles import may
from ostler.core.state import State
from ostler.core.view import job_row
from ostler.model.allocation import Allocation
from ostler.model.constraint import parse
from ostler.model.errors import NotNow, Refused, UsageError
from ostler.model.resources import Placement
from ostler.model.states import AllocationState
from ostler.schedule.snapshot import BUILT_IN
from ostler.schedule.words import counted

END_TASKS = "end_tasks"  # among the changes: tasks may be ended to give their node back


def on_modified(s: State, now: float, entry: Entry, event: Modified) -> None:
    """Change the nodes of a job whose tasks run; raise `OstlerError`, and nothing has changed."""
    nodes, ends = _asked(event.changes)
    alloc = _changeable(s, entry)
    has = len(alloc.placements) - len(alloc.leaving)
    if nodes > has:
        _ask(s, now, entry, alloc, event, nodes - has)
        return
    if nodes < has:
        _shrink(s, now, entry, alloc, event.caller.user, has - nodes, ends=ends)
    s.effects.append(Reply(event.to, {"job": job_row(s, entry)}))


def _asked(changes: dict[str, Any]) -> tuple[int, bool]:
    nodes, ends = changes.get("nodes"), changes.get(END_TASKS, False)
    if changes.keys() - {"nodes", END_TASKS}:
        raise UsageError("the nodes of a job that runs change alone", hint="change the rest before")
    if type(nodes) is not int or type(ends) is not bool or nodes < 1:
        raise UsageError(f"a job cannot have {nodes!r} nodes", expected="a number from 1 on")
    return nodes, ends


def _changeable(s: State, entry: Entry) -> Allocation:
    """Return the allocation whose nodes may change; raise `NotNow` or `Refused`."""
    spec, name = entry.job.spec, entry.job.name
    if entry.job.is_array or spec.within or spec.request.tasks == 1:
        raise NotNow(
            f"job {name} has started; its nodes can no longer change",
            hint="only jobs of several tasks, and what `ostler alloc` holds, grow and shrink",
        )
    if parse(spec.request.constraint).groups:
        text = spec.request.constraint
        raise Refused(f"job {name} counts nodes by {text!r}, and keeps their number")
    alloc = s.allocations[next(iter(entry.slots))]
    if rm := next((m for p in alloc.placements if (m := s.nodes[p.node].node.rm)), ""):
        raise NotNow(f"job {name} runs in {rm}, and its nodes cannot change there")
    if alloc.state is not AllocationState.READY or not alloc.started:
        raise NotNow(f"job {name} is {entry.job.state}; its nodes change while it runs")
    if entry.growth is not None:
        raise NotNow(f"{entry.growth.user} has just asked for more nodes for job {name}")
    return alloc


# -- growing -----------------------------------------------------------------------------------


def _ask(s: State, now: float, entry: Entry, alloc: Allocation, event: Modified, more: int) -> None:
    """Let the next plan decide; each node takes as many tasks as one that it has."""
    spec, name = entry.job.spec, entry.job.name
    if spec.stdio or spec.streams is not None:
        raise Refused(
            f"what job {name} writes goes to where it was typed; it cannot grow",
            hint="jobs of `ostler submit` can",
        )
    if s.stopping:
        raise NotNow(f"job {name} cannot grow: the machine is being stopped")
    if (planner := s.parts.planner_of(s.site, spec.partition)) != BUILT_IN:
        raise NotNow(f"job {name} cannot grow: partition {spec.partition} is planned by {planner}")
    tasks = sum(place.tasks for place in alloc.placements)
    each = -(-tasks // len(alloc.placements))
    stay = [place for place in alloc.placements if place.node not in alloc.leaving]
    nodes, total = len(stay) + more, sum(place.tasks for place in stay) + each * more
    whole = replace(spec, request=replace(spec.request, nodes=nodes, tasks=total))
    if not may(s, event.caller, "exceed"):
        check_access(s, event.caller, whole)
        check_limits(s, event.caller, whole, jobs=0)
    check_fits(s, whole, entry.job.user)
    had = (*alloc.placements, *alloc.left)  # a node that gave it back may still remember it
    not_these = {place.node for place in had}
    if s.rms:
        not_these |= {node for node, known in s.nodes.items() if known.node.rm}
    request = replace(
        spec.request,
        nodes=more,
        tasks=each * more,
        exclude=(*spec.request.exclude, *sorted(not_these)),
        licences={},
    )
    left = begun(alloc) + alloc.suspended + alloc.time_limit - now if alloc.time_limit else inf
    entry.growth = Growth(event.to, event.caller.user, now, max(left, 1.0), request)
    s.immediate.add(entry.job.id)
    s.marks.jobs.add(entry.job.id)
    s.changed = True


def grow(s: State, now: float, entry: Entry, places: tuple[Placement, ...]) -> None:
    """Add places, which are known to be free, start tasks there, and tell the others of them."""
    growth = entry.growth
    if growth is None:
        return
    alloc = s.allocations[next(iter(entry.slots))]
    ranks = alloc.ranks
    more = tuple(
        replace(place, first_rank=place.first_rank + ranks)
        for place in sorted(places, key=lambda place: place.first_rank)
    )
    for place in more:
        node = s.nodes[place.node]
        node.books.take(place)
        node.allocations.add(alloc.id)
        s.marks.nodes.add(place.node)
    names = ", ".join(place.node for place in more)
    why = f"{growth.user} gave it {names}"
    alloc = s.put(trims.change(s, now, entry, alloc, (*alloc.placements, *more), why))
    moved.resized(s, entry, alloc)
    for place in more:
        order_launch(s, entry, alloc, place.node, start=True)
    trims.tell(s, alloc)
    entry.growth = None
    s.immediate.discard(entry.job.id)
    settle(s, now, entry)
    s.effects.append(Reply(growth.to, {"job": job_row(s, entry)}))


# -- shrinking ---------------------------------------------------------------------------------


def _shrink(
    s: State, now: float, entry: Entry, alloc: Allocation, by: str, fewer: int, *, ends: bool
) -> None:
    """Give back nodes on which nothing runs, the last ones first; then end tasks, if they may be."""
    stay = [place for place in reversed(alloc.placements) if place.node not in alloc.leaving]
    over = [place.node for place in stay if place.node in alloc.freed][:fewer]
    ending = [place.node for place in stay if place.node not in alloc.freed][: fewer - len(over)]
    if ending and not ends:
        idle = counted(len(over), "node")
        raise NotNow(
            f"tasks of job {entry.job.name} run on {', '.join(sorted(ending))};"
            f" it could give back {idle} on which they have ended",
            hint="--end-tasks ends them (SIGTERM, then SIGKILL after the job's grace)",
        )
    if over:
        why = f"{by} took {', '.join(sorted(over))} from it"
        alloc = trims.give_back(s, now, entry, alloc, over, why, forget=False)
    if ending:
        alloc = replace(alloc, leaving=alloc.leaving | set(ending))
        text = f"{by} ends its tasks on {', '.join(sorted(ending))}, to take them from it"
        s.note(now, "job/resizing", text, job=entry.job.id, allocation=alloc.id)
    alloc = s.put(alloc)
    moved.resized(s, entry, alloc)
    for node in ending:
        trims.order_end(s, alloc, node)
    if over:
        trims.tell(s, alloc)
    settle(s, now, entry)
