"""The life of one element on its allocation: granted, made, started, ended, and perhaps again."""

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.moves import settle
from ostler.core.state import NodeEntry, State
from ostler.core.status import describe, exit_status, result_of
from ostler.model.allocation import Allocation
from ostler.model.job import Element, Job
from ostler.model.orders import NODE_FAULT, Ended, EndShare, Launch, Made, Started, StartTasks
from ostler.model.record import Accounting
from ostler.model.resources import Placement
from ostler.model.states import AllocationState, JobState, Result
from ostler.schedule.words import counted

REQUEUE = "requeue"  # a cause that is no result: the element goes back to its queue
UNDONE = "undone"  # a node could not make its share: everything is undone and tried again
# What a node can tell of an end; the last two are what it was told. Its tasks tell the rest.
_TOLD = frozenset(
    {
        "",
        NODE_FAULT,
        Result.CANCELLED,
        Result.TIMEOUT,
        Result.MEMORY,
        Result.LOST,
        Result.REJECTED,
        REQUEUE,
        UNDONE,
    }
)
FAULT_PAUSE_MOST = 30.0  # seconds until a node that could not start anything is tried again
MAX_FAILURES = 5  # starts in a row that nodes could not make, before an element is rejected


def grant(s: State, now: float, entry: Entry, index: int, places: tuple[Placement, ...]) -> None:
    """Give the element these places, which are known to be free, and order the start."""
    job = entry.job
    element = replace(
        entry.element(index),
        state=JobState.STARTING,
        attempt=entry.element(index).attempt + 1,
        node=",".join(p.node for p in places),
        reason="",
    )
    alloc = Allocation(
        s.next_allocation,
        job.id,
        index,
        element.attempt,
        places,
        now,
        s.epoch,
        time_limit=job.spec.time_limit,
    )
    s.next_allocation += 1
    for place in places:
        node = s.nodes[place.node]
        node.books.take(place)
        node.allocations.add(alloc.id)
    s.count_cpus(job.user, s.cpus_of(alloc))
    entry.waiting.discard(index)
    entry.touched[index] = element
    entry.live[index] = alloc.id
    s.put(alloc)
    if not job.is_array:
        where = ", ".join(f"{counted(len(p.cpus), 'CPU')} of {p.node}" for p in places)
        s.note(now, "allocation-granted", f"it was given {where}", job=job.id, allocation=alloc.id)
    settle(s, now, entry)
    for place in places:
        order_launch(s, entry.job, alloc, place.node, start=len(places) == 1)


def order_launch(s: State, job: Job, alloc: Allocation, node: str, *, start: bool) -> None:
    """Order the share of an allocation on one node; harmless when the agent already has it."""
    spec = job.spec
    place = next(p for p in alloc.placements if p.node == node)
    order = Launch(
        alloc.id,
        job.id,
        alloc.element,
        alloc.attempt,
        job.user,
        job.uid,
        job.gid,
        place,
        spec.request,
        total_tasks=spec.request.tasks,
        members=tuple(p.node for p in alloc.placements),
        start=start,
        is_array=job.is_array,
        argv=spec.argv,
        cwd=spec.cwd,
        umask=spec.umask,
        name=spec.name,
        output=spec.output,
        error=spec.error,
        input=spec.input,
        time_limit=alloc.time_limit,
        warn_signal=spec.warn_signal,
        warn_before=spec.warn_before,
        grace=spec.grace,
        rlimits=spec.rlimits,
        stdio=spec.stdio,
    )
    s.send(node, order, (spec.env, spec.script, spec.items))


def on_made(s: State, now: float, node: str, row: Made) -> None:
    """A node holds the context; when all do, the tasks start."""
    alloc = s.allocations.get(row.alloc)
    if alloc is None or node not in alloc.nodes or node in alloc.made:
        return  # late or repeated: a report is sent until it is acknowledged
    alloc = replace(alloc, made=alloc.made | {node})
    if alloc.made == alloc.nodes and alloc.state is AllocationState.GRANTED and not alloc.cause:
        alloc = replace(alloc, state=AllocationState.READY)
        for name in sorted(alloc.nodes):
            s.send(name, StartTasks(alloc.id))
    s.put(alloc)
    settle(s, now, s.jobs[alloc.job])


def on_started(s: State, now: float, node: str, row: Started) -> None:
    """The tasks of one share run."""
    alloc = s.allocations.get(row.alloc)
    if alloc is None or node not in alloc.nodes or alloc.started:
        return
    state = AllocationState.READY if alloc.state is AllocationState.GRANTED else alloc.state
    s.put(replace(alloc, state=state, started=True, started_at=row.at, made=alloc.made | {node}))
    entry = s.jobs[alloc.job]
    entry.failures.pop(alloc.element, None)
    s.nodes[node].faults, s.nodes[node].fault = 0, ""
    entry.touched[alloc.element] = replace(
        entry.touched[alloc.element], state=JobState.RUNNING, started_at=row.at
    )
    before = entry.job
    entry.job = _with_start(before, row.at)
    settle(s, now, entry, saved=before)


def _with_start(job: Job, at: float | None) -> Job:
    return job if job.started_at is not None else replace(job, started_at=at)


def on_ended(s: State, now: float, node: str, row: Ended) -> None:
    """Nothing is left of an allocation on one node; with the last node the element ends."""
    alloc = s.allocations.get(row.alloc)
    if alloc is None or node not in alloc.nodes or node in alloc.freed:
        return
    if row.cause not in _TOLD:
        why = f"{node} told of an end that is none: {row.cause[:50]!r}"
        row = replace(row, cause=Result.LOST if row.started_at is not None else "", why=why)
    if row.cause == NODE_FAULT:
        _fault(s, now, s.nodes[node], alloc.job, row.why)
    starts = [at for at in (alloc.started_at, row.started_at) if at is not None]
    alloc = replace(
        alloc,
        freed=alloc.freed | {node},
        started=bool(starts),
        started_at=min(starts, default=None),
        tasks=alloc.tasks + row.tasks,
        usage=alloc.usage + row.usage,
        end_cause=alloc.end_cause or row.cause,
        end_why=alloc.end_why or row.why,
    )
    if alloc.freed == alloc.nodes:
        _finish(s, now, alloc, row.at)
        return
    failed = row.cause or row.started_at is None
    if failed and alloc.state is not AllocationState.RELEASING:
        cause = row.cause if row.cause not in ("", NODE_FAULT) else UNDONE
        alloc = release(s, alloc, cause, row.why)
        settle(s, now, s.jobs[alloc.job])
    else:
        s.put(alloc)


def _fault(s: State, now: float, node: NodeEntry, job: int, why: str) -> None:
    """Let a node be that could not start anything, a full disk say; try again ever more seldom."""
    node.fault = why
    node.try_at = now + min(FAULT_PAUSE_MOST, 2.0**node.faults)
    node.faults += 1
    s.wake(node.try_at, job)


def release(s: State, alloc: Allocation, cause: str, why: str) -> Allocation:
    """Order the end of all shares that are left; the CPUs stay taken until nodes say they are."""
    s.jobs[alloc.job].resuming.discard(alloc.id)
    grace = s.jobs[alloc.job].job.spec.grace
    for node in sorted(alloc.nodes - alloc.freed):
        s.send(node, EndShare(alloc.id, cause, why, grace))
    return s.put(
        replace(alloc, state=AllocationState.RELEASING, cause=cause, why=why, resuming=False)
    )


def end_for_good(s: State, alloc: Allocation, why: str) -> None:
    """Order the end of what somebody cancels: also of what was to be undone or to run again."""
    if alloc.cause != Result.CANCELLED:
        release(s, alloc, Result.CANCELLED, why)


def _finish(s: State, now: float, alloc: Allocation, ended_at: float) -> None:
    entry = s.jobs[alloc.job]
    _free(s, entry, alloc)
    s.put(replace(alloc, state=AllocationState.RELEASED))
    del entry.live[alloc.element]
    cause, why = _cause(alloc)
    if cause == UNDONE and alloc.started:
        why = f"not all of it could start: {why}"
    elif not cause and len(alloc.tasks) < entry.job.spec.request.tasks:
        known, tasks = len(alloc.tasks), entry.job.spec.request.tasks
        cause, why = Result.LOST, f"how {tasks - known} of its {tasks} tasks ended is not known"
    told = Result.REJECTED if cause in (REQUEUE, UNDONE) else cause
    status = exit_status(told, alloc.tasks)
    again, reason = _again(entry, alloc, cause, why, status)
    result = result_of(told, alloc.tasks)
    element = replace(
        entry.touched[alloc.element],
        result=result,
        exit_status=status,
        reason=why or describe(alloc.tasks),
        started_at=alloc.started_at,
        ended_at=ended_at,
        usage=alloc.usage,
        tasks=alloc.tasks,
    )
    if alloc.started:
        s.save(_accounting(entry.job, alloc, element, "requeued" if again else str(result)))
    before = entry.job
    entry.job = _with_start(before, alloc.started_at)
    if again:
        _wait_again(s, now, alloc, element, reason)
    else:
        s.save(replace(element, state=JobState.DONE))
        entry.finish(alloc.element, str(result), status)
    settle(s, now, entry, why=reason if again else element.reason, saved=before)


def _cause(alloc: Allocation) -> tuple[str, str]:
    """Return what ended it and the sentence; both empty when its tasks ended by themselves."""
    if alloc.cause == REQUEUE:
        return REQUEUE, alloc.why
    if alloc.end_cause not in ("", UNDONE, REQUEUE, NODE_FAULT):
        return alloc.end_cause, alloc.end_why
    if alloc.cause == Result.CANCELLED and alloc.end_cause:
        return alloc.cause, alloc.why
    if alloc.cause == UNDONE or not alloc.started:
        if alloc.cause not in ("", UNDONE):
            return alloc.cause, alloc.why
        return UNDONE, alloc.end_why or alloc.why
    return "", ""


def _again(
    entry: Entry, alloc: Allocation, cause: str, why: str, status: int | None
) -> tuple[bool, str]:
    """Say whether the element goes back to its queue, and the sentence for it."""
    spec = entry.job.spec
    if alloc.cause == Result.CANCELLED:
        return False, ""  # whatever ended it in truth: somebody was told that it does not go on
    if cause == REQUEUE:
        return True, why
    if cause == UNDONE and not alloc.started and alloc.end_cause == NODE_FAULT:
        return True, f"could not start: {why}"  # the job has no part in it, however often
    if cause == UNDONE and not alloc.started:
        failures = entry.failures[alloc.element] = entry.failures.get(alloc.element, 0) + 1
        return failures < MAX_FAILURES, f"could not start: {why}"
    if cause in (Result.LOST, UNDONE) and spec.requeue:
        return True, f"runs again: {why}"
    if cause in (Result.CANCELLED, Result.REJECTED, Result.DEPENDENCY, UNDONE):
        return False, ""
    result = result_of(cause, alloc.tasks)
    if result is Result.SUCCESS or alloc.attempt > spec.retries:
        return False, ""
    named = {str(result), str(status)}
    if spec.retry_on and not named & set(spec.retry_on):
        return False, ""
    if result is Result.LOST and not spec.retry_on:
        return False, ""  # it may have run; only a word for it lets it run twice
    tries = f"attempt {alloc.attempt} of {spec.retries + 1} ended as {result}"
    return True, f"{tries}: {why or describe(alloc.tasks)}"


def _wait_again(s: State, now: float, alloc: Allocation, element: Element, reason: str) -> None:
    entry = s.jobs[alloc.job]
    attempt = alloc.attempt if alloc.started else alloc.attempt - 1
    back = replace(
        element,
        state=JobState.HELD if entry.job.held_by else JobState.PENDING,
        attempt=attempt,
        result=None,
        exit_status=None,
        node="",
        started_at=None,
        ended_at=None,
        reason=reason,
        tasks=(),
    )
    entry.touched[alloc.element] = back
    s.save(back)
    entry.waiting.add(alloc.element)
    entry.returned.append(alloc.element)
    if not alloc.started and alloc.cause in ("", UNDONE):
        # At once the first time, so that nothing overtakes it.
        failures = entry.failures.get(alloc.element, 0)
        pause = 2.0**failures if failures > 1 else 0.0
        entry.retry_at = max(entry.retry_at, now + pause)
        s.wake(entry.retry_at, entry.job.id)
        number = alloc.element if entry.job.is_array else None
        s.note(now, "context-failed", reason, job=entry.job.id, element=number, allocation=alloc.id)
    elif entry.job.is_array:
        s.note(now, "element-pending", reason, job=entry.job.id, element=alloc.element)
    if alloc.started:
        entry.job = replace(entry.job, requeues=entry.job.requeues + 1)


def _free(s: State, entry: Entry, alloc: Allocation) -> None:
    holds = alloc.suspended_at is None
    for place in alloc.placements:
        node = s.nodes[place.node]
        node.books.give(place, cpus=holds)
        node.allocations.discard(alloc.id)
    if holds:
        s.count_cpus(entry.job.user, -s.cpus_of(alloc))
    entry.resuming.discard(alloc.id)


def _accounting(job: Job, alloc: Allocation, element: Element, result: str) -> Accounting:
    return Accounting(
        alloc.id,
        job.id,
        alloc.element,
        alloc.attempt,
        job.user,
        job.spec.project,
        job.spec.partition,
        element.node,
        sum(len(p.cpus) for p in alloc.placements),
        sum(p.memory for p in alloc.placements),
        sum(len(p.gpus) for p in alloc.placements),
        alloc.granted_at,
        alloc.started_at,
        element.ended_at or alloc.granted_at,
        result,
        element.exit_status,
        alloc.usage,
    )
