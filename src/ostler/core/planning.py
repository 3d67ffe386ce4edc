"""What the core carries out of a plan, line by line; and what it refuses."""

from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from ostler.core import resize, retask
from ostler.core.charge import check_charge, take_reasons
from ostler.core.claims import check_groups, check_licences, check_node, share_of
from ostler.core.delta import blocked, held, snapshot
from ostler.core.entry import Entry
from ostler.core.foreign.bind import check_one
from ostler.core.foreign.closed import turn_away
from ostler.core.foreign.intake import is_at, mixed
from ostler.core.foreign.spread import check_element, rm_name
from ostler.core.foretold import note_promises
from ostler.core.halts import can_halt, freeze, thaw
from ostler.core.life import grant, release
from ostler.core.moves import end_waiting, settle
from ostler.core.over import REQUEUE
from ostler.core.reserved import check_open
from ostler.core.resize import growth
from ostler.core.slots import drain, take_back
from ostler.core.state import NO_JOB, State
from ostler.core.trims import give_up
from ostler.model.allocation import Allocation
from ostler.model.errors import Refused
from ostler.model.ids import STEPS_FROM
from ostler.model.job import Job
from ostler.model.record import Ruled
from ostler.model.resources import Placement, Request
from ostler.model.states import Result, Rule, Suspender
from ostler.schedule.explain import explain
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import (
    BUILT_IN,
    Line,
    Piece,
    Plan,
    Preempt,
    Resume,
    Start,
    Suspend,
    Wait,
)

_EXPLAINED = 10  # jobs that a pass rejects with a full explanation, at most
_MANY = 1_000  # jobs or nodes with which there is no time for full explanations
_SHORT = {
    Rule.RESOURCES: "what it asks for is busy",
    Rule.NODES: "too few nodes are up and in",
    Rule.BEHIND: "it would delay what is ahead of it",
    Rule.QUEUE: "jobs that ask for the same are ahead of it",
    Rule.LIMIT: "a limit is reached",
    Rule.HOLD: "it is held",
    Rule.DEPENDENCY: "it waits for other jobs",
    Rule.NOT_BEFORE: "it is not to start yet",
}


def on_planned(
    s: State,
    now: float,
    plan: Plan,
    by: str = BUILT_IN,
    piece: Piece | None = None,
    wrong: str = "",
) -> None:
    """Carry out what is legal of a plan; what is not becomes an event with the reason.

    A line may have become illegal while the scheduler was at work; that is no event. Whatever a
    line names is in the next delta: the scheduler took it for carried out.
    """
    late = by == BUILT_IN and (plan.number != s.marks.number or bool(s.marks))
    ended = piece is None or piece.last
    s.parts.plans += ended
    halves = mixed(s, plan.number) if s.rms else ()
    left = Counter({} if piece is None else piece.follow)
    left.update(line.job for line in plan.lines if isinstance(line, Start))
    for line in plan.lines:
        _mark(s, line)
        if halves and is_at(s, line, halves):
            if isinstance(line, Start):
                left[line.job] -= 1
            continue
        try:
            check_charge(s, line, by)
            if isinstance(line, Resume):
                _resume(s, now, line)
            elif isinstance(line, Preempt):
                _preempt(s, now, line)
            elif isinstance(line, Suspend):
                _suspend(s, now, line)
            else:
                _start(s, now, line, alike=left[line.job])
                left[line.job] -= 1
        except Refused as error:
            s.refused_late += late
            if not late and by not in s.parts.refused:
                job = line.job if isinstance(line, Start) and line.job in s.jobs else None
                s.note(now, "plan/refused", f"{by}: {error}", job=job)
            if by != BUILT_IN:  # of a plan of another's the first says enough
                s.parts.refused.add(by)
    if ended:
        _is_over(s, now, by, wrong)
    if by != BUILT_IN:
        waits = take_reasons(s, plan.waits, by, piece)
        plan = replace(plan, waits=waits, yields=frozenset(), turned=())
    _yield(s, plan.yields)
    for number, wait in plan.waits.items():
        _waits(s, number, wait)
    note_promises(s, plan)
    for partition in plan.turned:
        s.turned[partition], s.marks.turned = now, True
    if plan.wake is not None and not now < s.plan_at <= plan.wake:
        s.plan_at = plan.wake
        s.wake(plan.wake, NO_JOB)
    if s.immediate:
        _reject_late(s, now, plan, by)


def _yield(s: State, allocations: Iterable[int]) -> None:
    for number in sorted(allocations):
        alloc = s.allocations.get(number)
        s.marks.allocations.add(number)
        if alloc is not None and alloc.slot and not alloc.cause:
            drain(s, s.jobs[alloc.job], alloc)


def _is_over(s: State, now: float, by: str, wrong: str) -> None:
    if wrong and wrong != s.parts.wrong.get(by):
        s.note(now, "plan/refused", f"{by}: {wrong}", about=by)
    s.parts.wrong[by] = wrong
    s.parts.refused.discard(by)


def on_lost(s: State, now: float, why: str) -> None:
    """Tell whoever plans next everything."""
    s.marks.everything = s.changed = True
    s.note(now, "planner/lost", why)


def _mark(s: State, line: Line) -> None:
    """Let the scheduler know how everything is that the line names."""
    if not isinstance(line, Start):
        s.marks.resuming = True
        s.marks.allocations.add(line.alloc)
        alloc = s.allocations.get(line.alloc)
        placements = () if alloc is None else alloc.placements
    else:
        s.marks.jobs.add(line.job)
        placements = line.placements
    s.marks.nodes.update(p.node for p in placements if p.node in s.nodes)


def _waits(s: State, number: int, wait: Wait) -> None:
    """Note why a job waits, unless it no longer does."""
    entry = s.jobs.get(number)
    if entry is None or entry.job.rule == wait.rule:
        return
    if entry.waiting or entry.barred or held(entry):
        entry.job = replace(entry.job, rule=str(wait.rule))
        s.save(Ruled(entry.job))


def _reject_late(s: State, now: float, plan: Plan, by: str) -> None:
    """End what was to start at once and has not."""
    for entry in [s.jobs[n] for n in sorted(s.immediate) if s.jobs[n].growth]:
        if growth(s, entry) is None:
            give_up(s, entry, f"it is {entry.job.state}")
    late = [
        n
        for n in sorted(s.immediate)
        if _at_once(s.jobs[n]) and n in plan.waits
        if s.parts.planner_of(s.site, s.jobs[n].job.spec.partition) == by
    ]
    # An explanation costs about two plans, and a client may ask for thousands at a time.
    shot = snapshot(s, now) if late and len(s.jobs) < _MANY and len(s.nodes) < _MANY else None
    told = {n: explain(shot, now, n).reason for n in late[:_EXPLAINED]} if shot else {}
    for number in late:
        short = _SHORT.get(plan.waits[number].rule, f"rule {plan.waits[number].rule}")
        why = told.get(number, short)
        if s.jobs[number].growth:
            give_up(s, s.jobs[number], why)
        else:
            why = f"it cannot be granted at once: {why}"
            end_waiting(s, now, s.jobs[number], Result.REJECTED, why)
    # What is not in this plan was submitted since it was begun.
    s.immediate = {n for n in s.immediate if _at_once(s.jobs[n])}


def _at_once(entry: Entry) -> bool:
    return bool(entry.waiting) or entry.growth is not None


def _start(s: State, now: float, line: Start, *, alike: int) -> None:
    entry = s.jobs.get(line.job)
    if entry is None:
        raise Refused(f"there is no job {line.job} that waits")
    if (more := growth(s, entry)) is not None:
        check_places(s, entry, line.placements, more)
        check_open(s, now, entry, line.placements)
        grow = resize.grow if entry.growth is None else retask.grow
        grow(s, now, entry, line.placements)
        return
    if entry.next_waiting() is None:
        if take_back(s, now, entry):  # with a node, behind others: once it is back, it waits
            s.changed = s.changed or bool(held(entry))  # the next plan tells why those wait
            return
        raise Refused(f"job {line.job} has no element that waits")
    check_start(s, now, entry, line)
    places = tuple(sorted(line.placements, key=lambda p: p.first_rank))
    grant(s, now, entry, places, alike=alike, element=line.element)


def check_start(s: State, now: float, entry: Entry, line: Start) -> None:
    """Raise `Refused` unless the line starts something that waits where there is room for it."""
    if line.element is not None and line.element not in entry.waiting:
        raise Refused(f"element {line.element} of job {line.job} does not wait")
    why = blocked(s, now, entry)
    if why:
        raise Refused(f"job {line.job} may not start: rule {why.rule}")
    check_places(s, entry, line.placements)
    check_open(s, now, entry, line.placements)
    if entry.bound or entry.shunned:
        check_element(now, entry, line.element, rm_name(s, line.placements))


def check_places(
    s: State, entry: Entry, places: tuple[Placement, ...], more: Request | None = None
) -> None:
    """Raise `Refused` unless the places are what the job asked for, and free.

    more: what it asks for beside what it holds.
    """
    job, request = entry.job, more or entry.job.spec.request
    names = [p.node for p in places]
    if not names or len(set(names)) != len(names):
        raise Refused(f"job {job.id}: a node is named twice, or none is")
    if request.nodes and len(names) != request.nodes:
        raise Refused(f"job {job.id} asks for {request.nodes} nodes, not {len(names)}")
    if sum(p.tasks for p in places) != request.tasks:
        raise Refused(f"job {job.id} asks for {request.tasks} tasks")
    if s.rms:
        check_one(s, job.id, places)
        turn_away(s, entry, places)
    rank = 0
    for place in sorted(places, key=lambda p: p.first_rank):
        _check_place(s, job, request, place, rank)
        rank += place.tasks
    check_groups(s, request, places)
    check_licences(s, request)
    most = s.setting("max-cpus-per-user")
    asked = sum(len(p.cpus) for p in places)
    held = s.user_cpus.get(job.user, 0)
    if most and held + asked > most:
        raise Refused(f"{job.user} holds {held} CPUs and may hold {most}, not {held + asked}")
    s.holds.check(job, asked)


def _check_place(s: State, job: Job, request: Request, place: Placement, rank: int) -> None:
    node = s.nodes.get(place.node)
    if node is None:
        raise Refused(f"there is no node {place.node!r}")
    if why := node.unusable:
        raise Refused(f"{place.node} cannot be used: {why}")
    if node.node.partition != job.spec.partition:
        raise Refused(f"{place.node} is not in partition {job.spec.partition}")
    listed = request.nodelist
    if (listed and place.node not in listed) or place.node in request.exclude:
        raise Refused(f"job {job.id} does not want {place.node}")
    wanted = share_of(request, node.node.facts, place.tasks)
    given = (len(place.cpus), place.memory, len(place.gpus), place.generic)
    named_once = len(set(place.cpus)) == len(place.cpus)
    named_once = named_once and len(set(place.gpus)) == len(place.gpus)
    shape = place.tasks >= 1 and place.first_rank == rank and named_once
    if not shape or wanted != given:
        raise Refused(f"job {job.id} asks for {wanted} on {place.node}, and was to get {given}")
    if request.tasks_per_node and place.tasks > request.tasks_per_node:
        raise Refused(f"job {job.id} wants no {place.tasks} tasks on one node")
    check_node(node, request, place.tasks)
    if missing := node.books.lacks(place):
        raise Refused(missing)


def _resume(s: State, now: float, line: Resume) -> None:
    alloc = s.allocations.get(line.alloc)
    if alloc is None or not alloc.resuming:
        raise Refused(f"allocation {line.alloc} does not wait to go on")
    entry = s.jobs[alloc.job]
    if not all(s.nodes[p.node].books.cpus.issuperset(p.cpus) for p in alloc.placements):
        raise Refused(f"the CPUs of allocation {alloc.id} are not free")
    most = s.setting("max-cpus-per-user")
    if most and s.user_cpus.get(entry.job.user, 0) + s.cpus_of(alloc) > most:
        raise Refused(f"{entry.job.user} may hold {most} CPUs")
    s.holds.check(entry.job, s.cpus_of(alloc))
    thaw(s, now, entry, alloc)


def _suspend(s: State, now: float, line: Suspend) -> None:
    """Let an allocation stand still, for another has its turn."""
    entry, alloc = _one_that_runs(s, line.alloc)
    if not can_halt(s, entry, alloc):
        raise Refused(f"allocation {alloc.id} cannot stand still now: it is {alloc.state}")
    freeze(s, now, entry, alloc, Suspender.SCHEDULER, drains=False)
    settle(s, now, entry, why="other jobs have their turn on its CPUs")


def _preempt(s: State, now: float, line: Preempt) -> None:
    """Suspend or end what is to give way."""
    entry, alloc = _one_that_runs(s, line.alloc)
    why = f"it gave way to job {line.job}"
    match line.how:
        case Preemption.SUSPEND if can_halt(s, entry, alloc):
            freeze(s, now, entry, alloc, Suspender.SCHEDULER, job=line.job)
        case Preemption.CANCEL:
            release(s, alloc, Result.CANCELLED, why, line.grace, way=line.job)
        case Preemption.REQUEUE if entry.job.spec.requeue:
            release(s, alloc, REQUEUE, why, line.grace, way=line.job)
        case _:
            raise Refused(f"allocation {line.alloc} cannot give way by {line.how}")
    settle(s, now, entry, why=why)


def _one_that_runs(s: State, number: int) -> tuple[Entry, Allocation]:
    alloc = s.allocations.get(number)
    if alloc is None or alloc.cause or alloc.job >= STEPS_FROM:
        raise Refused(f"allocation {number} cannot give way: it has ended, or ends already")
    return s.jobs[alloc.job], alloc
