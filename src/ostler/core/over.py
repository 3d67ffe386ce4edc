"""How one element ended, and what follows: its row, its accounting, and perhaps another try."""

from typing import TypeVar

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.foreign.spread import (
    bind_element,
    may_go_elsewhere,
    pause,
    rm_name,
    rm_of,
    spreads,
)
from ostler.core.notices import on_element_failed
from ostler.core.state import State
from ostler.core.status import describe, exit_status, result_of
from ostler.model.allocation import Allocation
from ostler.model.job import FOREIGN, Element, Job
from ostler.model.orders import NODE_FAULT, ElementEnd, Ended
from ostler.model.record import Accounting
from ostler.model.states import JobState, Result

REQUEUE = "requeue"  # a cause that is no result: the element goes back to its queue
RESIZED = "resized"  # in the accounting: it went on with more nodes, or fewer
UNDONE = "undone"  # a node could not make its share: everything is undone and tried again
# What a node can tell of an end; the last two are what it was told. Its tasks tell the rest.
_TOLD = frozenset(
    {
        "",
        NODE_FAULT,
        Result.FAILED,
        Result.CANCELLED,
        Result.TIMEOUT,
        Result.MEMORY,
        Result.LOST,
        Result.REJECTED,
        REQUEUE,
        UNDONE,
    }
)
LONGEST_PAUSE = 3_600.0  # seconds between two tries that a resource manager refuses
MAX_FAILURES = 5  # starts in a row that nodes could not make, before an element is rejected


def element_over(s: State, now: float, entry: Entry, alloc: Allocation, ended_at: float) -> str:
    """Close one attempt of `alloc.element`; return the sentence that says why.

    alloc: what it ran on, as if for it alone: its attempt, start, tasks, usage and causes. Whoever
    calls settles the job.
    """
    cause, why = _cause(alloc)
    if cause == UNDONE and alloc.started:
        why = f"not all of it could start: {why}"
    elif not cause and len(alloc.tasks) < _tasks(entry.job, alloc):
        known, tasks = len(alloc.tasks), _tasks(entry.job, alloc)
        cause, why = Result.LOST, f"how {tasks - known} of its {tasks} tasks ended is not known"
    told = Result.REJECTED if cause in (REQUEUE, UNDONE) else cause
    status = exit_status(told, alloc.tasks)
    tries, _ = _tries(s, alloc)
    again, reason = _again(entry, alloc, cause, why, status, tries)
    result = result_of(told, alloc.tasks)
    element = replace(
        entry.element(alloc.element),
        attempt=alloc.attempt,
        held_by="",
        node=",".join(p.node for p in alloc.placements),
        result=result,
        exit_status=status,
        reason=why or describe(alloc.tasks),
        started_at=alloc.started_at,
        ended_at=ended_at,
        usage=alloc.usage,
        tasks=alloc.tasks,
        rm=bind_element(s, entry, alloc),
    )
    if alloc.started:
        closed = "requeued" if again else str(result)
        s.save(accounting(entry.job, alloc, element, closed, alloc.granted_at))
    entry.job = with_start(entry.job, alloc.started_at)
    entry.live.pop(alloc.element, None)
    if again:
        _wait_again(s, now, alloc, element, reason)
        return reason
    s.save(replace(element, state=JobState.DONE))
    entry.finish(alloc.element, str(result), status, alloc.attempt)
    on_element_failed(s, now, entry, element)
    return element.reason


def _tasks(job: Job, alloc: Allocation) -> int:
    """Return how many tasks must have told how they ended."""
    return alloc.ranks - alloc.dropped if alloc.resized else job.spec.request.tasks


End = TypeVar("End", Ended, ElementEnd)


def sensible_end(node: str, row: End) -> End:
    """Return what a node told of an end, with a cause that is one."""
    if row.cause in _TOLD:
        return row
    why = f"{node} told of an end that is none: {row.cause[:50]!r}"
    return replace(row, cause=Result.LOST if row.started_at is not None else "", why=why)


def with_start(job: Job, at: float | None) -> Job:
    """Return the job with its first start noted."""
    return job if job.started_at is not None else replace(job, started_at=at)


def _cause(alloc: Allocation) -> tuple[str, str]:
    """Return what ended it and the sentence; both empty when its tasks ended by themselves."""
    if alloc.cause == REQUEUE:
        return REQUEUE, alloc.why
    if alloc.end_cause not in ("", UNDONE, REQUEUE, NODE_FAULT):
        return alloc.end_cause, alloc.end_why
    if alloc.cause == Result.CANCELLED and alloc.end_cause:
        return alloc.cause, alloc.why
    if alloc.cause == UNDONE or not alloc.started or alloc.end_cause == NODE_FAULT:
        if alloc.cause not in ("", UNDONE):
            return alloc.cause, alloc.why
        return UNDONE, alloc.end_why or alloc.why
    return "", ""


def _tries(s: State, alloc: Allocation) -> tuple[int, float]:
    """Return how often a start is tried, 0 for ever, and the seconds before the second try."""
    job = s.jobs[alloc.job].job
    rm = rm_of(s, alloc)
    if rm is None:
        return MAX_FAILURES, 0.0
    again = s.jobs[alloc.job].slots[alloc.id].refused and may_go_elsewhere(s, alloc)
    for_ever = job.spec.kind == FOREIGN or again
    return (0 if for_ever else rm.row.retries + 1), float(rm.row.retry)


def _pause(s: State, alloc: Allocation, failures: int) -> float:
    """Return the seconds until another try; a node of the machine's own is tried at once."""
    first = _tries(s, alloc)[1]
    if first:
        return float(min(first * 2 ** (max(failures, 1) - 1), LONGEST_PAUSE))
    return 2.0**failures if failures > 1 else 0.0


def _again(
    entry: Entry, alloc: Allocation, cause: str, why: str, status: int | None, most: int
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
        return not most or failures < most, f"could not start: {why}"
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
    entry.let_wait(alloc.element)
    entry.returned.append(alloc.element)
    if not alloc.started and alloc.cause in ("", UNDONE):
        # At once the first time, so that nothing overtakes it.
        failures = entry.failures.get(alloc.element, 0)
        until = now + _pause(s, alloc, failures)
        if rm_of(s, alloc) is not None and spreads(s, entry):  # others may take it
            pause(entry, rm_name(s, alloc.placements), until)
        else:
            entry.retry_at = max(entry.retry_at, until)
        s.wake(until, entry.job.id)
    if entry.job.spec.immediate and not entry.job.spec.within:
        s.immediate.add(entry.job.id)
    if alloc.slot and not alloc.started and alloc.cause in ("", UNDONE):
        _note_slot(s, now, alloc, reason)
    elif entry.job.is_array:
        s.note(now, "element/pending", reason, job=entry.job.id, element=alloc.element)
    if alloc.started:
        entry.job = replace(entry.job, requeues=entry.job.requeues + 1)


def _note_slot(s: State, now: float, alloc: Allocation, reason: str) -> None:
    """Record that a node could not start a slot's element; of others it was noted when it came."""
    (place,) = alloc.placements
    s.note(
        now,
        "context/failed",
        f"{place.node}: {reason}",
        job=alloc.job,
        element=alloc.element,
        allocation=alloc.id,
        node=place.node,
    )


def close_stretch(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """Account for what an element had so far; from now on it has more nodes, or fewer."""
    closed = replace(entry.touched[alloc.element], attempt=alloc.attempt, ended_at=now)
    s.save(accounting(entry.job, alloc, closed, RESIZED, alloc.granted_at))


def accounting(
    job: Job, alloc: Allocation, element: Element, result: str, since: float
) -> Accounting:
    """Return the row of one closed attempt. since: from when on it held the allocation."""
    return Accounting(
        alloc.id,
        job.id,
        element.index,
        element.attempt,
        job.user,
        job.spec.project,
        job.spec.partition,
        element.node,
        sum(len(p.cpus) for p in alloc.placements),
        sum(p.memory for p in alloc.placements),
        sum(len(p.gpus) for p in alloc.placements),
        since,
        element.started_at,
        element.ended_at or since,
        result,
        element.exit_status,
        element.usage,
        alloc.resized,
    )
