"""Allocations that a client holds, and the steps in them: docs/decisions/0013.

A step is a job whose allocation is a part of another one. What decides when it may start, and what
happens to all of them at the end, is here; everything else about it is as with any job.
"""

from math import inf

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.events import Submitted
from ostler.core.halts import steps_follow
from ostler.core.life import end_for_good, free, grant, note_ready
from ostler.core.moves import end_waiting, settle
from ostler.core.over import accounting, with_start
from ostler.core.state import State
from ostler.core.status import ENDED_BY_OSTLER
from ostler.model.allocation import Allocation
from ostler.model.errors import Refused
from ostler.model.ids import MAX_STEPS
from ostler.model.job import JobSpec, TaskExit
from ostler.model.limits import MAX_UNFINISHED_STEPS
from ostler.model.resources import Placement, Request
from ostler.model.states import AllocationState, JobState, Result, Rule
from ostler.model.units import format_duration, format_size
from ostler.schedule.fit import placements, remove, seats
from ostler.schedule.room import Room, mask_of
from ostler.schedule.words import counted, task_of

_UNLIMITED = 1 << 60  # bytes: of an allocation whose memory was not limited
_OWN = "leave its shell, or unset OSTLER_JOB to run a job of its own"


# -- submission --------------------------------------------------------------------------------


def placed(s: State, event: Submitted) -> Submitted:
    """Return the submission as that of a step, or of a job of its own.

    It is a step where it names an allocation that is held by its caller. Raises `Refused` where the
    allocation cannot take steps any more or belongs to somebody else.
    """
    spec = event.spec
    if not spec.within:
        return event
    holder = s.jobs.get(spec.within) or s.recent.get(spec.within)
    if holder is None or not holder.job.holds or event.dry:
        return replace(event, spec=replace(spec, within=0))
    job = holder.job
    if (job.uid, job.user) != (event.caller.uid, event.caller.user):
        raise Refused(
            f"allocation {job.id} belongs to {job.user}; {event.caller.user} may not run steps in it",
            hint="unset OSTLER_JOB to run a job of your own",
        )
    alloc = held(s, holder)
    if alloc is None or alloc.cause:
        ended = "has ended" if job.state is JobState.DONE else f"is {job.state}"
        raise Refused(f"allocation {job.id} {ended} and takes no steps", hint=_OWN)
    if s.next_step[job.id] >= MAX_STEPS:
        raise Refused(f"allocation {job.id} has had {MAX_STEPS} steps, the most allowed", hint=_OWN)
    if len(s.steps.get(job.id, ())) >= MAX_UNFINISHED_STEPS:
        raise Refused(
            f"allocation {job.id} has {MAX_UNFINISHED_STEPS} unfinished steps, the most allowed",
            hint="wait for some to end",
        )
    return replace(event, spec=_filled(spec, job.spec))


def _filled(spec: JobSpec, holder: JobSpec) -> JobSpec:
    """Return a step's specification with what its allocation has decided for it."""
    request, whole = spec.request, holder.request
    if whole.memory and not request.memory:  # its part of it, by its CPUs
        request = replace(request, memory=max(1, whole.memory * request.cpus // whole.cpus))
    return replace(spec, request=request, partition=holder.partition, project=holder.project)


def check_fits(s: State, spec: JobSpec) -> None:
    """Raise `Refused` if the step would not fit into its allocation even if that were empty."""
    holder = s.jobs[spec.within]
    alloc = held(s, holder)
    if alloc is None or seats(list(_whole(s, alloc).values()), spec.request) is not None:
        return
    request = spec.request
    raise Refused(
        f"{_asked(request)} would never fit into allocation {holder.job.id}",
        expected=f"it holds {_amount(alloc)}",
        hint="ask for less, or leave it and ask `ostler alloc` for more",
    )


def _asked(request: Request) -> str:
    what = task_of(request)
    return f"{request.tasks} tasks of {what}" if request.tasks > 1 else f"a step of {what}"


def _amount(alloc: Allocation) -> str:
    parts = []
    for place in alloc.placements:
        memory = f" and {format_size(place.memory)}" if place.memory else ""
        gpus = f" and {counted(len(place.gpus), 'GPU')}" if place.gpus else ""
        parts.append(f"{counted(len(place.cpus), 'CPU')}{memory}{gpus} of {place.node}")
    return ", ".join(parts)


# -- room --------------------------------------------------------------------------------------


def held(s: State, entry: Entry) -> Allocation | None:
    """Return the allocation that the job holds; None if it has none."""
    return next((s.allocations[number] for number in entry.slots), None)


def _whole(s: State, alloc: Allocation) -> dict[str, Room]:
    return {p.node: _room(s, p) for p in alloc.placements}


def _room(s: State, place: Placement) -> Room:
    memory, features = place.memory or _UNLIMITED, s.nodes[place.node].node.facts.features
    cpus, gpus = mask_of(place.cpus), mask_of(place.gpus)
    return Room(place.node, cpus, memory, gpus, place.generic, features)


def _free(s: State, entry: Entry, alloc: Allocation) -> list[Room]:
    """Return what no step uses, on the nodes that can start something."""
    rooms = _whole(s, alloc)
    for number in s.steps.get(entry.job.id, ()):
        for part in s.jobs[number].slots:
            for place in s.allocations[part].placements:
                rooms[place.node].remove(place)
    return [room for name, room in rooms.items() if not s.nodes[name].fault]


def why_waits(s: State, entry: Entry) -> str:
    """Return the sentence on why a step does not start."""
    job = entry.job
    holder = s.jobs.get(job.spec.within)
    alloc = held(s, holder) if holder is not None else None
    if job.held_by:
        return f"it is held by {job.held_by}"
    if holder is None or alloc is None:
        return f"allocation {job.spec.within} is not there"
    if job.rule == Rule.BEHIND:
        return f"other steps of allocation {holder.job.id} were asked for before it"
    if job.rule == Rule.RETRY:
        return f"its last start failed: {job.reason}"
    if alloc.state is AllocationState.SUSPENDED:
        return f"allocation {holder.job.id} stands still, and starts no step before it goes on"
    rooms = _free(s, holder, alloc)
    cpus = sum(room.cpus.bit_count() for room in rooms)
    total = sum(len(p.cpus) for p in alloc.placements)
    have = f"{cpus} of the {counted(total, 'CPU')} of allocation {holder.job.id} are free"
    return f"it asks for {_asked(job.spec.request)}, and {have}; it waits for other steps to end"


# -- life --------------------------------------------------------------------------------------


def follow(s: State, now: float) -> None:
    """Bring the allocations up to date to which, or to whose steps, something has happened."""
    while s.alloc_news:
        number = min(s.alloc_news)
        s.alloc_news.discard(number)
        entry = s.jobs.get(number)
        alloc = held(s, entry) if entry is not None else None
        if entry is None or alloc is None:
            continue
        if alloc.state is AllocationState.GRANTED:
            alloc = _ready(s, now, entry, alloc)
        if not alloc.cause:
            alloc = _limited(s, now, entry, alloc)
        if alloc.cause:
            _wind_up(s, now, entry, alloc)
            continue
        _start_steps(s, now, entry, alloc)
        steps_follow(s, now, entry, alloc)


def _ready(s: State, now: float, entry: Entry, alloc: Allocation) -> Allocation:
    """Let it be used: no node has to make anything for it."""
    made = replace(
        alloc, state=AllocationState.READY, made=alloc.nodes, started=True, started_at=now
    )
    record = replace(entry.touched[alloc.element], state=JobState.RUNNING, started_at=now)
    entry.touched[alloc.element] = record
    before = entry.job
    entry.job = with_start(before, now)
    made = s.put(made)
    note_ready(s, now, made)
    settle(s, now, entry, saved=before)
    return made


def _limited(s: State, now: float, entry: Entry, alloc: Allocation) -> Allocation:
    """End it if it has been there, or without a step, for too long; else look again in time.

    While it stands still, time stands still.
    """
    job = entry.job
    if alloc.state is AllocationState.SUSPENDED:
        entry.idle_since = None
        return alloc
    if job.id in s.steps:
        entry.idle_since = None
    elif entry.idle_since is None:
        entry.idle_since = now
    begun = alloc.granted_at if alloc.started_at is None else alloc.started_at
    late = begun + alloc.suspended + alloc.time_limit if alloc.time_limit else inf
    counts = entry.idle_since is not None and job.spec.idle > 0
    idle = (entry.idle_since or 0.0) + job.spec.idle if counts else inf
    if now >= late:
        why = f"ran into its time limit of {format_duration(alloc.time_limit)}"
        return close(s, now, alloc, Result.TIMEOUT, why)
    if now >= idle:
        why = f"no step has run in it for {format_duration(job.spec.idle)}"
        return close(s, now, alloc, Result.TIMEOUT, why)
    due = min(late, idle)
    if due < inf and due != entry.wakes_at:
        entry.wakes_at = due
        s.wake(due, job.id)
    return alloc


def _start_steps(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """Start what fits, in the order in which it was asked for."""
    waiting = [s.jobs[number] for number in sorted(s.steps.get(entry.job.id, ()))]
    waiting = [step for step in waiting if step.waiting and not step.job.held_by]
    if not waiting:
        return
    rooms = _free(s, entry, alloc) if alloc.state is AllocationState.READY else []
    rule = ""
    for step in waiting:
        if step.retry_at > now:
            _wait(s, step, Rule.RETRY)
            continue
        chosen = None if rule else seats(rooms, step.job.spec.request)
        if chosen is None:
            rule = Rule.BEHIND if rule else Rule.RESOURCES
            _wait(s, step, rule)
            if step.job.spec.immediate:
                why = f"it cannot be granted at once: {why_waits(s, step)}"
                end_waiting(s, now, step, Result.REJECTED, why)
            continue
        places = placements(rooms, step.job.spec.request, chosen)
        remove(rooms, chosen, places)
        grant(s, now, step, places)


def _wait(s: State, step: Entry, rule: str) -> None:
    if step.job.rule != rule:
        step.job = replace(step.job, rule=rule)
        s.save(step.job)


# -- the end -----------------------------------------------------------------------------------


def close(
    s: State, now: float, alloc: Allocation, cause: Result, why: str, *, status: int | None = None
) -> Allocation:
    """Let the allocation end; its steps are ended first. status: what its command exited with."""
    if alloc.cause:
        return alloc  # the first cause is kept
    tasks = () if status is None else (TaskExit(0, status),)
    alloc = replace(
        alloc, state=AllocationState.RELEASING, cause=cause, why=why, tasks=tasks, resuming=False
    )
    s.put(alloc)
    settle(s, now, s.jobs[alloc.job])
    return alloc


def end(s: State, now: float, entry: Entry, status: int) -> str:
    """Take the client's word that its command has ended, with this exit status."""
    alloc = held(s, entry)
    if alloc is None:
        end_waiting(s, now, entry, Result.CANCELLED, "its client has gone away")
        return "ended"
    how = "succeeded" if status == 0 else f"exited with status {status}"
    result = Result.FAILED if status else Result.SUCCESS
    close(s, now, alloc, result, f"its command {how}", status=status)
    return "is ending"


def _wind_up(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """End the steps, and when none is left the allocation itself."""
    for number in sorted(s.steps.get(entry.job.id, ())):
        step = s.jobs[number]
        why = f"its allocation ended: {alloc.why}"
        for part in sorted(step.slots):
            end_for_good(s, s.allocations[part], why)
        end_waiting(s, now, step, Result.CANCELLED, why)
    if entry.job.id not in s.steps:
        _over(s, now, entry, alloc)


def _over(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    before = entry.job
    still = 0.0 if alloc.suspended_at is None else now - alloc.suspended_at
    usage = replace(alloc.usage, suspended=alloc.suspended + still)
    status = alloc.tasks[0].code if alloc.tasks else ENDED_BY_OSTLER
    element = replace(
        entry.element(alloc.element),
        state=JobState.DONE,
        attempt=alloc.attempt,
        held_by="",
        node=",".join(p.node for p in alloc.placements),
        result=Result(alloc.cause),
        exit_status=status,
        reason=alloc.why,
        started_at=alloc.started_at,
        ended_at=now,
        usage=usage,
        tasks=alloc.tasks,
    )
    if alloc.started:
        s.save(accounting(before, alloc, element, str(element.result), alloc.granted_at))
    s.save(element)
    free(s, now, entry, alloc)
    entry.finish(alloc.element, alloc.cause, status, alloc.attempt)
    s.put(replace(alloc, state=AllocationState.RELEASED, freed=alloc.nodes))
    del entry.slots[alloc.id]
    settle(s, now, entry, why=alloc.why, saved=before)
