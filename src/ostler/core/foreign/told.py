"""What became of a foreign job, carried out on its allocation as an agent's report would be."""

from msgspec.structs import replace

from ostler.core import life
from ostler.core.entry import Entry
from ostler.core.foreign.distrust import agree, clean
from ostler.core.foreign.rms import Rm
from ostler.core.halts import freeze, thaw
from ostler.core.moves import settle
from ostler.core.over import REQUEUE, UNDONE, accounting, with_start
from ostler.core.resize import exchange
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.foreign import End, ForeignState
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.job import Element, TaskExit
from ostler.model.orders import Ended, Started
from ostler.model.resources import Placement
from ostler.model.states import AllocationState, JobState, Result, Suspender


def keep(s: State, rm: Rm, job: RmJob) -> RmJob:
    """Have this as what is known of a job, and save it; return it."""
    job = rm.keep(job)
    s.save(job)
    return job


def allocation_of(s: State, job: RmJob) -> Allocation | None:
    """Return the allocation that a job has."""
    return s.allocations.get(job.allocation)


def runs(s: State, now: float, alloc: Allocation, at: float | None) -> None:
    """Note that the tasks run. at: since when, Unix seconds; None: not told."""
    if alloc.started:
        return
    if alloc.made != alloc.nodes:
        s.put(replace(alloc, made=alloc.nodes))
    begun = now if at is None else min(max(at, alloc.granted_at), now)
    life.on_started(s, now, min(alloc.nodes), Started(alloc.id, begun))


def halted(s: State, now: float, rm: Rm, alloc: Allocation) -> None:
    """Note that its resource manager lets it stand still."""
    if alloc.state is AllocationState.READY and not alloc.cause:
        entry = s.jobs[alloc.job]
        freeze(s, now, entry, alloc, Suspender.ADMIN)
        settle(s, now, entry, why=f"{rm.name} suspended it")


def goes_on(s: State, now: float, rm: Rm, job: RmJob, alloc: Allocation) -> None:
    """Note that its resource manager lets it go on: on other CPUs, where its own were given away."""
    if alloc.state is not AllocationState.SUSPENDED:
        return
    entry = s.jobs[alloc.job]
    if any(not s.nodes[p.node].books.cpus.issuperset(p.cpus) for p in alloc.placements):
        places = tuple(_free_there(s, place) for place in alloc.placements)
        alloc = exchange(s, now, entry, alloc, places)
        keep(s, rm, replace(job, allocation=alloc.id))
    thaw(s, now, entry, alloc)


def _free_there(s: State, place: Placement) -> Placement:
    free = s.nodes[place.node].books.cpus
    own = [cpu for cpu in place.cpus if cpu in free]
    others = sorted(free.difference(own))
    return replace(place, cpus=(*own, *others)[: len(place.cpus)])


def ended(s: State, now: float, rm: Rm, job: RmJob, end: End) -> None:
    """Close what a job had here, by the proof of its end."""
    if end.unbegun and may_begin(s, job):
        back(s, now, rm, job, f"{rm.name} took it, and did not start it: {clean(end.proof)}")
        return
    keep(s, rm, replace(job, stage=Stage.OVER, since=now, missing_since=None, differs=""))
    rm.ending.pop(job.key, None)
    for kind in ("elsewhere", "more_cpus", "state"):
        agree(s, now, rm, kind, f"{rm.name}/{job.id}")
    alloc, entry = allocation_of(s, job), s.jobs.get(job.job)
    if alloc is None:
        if entry is not None and job.theirs and job.element not in entry.live:
            close_unseen(s, now, rm, entry, end)
        return
    for name in alloc.nodes:
        rm.freed_at[name] = now
    _close(s, now, rm, job, end, alloc)


def may_begin(s: State, job: RmJob) -> bool:
    """Say whether an allocation of which nothing has run may be tried elsewhere."""
    alloc = allocation_of(s, job)
    return alloc is not None and not (alloc.cause or alloc.started or job.theirs)


def close_unseen(s: State, now: float, rm: Rm, entry: Entry, end: End) -> None:
    """Close a job that no load has shown to run; if it did, it is accounted as far as known."""
    before, number = entry.job, entry.job.id
    at = min(end.ended_at or now, now)
    result = Result(end.result)
    began = min(end.started_at, at) if end.started_at and end.started_at > 0.0 else None
    element = Element(
        number,
        0,
        JobState.DONE,
        entry.element(0).attempt + (began is not None),
        result=result,
        exit_status=end.exit_status,
        reason=f"{rm.name}: {clean(end.reason or end.proof)}",
        started_at=began,
        ended_at=at,
        usage=end.usage,
    )
    s.save(element)
    if began is not None:
        alloc = Allocation(
            *(s.next_allocation, number, 0, element.attempt, (), began, s.epoch), started=True
        )
        s.next_allocation += 1
        s.save(replace(alloc, state=AllocationState.RELEASED, started_at=began))
        s.save(accounting(before, alloc, element, result, began))
        entry.job = with_start(before, began)
    entry.finish(0, result, end.exit_status, element.attempt)
    settle(s, now, entry, why=element.reason, saved=before)


def _close(s: State, now: float, rm: Rm, job: RmJob, end: End, alloc: Allocation) -> None:
    began = alloc.started_at if alloc.started else end.started_at
    plain = end.result in (Result.SUCCESS, Result.FAILED)
    if began is None and plain:  # no load has shown it
        began = job.since if job.stage is Stage.TAKEN else alloc.granted_at
    at = min(max(end.ended_at or now, began or 0.0), now)
    if began is not None:
        began = min(max(began, alloc.granted_at), at)
    cause = "" if plain else end.result
    why = f"{rm.name}: {clean(end.reason or end.proof)}"
    if end.result == Result.CANCELLED and alloc.cause:
        cause, why = alloc.cause, alloc.why  # it was ended from here
    tasks = _exits(s.jobs[alloc.job].job.spec.request.tasks, end) if plain else ()
    for place in alloc.placements:
        if place.node in alloc.freed:
            continue
        row = Ended(
            alloc.id,
            at,
            began,
            cause,
            why if cause else "",
            tasks,
            end.usage,
        )
        life.on_ended(s, now, place.node, row)
        tasks, end = (), replace(end, usage=type(end.usage)())


def _exits(tasks: int, end: End) -> tuple[TaskExit, ...]:
    """Return how the tasks ended: only that of the first is told."""
    code = end.exit_status or 0
    if end.result == Result.FAILED and not (code or end.signal):
        code = 1
    first = TaskExit(0, 0 if end.signal else code, end.signal)
    return (first, *(TaskExit(rank) for rank in range(1, tasks)))


def back(s: State, now: float, rm: Rm, job: RmJob, why: str, cause: str = "") -> None:
    """Take an allocation back that its resource manager does not run: the element waits again.

    cause: a result that ends it for good. What was submitted there itself goes on waiting there.
    """
    alloc = allocation_of(s, job)
    waits = {"stage": Stage.WAITS, "allocation": 0, "token": ""} if job.theirs else {}
    keep(s, rm, replace(job, **{"stage": Stage.OVER, **waits}, since=now, differs="", reason=why))
    if alloc is None:
        return
    s.jobs[alloc.job].slots[alloc.id].refused = True
    for name in sorted(alloc.nodes - alloc.freed):
        life.on_ended(s, now, name, Ended(alloc.id, now, None, cause, why))


def back_from_run(s: State, now: float, rm: Rm, job: RmJob, why: str) -> None:
    """Take an allocation back that has run, and waits in its resource manager again."""
    alloc = allocation_of(s, job)
    waiting = replace(job, stage=Stage.WAITS, allocation=0, since=now, differs="")
    if alloc is not None:
        attempt = alloc.attempt + 1
        keep(s, rm, replace(job, stage=Stage.OVER, id="", since=now, differs=""))
        if alloc.started:
            waiting = replace(waiting, attempt=attempt)
        keep(s, rm, waiting)
        cause = REQUEUE if alloc.started else UNDONE
        s.put(replace(alloc, state=AllocationState.RELEASING, cause=cause, why=why))
        at = alloc.started_at
        for name in sorted(alloc.nodes - alloc.freed):
            life.on_ended(s, now, name, Ended(alloc.id, now, at, "", why))


def is_live(state: str) -> bool:
    """Say whether a job in this state uses nodes."""
    return state in (
        ForeignState.STARTING,
        ForeignState.RUNNING,
        ForeignState.SUSPENDED,
        ForeignState.ENDING,
    )
