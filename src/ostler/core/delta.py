"""What a scheduler is shown: the whole machine, or what has changed since it was told last."""

from itertools import islice
from math import inf
from typing import TypeVar

from ostler.core.entry import Entry
from ostler.core.foreign.spread import front, handed, shut_out
from ostler.core.foreign.words import their_own
from ostler.core.halts import can_halt
from ostler.core.marks import Marks
from ostler.core.node_entry import NodeEntry
from ostler.core.resize import growth
from ostler.core.serving import shut
from ostler.core.slots import may_be_taken_at, worth_taking
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.ids import STEPS_FROM
from ostler.model.states import Rule, Suspender
from ostler.schedule.snapshot import (
    BUILT_IN,
    Delta,
    NodeView,
    Rank,
    ResumeView,
    RunningView,
    Snapshot,
    Wait,
    WaitingView,
)

PIECE = 250  # things in one delta, at most: so much is made and sent in one turn of a loop

Key = TypeVar("Key", int, str)


def snapshot(s: State, now: float) -> Snapshot:
    """Return the machine as a scheduler may see it. Cost: everything in memory is looked at."""
    running = [_running(s, alloc) for alloc in s.allocations.values() if alloc.job < STEPS_FROM]
    waiting = [
        view
        for number, entry in s.jobs.items()
        if number < STEPS_FROM and (view := waiting_view(s, now, entry))
    ]
    nodes = [_node_view(entry) for entry in s.nodes.values()]
    rules = s.rules
    resuming, elsewhere = _resuming(s)
    return Snapshot(
        nodes,
        running,
        waiting,
        resuming,
        dict(s.user_cpus),
        rules.max_cpus_per_user,
        licences=rules.licences,
        rules=rules,
        standings=s.standings,
        turned=dict(s.turned),
        elsewhere=elsewhere,
    )


def delta(s: State, now: float, most: int = PIECE, marks: Marks | None = None) -> Delta:
    """Return how everything is that has changed since the last delta; the first has all of it.

    most: nodes, allocations and jobs that it may tell of. marks: of one who is told for himself
    until he has caught up; None: of all the others. While they have more, what was told does not
    belong together yet. Cost: by what has changed.
    """
    marks = s.marks if marks is None else marks
    marks.number += 1
    found = Delta(marks.number)
    if marks.everything:
        marks.everything, found.reset = False, True
        marks.nodes, marks.allocations, marks.jobs = set(s.nodes), set(s.allocations), set(s.jobs)
        marks.resuming = marks.rules = marks.standings = marks.turned = True
    names = _take(marks.nodes, most)
    found.nodes = [_node_view(s.nodes[name]) for name in names]
    numbers = _take(marks.allocations, most - len(names))
    for number in numbers:
        alloc = s.allocations.get(number)
        if alloc is None:
            found.over.append(number)
        elif alloc.job < STEPS_FROM:
            found.running.append(_running(s, alloc))
    for number in _take(marks.jobs, most - len(names) - len(numbers)):
        entry = s.jobs.get(number) if number < STEPS_FROM else None
        view = waiting_view(s, now, entry) if entry is not None else None
        if view is None:
            found.gone.append(number)
        else:
            found.waiting.append(view)
        marks.later(number, _changes_at(s, now, entry) if entry is not None else None)
    if marks.resuming:
        found.resuming, found.elsewhere = _resuming(s)
        marks.resuming = False
    if marks.standings:
        found.standings, marks.standings = s.standings, False
    if marks.turned:
        found.turned, marks.turned = dict(s.turned), False
    if marks.rules:
        found.rules, marks.rules = s.rules, False
    return found


def _take(marked: set[Key], most: int) -> list[Key]:
    """Take so many names out of a set; return them in order. The lowest are not told first."""
    taken = sorted(marked) if len(marked) <= most else sorted(islice(marked, most))
    marked.difference_update(taken)
    return taken


def _node_view(entry: NodeEntry) -> NodeView:
    node, books, why = entry.node, entry.books, entry.unusable
    return NodeView(
        node.name,
        node.facts,
        node.partition,
        not why,
        node.gone,
        why,
        tuple(sorted(books.cpus)),
        books.memory,
        tuple(sorted(books.gpus)),
        dict(books.generic),
    )


def _running(s: State, alloc: Allocation) -> RunningView:
    entry = s.jobs[alloc.job]
    job, slot = entry.job, entry.slots[alloc.id]
    ends = begun(alloc) + alloc.suspended + alloc.time_limit if alloc.time_limit else inf
    if slot.draining:  # so that what waits for it is not overtaken by what it gives back
        ends = min(ends, begun(alloc) + slot.mean)
    element = alloc.running if alloc.slot and alloc.running >= 0 else alloc.element
    goes_on = alloc.slot and not alloc.cause and alloc.suspended_at is None
    return RunningView(
        alloc.id,
        job.id,
        element if job.is_array else None,
        job.user,
        alloc.placements,
        ends,
        suspended=alloc.suspended_at is not None,
        goes_on=_rank(entry) if goes_on else None,
        draining=slot.draining,
        licences=job.spec.request.licences,
        project=job.spec.project,
        partition=job.spec.partition,
        priority=job.priority,
        started_at=begun(alloc),
        again=job.spec.requeue,
        leaving=bool(alloc.cause),
        halts=can_halt(s, entry, alloc),
        halted_at=alloc.suspended_at if alloc.suspended_by is Suspender.SCHEDULER else None,
    )


def begun(alloc: Allocation) -> float:
    """Return when what runs began, or at the latest could have."""
    if alloc.slot:
        return alloc.since
    return alloc.started_at if alloc.started_at is not None else alloc.granted_at


def _rank(entry: Entry) -> Rank:
    job, spec = entry.job, entry.job.spec
    duration = float(spec.time_limit) or inf
    return Rank(
        job.priority,
        job.submitted_at,
        spec.partition,
        spec.request,
        duration,
        spec.project,
        spec.boost,
    )


def _resuming(s: State) -> tuple[list[ResumeView], list[ResumeView]]:
    """Return what is to go on where the scheduler that is built in plans, and elsewhere."""
    ours: list[ResumeView] = []
    elsewhere: list[ResumeView] = []
    for a in sorted((s.allocations[n] for n in s.resuming), key=lambda a: (a.job, a.id)):
        mine = s.parts.is_ours(s.site, s.jobs[a.job].job.spec.partition)
        by_scheduler = a.suspended_by is Suspender.SCHEDULER
        view = ResumeView(a.id, a.job, a.placements, _left(a), by_scheduler)
        (ours if mine else elsewhere).append(view)
    return ours, elsewhere


def _left(alloc: Allocation) -> float:
    if not alloc.time_limit or alloc.suspended_at is None:
        return inf
    return max(1.0, alloc.time_limit - (alloc.suspended_at - begun(alloc) - alloc.suspended))


def waiting_view(s: State, now: float, entry: Entry) -> WaitingView | None:
    """Return what waits of a job; None when nothing does.

    Elements that wait in a slot behind others count once no others wait, and if it takes long.
    """
    job = entry.job
    if job.rm and their_own(s, entry) is not None:
        return None
    count = len(entry.waiting) or len(entry.barred)
    queued = 0 if count else _worth_taking(s, now, entry)
    more = growth(s, entry) if job.holds or entry.growth else None
    alone = 0 if count or queued or more else held(entry)
    if not (count or queued or more or alone):
        return None
    if not alone:
        why = shut(s, now, job.spec) if more else blocked(s, now, entry)
    else:
        why = _hold(entry)
    asked, limit = job.submitted_at, float(job.spec.time_limit) or inf
    if entry.growth is not None:
        asked, limit = entry.growth.at, entry.growth.seconds
    request, head = more or job.spec.request, bool(entry.returned)
    if entry.bound or entry.shunned:
        if entry.waiting:
            count, request, head = front(entry, now)
        elif queued:
            request = handed(s, entry)
    if job.spec.array_cap and not why:
        count = min(count, job.spec.array_cap - len(entry.slots))
    if not why and s.site.partitions[job.spec.partition].scheduler:
        why = s.parts.reason(s.site, job.id, job.spec.partition, BUILT_IN)
    return WaitingView(
        job.id,
        max(count or queued or alone, 1),
        request,
        job.spec.partition,
        job.user,
        job.priority,
        asked,
        limit,
        why,
        head=head,
        project=job.spec.project,
        boost=job.spec.boost,
    )


def _worth_taking(s: State, now: float, entry: Entry) -> int:
    """Return how many slots of an array have a queue that an idle CPU should share."""
    if not entry.queued:
        return 0
    return sum(worth_taking(entry, s.allocations[number], now) for number in entry.slots)


def _changes_at(s: State, now: float, entry: Entry) -> float | None:
    """Return when time alone changes what waits of a job; None: never."""
    job, times = entry.job, []
    if job.spec.not_before > now:
        times.append(job.spec.not_before)
    if entry.retry_at > now:
        times.append(entry.retry_at)
    times += [at for at in entry.shunned.values() if at > now]
    if entry.queued and not (entry.waiting or entry.barred):
        found = (may_be_taken_at(entry, s.allocations[number]) for number in entry.slots)
        times += [at for at in found if at > now]
    return min((at for at in times if at < inf), default=None)


def held(entry: Entry) -> int:
    """Return how many elements are held one by one."""
    return sum(1 for index in entry.touched if index not in entry.live) if entry.touched else 0


def blocked(s: State, now: float, entry: Entry) -> Wait | None:
    """Return why none of the job's elements may start, as far as the core alone knows it."""
    job = entry.job
    if job.held_by or not (entry.waiting or entry.queued or entry.barred):
        return _hold(entry)
    if entry.unmet:
        return Wait(Rule.DEPENDENCY, {"jobs": ",".join(map(str, sorted(entry.unmet)))})
    if not (entry.waiting or entry.queued):
        names = [number for number, elements in sorted(entry.tied.items()) if elements]
        each = {"each": len(entry.barred)}
        return Wait(Rule.DEPENDENCY, {"jobs": ",".join(map(str, names)), **each})
    if job.spec.not_before > now:
        return Wait(Rule.NOT_BEFORE, {"at": job.spec.not_before}, job.spec.not_before)
    if entry.retry_at > now:
        failures = max(entry.failures.values(), default=1)
        return Wait(Rule.RETRY, {"at": entry.retry_at, "failures": failures}, entry.retry_at)
    if entry.shunned and (wait := shut_out(s, now, entry)) is not None:
        return wait
    if job.spec.array_cap and len(entry.slots) >= job.spec.array_cap:
        return Wait(Rule.ARRAY_CAP, {"cap": job.spec.array_cap, "live": len(entry.slots)})
    return shut(s, now, job.spec)


def _hold(entry: Entry) -> Wait:
    by = entry.job.held_by or next((e.held_by for e in entry.touched.values() if e.held_by), "")
    return Wait(Rule.HOLD, {"held_by": by})
