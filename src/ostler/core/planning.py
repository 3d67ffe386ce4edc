"""The core's side of planning: what a scheduler is shown, and which of its lines are carried out."""

from collections import Counter
from math import inf

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.life import grant
from ostler.core.moves import end_waiting, settle
from ostler.core.slots import drain, feed, take_back, worth_taking
from ostler.core.state import NodeEntry, State
from ostler.model.allocation import Allocation
from ostler.model.errors import Refused
from ostler.model.ids import STEPS_FROM
from ostler.model.orders import ResumeShare, StartTasks
from ostler.model.resources import Placement
from ostler.model.states import AllocationState, JobState, Result, Rule
from ostler.schedule.explain import explain
from ostler.schedule.snapshot import (
    NodeView,
    Plan,
    Rank,
    Resume,
    ResumeView,
    RunningView,
    Snapshot,
    Start,
    Wait,
    WaitingView,
)

_EXPLAINED = 10  # jobs that a pass rejects with a full explanation, at most


def snapshot(s: State, now: float) -> Snapshot:
    """Return the machine as a scheduler may see it."""
    running = [_running(s, alloc) for alloc in s.allocations.values() if alloc.job < STEPS_FROM]
    waiting = [
        view
        for number, entry in s.jobs.items()
        if number < STEPS_FROM and (view := waiting_view(s, now, entry))
    ]
    resuming = [
        _resuming(s.allocations[number], now)
        for entry in s.jobs.values()
        for number in sorted(entry.resuming)
    ]
    most = s.setting("max-cpus-per-user")
    return Snapshot(node_views(s), running, waiting, resuming, dict(s.user_cpus), most)


def node_views(s: State) -> list[NodeView]:
    """Return every node with what is free on it."""
    return [_node_view(entry) for entry in s.nodes.values()]


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
    job = entry.job
    ends = _begun(alloc) + alloc.suspended + alloc.time_limit if alloc.time_limit else inf
    draining = entry.slots[alloc.id].draining
    if draining:  # so that what waits for it is not overtaken by what it gives back
        ends = min(ends, _begun(alloc) + entry.mean)
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
        draining=draining,
    )


def _begun(alloc: Allocation) -> float:
    """Return when what runs began, or at the latest could have."""
    if alloc.slot:
        return alloc.since
    return alloc.started_at if alloc.started_at is not None else alloc.granted_at


def _rank(entry: Entry) -> Rank:
    job, spec = entry.job, entry.job.spec
    duration = float(spec.time_limit) or inf
    return Rank(job.priority, job.submitted_at, spec.partition, spec.request, duration)


def _resuming(alloc: Allocation, now: float) -> ResumeView:
    return ResumeView(alloc.id, alloc.job, alloc.placements, _left(alloc, now))


def _left(alloc: Allocation, now: float) -> float:
    if not alloc.time_limit:
        return inf
    begun = _begun(alloc)
    stopped = alloc.suspended_at if alloc.suspended_at is not None else now
    return max(1.0, alloc.time_limit - (stopped - begun - alloc.suspended))


def waiting_view(s: State, now: float, entry: Entry) -> WaitingView | None:
    """Return what waits of a job; None when nothing does. Kept until the job changes.

    Elements that wait in a slot behind others count once no others wait, and if it takes long.
    """
    if entry.view is not None:
        return entry.view
    job = entry.job
    count = len(entry.waiting) or len(entry.barred) or _held(entry)
    handed = 0 if count else _worth_taking(s, now, entry)
    if not (count or handed):
        return None
    blocked = _blocked(now, entry)
    if job.spec.array_cap and not blocked:
        count = min(count, job.spec.array_cap - len(entry.slots))
    view = WaitingView(
        job.id,
        max(count or handed, 1),
        job.spec.request,
        job.spec.partition,
        job.user,
        job.priority,
        job.submitted_at,
        float(job.spec.time_limit) or inf,
        blocked,
        head=bool(entry.returned),
        known=(job.spec.request, job.spec.request.shape),
    )
    entry.view = view if count else None
    return view


def _worth_taking(s: State, now: float, entry: Entry) -> int:
    """Return how many slots of an array have a queue that an idle CPU should share."""
    if not entry.queued:
        return 0
    return sum(worth_taking(entry, s.allocations[number], now) for number in entry.slots)


def _held(entry: Entry) -> int:
    return sum(1 for index in entry.touched if index not in entry.live)


def _blocked(now: float, entry: Entry) -> Wait | None:
    """Return why none of the job's elements may start, as far as the core alone knows it."""
    job = entry.job
    if job.held_by or not (entry.waiting or entry.queued or entry.barred):
        by = job.held_by or next((e.held_by for e in entry.touched.values() if e.held_by), "")
        return Wait(Rule.HOLD, {"held_by": by})
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
    if job.spec.array_cap and len(entry.slots) >= job.spec.array_cap:
        return Wait(Rule.ARRAY_CAP, {"cap": job.spec.array_cap, "live": len(entry.slots)})
    return None


def on_planned(s: State, now: float, plan: Plan, by: str) -> None:
    """Carry out what is legal of a plan; each line that is not becomes an event with the reason."""
    s.changed = False
    left = Counter(line.job for line in plan.lines if isinstance(line, Start))
    for line in plan.lines:
        try:
            if isinstance(line, Resume):
                _resume(s, now, line)
            else:
                _start(s, now, line, alike=left[line.job])
                left[line.job] -= 1
        except Refused as error:
            job = line.job if isinstance(line, Start) and line.job in s.jobs else None
            s.note(now, "plan-refused", f"{by}: {error}", job=job)
    for number in sorted(plan.yields):
        alloc = s.allocations.get(number)
        if alloc is not None and alloc.slot and not alloc.cause:
            drain(s, s.jobs[alloc.job], alloc)
    for number, wait in plan.waits.items():
        entry = s.jobs.get(number)
        if (
            entry is None
            or entry.job.rule == wait.rule
            or not (entry.waiting or entry.barred or _held(entry))
        ):
            continue
        entry.job = replace(entry.job, rule=str(wait.rule))
        s.save(entry.job)
    if s.immediate:
        _reject_late(s, now, plan)


def _reject_late(s: State, now: float, plan: Plan) -> None:
    """End what was to start at once and has not."""
    late = [n for n in sorted(s.immediate) if s.jobs[n].waiting and n in plan.waits]
    shot = snapshot(s, now)
    for at, number in enumerate(late):
        # An explanation costs about two plans, and a client may ask for thousands at a time.
        more = (
            f": {explain(shot, now, number).reason}" if at < _EXPLAINED else ", as others beside it"
        )
        why = f"it cannot be granted at once{more}"
        end_waiting(s, now, s.jobs[number], Result.REJECTED, why)
    s.immediate.clear()


def _start(s: State, now: float, line: Start, *, alike: int) -> None:
    entry = s.jobs.get(line.job)
    if entry is None:
        raise Refused(f"there is no job {line.job} that waits")
    if entry.next_waiting() is None:
        if take_back(s, now, entry):  # with a node, behind others: once it is back, it waits
            return
        raise Refused(f"job {line.job} has no element that waits")
    blocked = _blocked(now, entry)
    if blocked:
        raise Refused(f"job {line.job} may not start: rule {blocked.rule}")
    check_places(s, entry, line.placements)
    places = tuple(sorted(line.placements, key=lambda p: p.first_rank))
    grant(s, now, entry, places, alike=alike)


def check_places(s: State, entry: Entry, places: tuple[Placement, ...]) -> None:
    """Raise `Refused` unless the places are what the job asked for, and free."""
    job, request = entry.job, entry.job.spec.request
    names = [p.node for p in places]
    if not names or len(set(names)) != len(names):
        raise Refused(f"job {job.id}: a node is named twice, or none is")
    if request.nodes and len(names) != request.nodes:
        raise Refused(f"job {job.id} asks for {request.nodes} nodes, not {len(names)}")
    if sum(p.tasks for p in places) != request.tasks:
        raise Refused(f"job {job.id} asks for {request.tasks} tasks")
    rank = 0
    for place in sorted(places, key=lambda p: p.first_rank):
        _check_place(s, entry, place, rank)
        rank += place.tasks
    most = s.setting("max-cpus-per-user")
    asked = sum(len(p.cpus) for p in places)
    held = s.user_cpus.get(job.user, 0)
    if most and held + asked > most:
        raise Refused(f"{job.user} holds {held} CPUs and may hold {most}, not {held + asked}")


def _check_place(s: State, entry: Entry, place: Placement, rank: int) -> None:
    job, request = entry.job, entry.job.spec.request
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
    generic = {name: n * place.tasks for name, n in request.generic.items()}
    wanted = (place.tasks * request.cpus, place.tasks * request.memory, place.tasks * request.gpus)
    given = (len(place.cpus), place.memory, len(place.gpus))
    named_once = len(set(place.cpus)) == len(place.cpus)
    named_once = named_once and len(set(place.gpus)) == len(place.gpus)
    shape = place.tasks >= 1 and place.first_rank == rank and named_once
    if not shape or wanted != given or generic != place.generic:
        raise Refused(f"job {job.id} asks for {wanted} on {place.node}, and was to get {given}")
    if request.tasks_per_node and place.tasks > request.tasks_per_node:
        raise Refused(f"job {job.id} wants no {place.tasks} tasks on one node")
    if missing := node.books.lacks(place):
        raise Refused(missing)


def _resume(s: State, now: float, line: Resume) -> None:
    alloc = s.allocations.get(line.alloc)
    if alloc is None or alloc.id not in s.jobs[alloc.job].resuming:
        raise Refused(f"allocation {line.alloc} does not wait to go on")
    entry = s.jobs[alloc.job]
    if not all(s.nodes[p.node].books.cpus.issuperset(p.cpus) for p in alloc.placements):
        raise Refused(f"the CPUs of allocation {alloc.id} are not free")
    most = s.setting("max-cpus-per-user")
    if most and s.user_cpus.get(entry.job.user, 0) + s.cpus_of(alloc) > most:
        raise Refused(f"{entry.job.user} may hold {most} CPUs")
    thaw(s, now, entry, alloc)


def thaw(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """Let a suspended allocation go on; its CPUs are free."""
    for place in alloc.placements:
        if not entry.job.spec.within:
            s.nodes[place.node].books.take_cpus(place)
        if place.node in alloc.freed:
            continue
        s.send(place.node, ResumeShare(alloc.id))
        if len(alloc.nodes) > 1:  # it may have been suspended before it could be told to start
            s.send(place.node, StartTasks(alloc.id))
    if not entry.job.spec.within:
        s.count_cpus(entry.job.user, s.cpus_of(alloc))
    entry.resuming.discard(alloc.id)
    paused = now - (alloc.suspended_at if alloc.suspended_at is not None else now)
    alloc = s.put(
        replace(
            alloc,
            state=AllocationState.READY,
            suspended_at=None,
            suspended=alloc.suspended + paused,
            resuming=False,
        )
    )
    if alloc.slot and not alloc.chunk:  # all that it held ended unheard of, before it stood still
        feed(s, now, entry, alloc)
    elif not alloc.slot:
        record = replace(entry.touched[alloc.element], state=JobState.RUNNING)
        entry.touched[alloc.element] = record
    settle(s, now, entry)
