"""What nodes tell of the elements in their slots: ended, given back, running; and the slot's end."""

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.moves import settle, tell_dependents
from ostler.core.over import REQUEUE, accounting, element_over, sensible_end, with_start
from ostler.core.slots import IDLE_SECONDS, attempt_of, cause_of, feed
from ostler.core.state import State
from ostler.core.waits import tell_waiters
from ostler.model.allocation import Allocation
from ostler.model.job import Element, Usage
from ostler.model.orders import NODE_FAULT, ElementEnd, Ended, Progress
from ostler.model.ranges import RangeSet
from ostler.model.states import AllocationState, JobState, Result

_WEIGHT = 0.3  # of the newest report in the mean duration of elements
_LONG = 1e9  # seconds that no element takes
_WELL = "it succeeded"


def on_progress(s: State, now: float, node: str, row: Progress) -> None:
    """Take in how far a slot is with its elements, and feed it. What was heard counts for nothing."""
    alloc = s.allocations.get(row.alloc)
    if alloc is None or not alloc.slot or node not in alloc.nodes or row.serial <= alloc.heard:
        return
    entry = s.jobs[alloc.job]
    before = entry.job
    alloc = _noted(entry, alloc, node, row)
    chunk = RangeSet(list(alloc.chunk))
    _ended(s, now, entry, alloc, chunk, row.ended)
    for index in chunk.common(list(row.returned)):
        chunk.discard(index)
        came_back(s, now, entry, alloc, index)
    if alloc.running not in chunk:
        alloc = replace(alloc, running=-1)
    alloc = replace(alloc, chunk=tuple(chunk.spans))
    if row.returned and chunk:
        s.put(alloc)  # what came back is for somebody else; this one still has some
    else:
        alloc = feed(s, now, entry, alloc)
    entry.job = with_start(entry.job, alloc.started_at)
    if s.changed or entry.job.state not in (JobState.RUNNING, JobState.SUSPENDED):
        settle(s, now, entry, saved=before)
    else:
        # While an array simply goes on there is nothing to plan.
        if entry.job != before:
            s.save(entry.job)
        if not entry.waiting:
            s.marks.jobs.add(alloc.job)
        tell_waiters(s, alloc.job)
    if alloc.job in s.dependents and alloc.job in s.jobs:
        tell_dependents(s, now, alloc.job)


def _noted(entry: Entry, alloc: Allocation, node: str, row: Progress) -> Allocation:
    """Return the slot's row with what the report says of its present."""
    starts = [end.started_at for end in row.ended if end.started_at is not None]
    starts += [row.since] if row.running >= 0 else []
    started_at = alloc.started_at if alloc.started_at is not None else min(starts, default=None)
    began = alloc.state is AllocationState.GRANTED and started_at is not None
    if row.running != alloc.running:
        alloc = replace(alloc, suspended=0.0)
    if row.ended:
        spent = sum(end.at - end.started_at for end in row.ended if end.started_at is not None)
        mean = spent / len(row.ended)
        if 0 < mean < _LONG:  # a node's clock may say anything
            entry.mean += _WEIGHT * (mean - entry.mean) if entry.mean else mean
    return replace(
        alloc,
        heard=row.serial,
        running=row.running,
        since=row.since if row.running >= 0 else alloc.since,
        state=AllocationState.READY if began else alloc.state,
        started=started_at is not None,
        started_at=started_at,
        made=alloc.made | {node} if began else alloc.made,
    )


def _ended(
    s: State,
    now: float,
    entry: Entry,
    alloc: Allocation,
    chunk: RangeSet,
    rows: tuple[ElementEnd, ...],
) -> None:
    tasks = entry.job.spec.request.tasks
    recalled = entry.slots[alloc.id].recalled
    for end in rows:
        if end.index not in chunk or end.attempt != attempt_of(entry, end.index):
            continue
        chunk.discard(end.index)
        recalled.discard(end.index)
        well = not end.cause and end.started_at is not None and end.index not in entry.touched
        if well and len(end.tasks) == tasks and not any(t.code or t.signal for t in end.tasks):
            _succeeded(s, entry, alloc, end)
        else:
            _over(s, now, entry, alloc, sensible_end(alloc.placements[0].node, end))


def _succeeded(s: State, entry: Entry, alloc: Allocation, end: ElementEnd) -> None:
    """Close an element that ran once and well, as nearly all do: no more is asked than needed."""
    job = entry.job
    element = Element(
        job.id,
        end.index,
        JobState.DONE,
        end.attempt,
        "",
        Result.SUCCESS,
        0,
        _WELL,
        alloc.placements[0].node,
        end.started_at,
        end.at,
        end.usage,
        end.tasks,
    )
    s.save(element)
    s.save(accounting(job, alloc, element, Result.SUCCESS, _from(end)))
    entry.finish(end.index, Result.SUCCESS, 0)


def _over(s: State, now: float, entry: Entry, alloc: Allocation, end: ElementEnd) -> None:
    """Close an element by the rules for one that has an allocation for itself."""
    record = entry.touched.get(end.index)
    cause, why = alloc.cause, alloc.why
    if record is not None and record.state is JobState.FINISHING and not cause:
        cause, why = cause_of(record)
    if cause == REQUEUE and end.cause != REQUEUE:
        cause, why = "", ""  # it had ended by itself before the order came
    own = replace(
        alloc,
        element=end.index,
        attempt=end.attempt,
        granted_at=_from(end),
        started=end.started_at is not None,
        started_at=end.started_at,
        cause=cause,
        why=why,
        end_cause=end.cause,
        end_why=end.why,
        tasks=end.tasks,
        usage=end.usage,
    )
    element_over(s, now, entry, own, end.at)
    s.changed = s.changed or end.index in entry.waiting


def _from(end: ElementEnd) -> float:
    return end.at if end.started_at is None else end.started_at


def came_back(s: State, now: float, entry: Entry, alloc: Allocation, index: int) -> None:
    """Put an element that did not run in its slot where it belongs now."""
    entry.live.pop(index, None)
    entry.slots[alloc.id].recalled.discard(index)
    s.marks.jobs.add(alloc.job)
    s.changed = True
    record = entry.touched.get(index)
    cause = cause_of(record)[0] if record is not None else ""
    cancelled = alloc.cause == Result.CANCELLED and not alloc.gave_way_to
    if record is not None and (cancelled or cause == Result.CANCELLED):
        why = record.reason if cause else alloc.why
        over = replace(record, state=JobState.DONE, result=Result.CANCELLED, reason=why)
        s.save(replace(over, ended_at=now))
        entry.finish(index, Result.CANCELLED, None, record.attempt)
    elif cancelled and entry.job.rest is not None:
        entry.finish(index, Result.CANCELLED, None)  # it never ran, and the job's row tells of it
    elif record is None and entry.job.rest is Result.SUCCESS:
        entry.finish(index, Result.SUCCESS, None)  # nor did this, as nobody needs it
    elif record is None or not record.held_by:
        if cause == REQUEUE and record is not None:
            entry.touched[index] = replace(record, state=JobState.PENDING)
            s.save(entry.touched[index])
        entry.let_wait(index)


def slot_over(s: State, now: float, entry: Entry, alloc: Allocation, row: Ended) -> None:
    """Decide on what a slot still held when nothing was left of it.

    What it did not tell of did not run; unless the whole share is lost: then nobody can tell.
    """
    chunk = RangeSet(list(alloc.chunk))
    failed = not (alloc.started or alloc.cause or row.cause == NODE_FAULT)
    at = alloc.started_at if alloc.started_at is not None else alloc.granted_at
    for index in list(chunk):
        attempt = attempt_of(entry, index)
        if row.cause == Result.LOST:
            _over(s, now, entry, alloc, ElementEnd(index, attempt, at, row.at, row.cause, row.why))
        elif failed and index == alloc.element:
            # It may be the reason: after some tries in a row it is given up.
            end = ElementEnd(index, attempt, None, row.at, row.cause, row.why, (), Usage())
            _over(s, now, entry, replace(alloc, cause="", why=""), end)
        else:
            came_back(s, now, entry, alloc, index)
    if entry.queued:
        s.wake(now + IDLE_SECONDS, entry.job.id)  # some may be worth taking back by then
