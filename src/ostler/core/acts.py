"""What people do to jobs: cancel, hold, release, suspend, resume, requeue, signal."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ostler.core import steps, ties
from ostler.core.effects import Fail, Reply
from ostler.core.enough import end_array
from ostler.core.entry import Entry
from ostler.core.events import Acted
from ostler.core.foreign import words as foreign
from ostler.core.foreign.spread import bound_again
from ostler.core.halts import freeze, halted_holder, thaw, unsteady
from ostler.core.life import end_for_good, release
from ostler.core.moved import waits_for_home
from ostler.core.moves import broken_dependency, end_waiting, settle, tell_dependents
from ostler.core.over import REQUEUE
from ostler.core.roles import check_job
from ostler.core.slots import drain, withdraw
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.errors import NotNow, OstlerError, Refused, UsageError
from ostler.model.ids import Ref, job_name
from ostler.model.orders import SignalTasks
from ostler.model.ranges import RangeSet
from ostler.model.states import AllocationState, JobState, Result, Suspender

MAX_SIGNAL = 64
MAX_STATUS = 255
_STEPS = "name one of its steps: 12.0"

Verb = Callable[[State, float, Entry, Ref, Acted], str]


def on_acted(s: State, now: float, event: Acted) -> None:
    """Do it to each named job or element, and answer for each in order."""
    verb = VERBS.get(event.verb)
    if verb is None:
        known = ", ".join(sorted(VERBS))
        s.effects.append(Fail(event.to, UsageError(f"no verb {event.verb!r}", expected=known)))
        return
    rows: list[dict[str, Any]] = []
    for ref in event.refs:
        row: dict[str, Any] = {"id": str(ref), "ok": True}
        try:
            entry = s.entry(ref)
            check_job(s, event.caller, entry.job, event.verb)
            foreign.check(s, entry, event.verb, ref)
            row["message"] = verb(s, now, entry, ref, event)
        except OstlerError as error:
            row |= {
                "ok": False,
                "code": error.code,
                "message": error.message,
                "expected": error.expected,
                "hint": error.hint,
            }
        rows.append(row)
    s.effects.append(Reply(event.to, {"jobs": rows}))


def _waiting(entry: Entry, ref: Ref) -> list[int]:
    """Return the named elements that wait or are held, and are with no node."""
    spans = list(ref.elements or entry.job.spans())
    names = RangeSet([(i, i) for i in entry.touched if i not in entry.live]).common(spans)
    if ref.elements is not None:
        names += entry.waiting.common(spans) + entry.barred.common(spans)
    return sorted(set(names))


def _allocations(
    s: State, entry: Entry, ref: Ref, *, running: bool = False
) -> list[tuple[Allocation, list[int]]]:
    """Return the allocations that serve named elements, each with those that it has.

    A slot named as a whole comes with no elements: everything of it is meant. running: of a slot's
    elements only the one that runs counts.
    """
    if ref.elements is None:
        return [(s.allocations[number], []) for number in sorted(entry.slots)]
    found: dict[int, list[int]] = {}
    for index in RangeSet([(i, i) for i in entry.live]).common(list(ref.elements)):
        alloc = s.allocations[entry.live[index]]
        if not (running and alloc.slot and alloc.running != index):
            found.setdefault(alloc.id, []).append(index)
    return [(s.allocations[number], found[number]) for number in sorted(found)]


def alive(s: State, entry: Entry, verb: str) -> None:
    """Raise `NotNow` if the job has ended."""
    if entry.job.id not in s.jobs:
        raise NotNow(f"job {entry.job.name} has ended as {entry.job.result}; cannot {verb} it")


def cancel(s: State, now: float, entry: Entry, ref: Ref, event: Acted) -> str:
    """End what runs and take what waits out of the queue."""
    if entry.job.id not in s.jobs:
        return f"had already ended as {entry.job.result}"
    foreign.check_cancel(s, entry)
    by = f"cancelled by {event.caller.user}"
    why = f"{by}: {event.reason}" if event.reason else by
    for alloc, indices in _allocations(s, entry, ref):
        if alloc.slot and indices:
            _take_out(s, entry, alloc, indices, Result.CANCELLED, why)
        else:
            end_for_good(s, alloc, why)
    if ref.elements is None:
        foreign.cancel_waiting(s, entry)
        end_waiting(s, now, entry, Result.CANCELLED, why)
    else:
        for index in _waiting(entry, ref):
            element = replace(
                entry.element(index),
                state=JobState.DONE,
                result=Result.CANCELLED,
                reason=why,
                ended_at=now,
            )
            s.save(element)
            entry.finish(index, Result.CANCELLED, None, element.attempt)
        settle(s, now, entry, why=why if entry.ended == entry.total else "")
        if entry.job.id in s.dependents and entry.job.id in s.jobs:
            tell_dependents(s, now, entry.job.id)
    return "is being cancelled" if _allocations(s, entry, ref) else "cancelled"


def _take_out(
    s: State, entry: Entry, alloc: Allocation, indices: list[int], cause: str, why: str
) -> None:
    """End elements of a slot whether they run there or not yet; noted until the node has said."""
    if alloc.cause:
        return  # the whole slot is being ended
    if cause == REQUEUE:
        indices = [i for i in indices if not _is_ending(entry, i)]
    for index in indices:
        result = Result.CANCELLED if cause == Result.CANCELLED else None
        record = replace(
            entry.element(index), state=JobState.FINISHING, result=result, reason=why, held_by=""
        )
        entry.touched[index] = record
        s.save(record)
    withdraw(s, entry, alloc, indices, cause, why)


def hold(s: State, now: float, entry: Entry, ref: Ref, event: Acted) -> str:
    """Keep what waits from starting."""
    alive(s, entry, "hold")
    by, before = event.caller.user, entry.job
    why = f"held by {by}" + (f": {event.reason}" if event.reason else "")
    if ref.elements is None:
        waits = entry.waiting or entry.barred or entry.queued
        if not waits and not entry.job.held_by:
            raise NotNow(f"job {ref} does not wait; only what waits can be held")
        entry.job = replace(entry.job, held_by=by)
        for alloc, _ in _allocations(s, entry, ref):
            if alloc.slot and not alloc.cause:
                drain(s, entry, alloc)
    else:
        indices = _waiting(entry, ref)
        queued = _queued(s, entry, ref)
        for alloc, asked in queued:
            indices += asked
            withdraw(s, entry, alloc, asked)
        if not indices:
            raise NotNow(f"{ref} does not wait; only what waits can be held")
        for index in indices:
            element = replace(entry.element(index), state=JobState.HELD, held_by=by, reason=why)
            entry.touched[index] = element
            entry.waiting.discard(index)
            entry.barred.discard(index)
            s.save(element)
    settle(s, now, entry, why=why, saved=before)
    return why


def _queued(s: State, entry: Entry, ref: Ref) -> list[tuple[Allocation, list[int]]]:
    """Return the slots in which named elements wait behind others, with those elements."""
    found = []
    for alloc, indices in _allocations(s, entry, ref):
        behind = [
            i
            for i in indices
            if alloc.slot and not alloc.cause and i != alloc.running and not _is_ending(entry, i)
        ]
        if behind:
            found.append((alloc, behind))
    return found


def _is_ending(entry: Entry, index: int) -> bool:
    return entry.element(index).state is JobState.FINISHING


def unhold(s: State, now: float, entry: Entry, ref: Ref, event: Acted) -> str:
    """Let what is held wait for its turn."""
    alive(s, entry, "release")
    before = entry.job
    spans = list(ref.elements or before.spans())
    known = RangeSet([(i, i) for i in entry.touched]).common(spans)
    indices = [i for i in known if i not in entry.live or entry.touched[i].held_by]
    whole = ref.elements is None and before.held_by
    if not whole and not any(entry.touched[index].held_by for index in indices):
        if before.held_by:
            raise NotNow(f"the whole of job {before.id} is held", hint=f"release {before.id}")
        return "was not held"
    if ref.elements is None:
        entry.job = replace(entry.job, held_by="")
    for index in indices:
        element = replace(entry.touched[index], state=JobState.PENDING, held_by="", reason="")
        entry.touched[index] = element
        if index not in entry.live:
            entry.let_wait(index)
        s.save(element)
    why = f"released by {event.caller.user}"
    settle(s, now, entry, why=why, saved=before)
    return "released"


def suspend(s: State, now: float, entry: Entry, ref: Ref, event: Acted) -> str:
    """Freeze what runs: it keeps nodes and memory and gives up its CPUs."""
    alive(s, entry, "suspend")
    if entry.job.holds and (steps := unsteady(s, entry)):
        raise NotNow(f"step {job_name(steps[0])} is just being started or ended", hint="try again")
    count, by = 0, _suspender(entry, event)
    for alloc, _ in _allocations(s, entry, ref, running=True):
        if alloc.state is AllocationState.SUSPENDED:
            count += 1
            if alloc.suspended_by is not Suspender.ADMIN:
                s.put(replace(alloc, resuming=False, suspended_by=by, gave_way_to=0))
        elif alloc.state is AllocationState.READY and alloc.started:
            count += 1
            freeze(s, now, entry, alloc, by)
    if not count:
        raise NotNow(f"no task of {ref} runs at present; it is {entry.job.state}")
    settle(s, now, entry, why=f"suspended by {event.caller.user}")
    return "suspended"


def _suspender(entry: Entry, event: Acted) -> Suspender:
    return Suspender.USER if event.caller.uid == entry.job.uid else Suspender.ADMIN


def resume(s: State, now: float, entry: Entry, ref: Ref, event: Acted) -> str:
    """Let what is suspended go on as soon as its own CPUs are free."""
    alive(s, entry, "resume")
    count, by = 0, _suspender(entry, event)
    halted = [
        alloc
        for alloc, _ in _allocations(s, entry, ref, running=True)
        if alloc.state is AllocationState.SUSPENDED
    ]
    for alloc in halted:
        if alloc.suspended_by in (Suspender.SCHEDULER, Suspender.CONFIGURATION):
            continue
        if holder := halted_holder(s, entry):
            raise NotNow(f"its allocation stands still: job {holder}", hint=f"resume {holder}")
        if alloc.suspended_by is Suspender.ADMIN and by is Suspender.USER:
            raise Refused(
                f"an administrator suspended {ref}; {event.caller.user} may not resume it",
                hint="ask an administrator",
            )
        if entry.job.spec.within:
            thaw(s, now, entry, alloc)
        elif waits_for_home(s, alloc):
            s.put(replace(alloc, suspended_by=Suspender.CONFIGURATION))
        else:
            s.put(replace(alloc, resuming=True))
        count += 1
    if not halted:
        raise NotNow(f"nothing of {ref} is suspended; it is {entry.job.state}")
    s.changed = s.changed or bool(count)
    return "goes on when its CPUs are free" if count else "goes on by itself when its CPUs are free"


def requeue(s: State, now: float, entry: Entry, ref: Ref, event: Acted) -> str:
    """Run again: what runs is ended first; what has ended waits anew."""
    why = f"requeued by {event.caller.user}"
    if entry.job.holds:
        raise Refused(f"{ref} is an allocation, and is held once", hint="type `ostler alloc` again")
    if entry.job.spec.kind == "run" and entry.job.id not in s.jobs:
        raise Refused(
            f"job {entry.job.id} was a `run`, and nobody is left to take its output",
            hint="type it again, or use `ostler submit`",
        )
    if broken := broken_dependency(s, entry.job):
        raise Refused(f"it could never start: {broken}")
    if entry.job.id not in s.jobs:
        ties.check_known(s, entry.job)
        ties.tie(s, entry)
    ended = False
    for alloc, indices in [] if event.failed else _allocations(s, entry, ref, running=True):
        if alloc.slot and indices:
            _take_out(s, entry, alloc, indices, REQUEUE, why)
        elif alloc.state is not AllocationState.RELEASING:
            release(s, alloc, REQUEUE, why)
        ended = ended or alloc.cause in ("", REQUEUE)
    again = [i for i in _ended(entry, ref) if not event.failed or not _succeeded(entry, i)]
    if entry.tied:
        again = [i for i in again if not ties.hopeless(s, entry, i)]
    if not again and not ended:
        raise NotNow(f"nothing of {ref} can run again now; {_why_not_again(entry, event)}")
    before = entry.job
    if entry.job.id not in s.jobs:
        entry.job = replace(
            entry.job, result=None, exit_status=None, ended_at=None, requeues=before.requeues + 1
        )
        entry.statuses = 0
        s.reopen(entry)
        if entry.job.spec.not_before > now:
            s.wake(entry.job.spec.not_before, entry.job.id)
    for index in again:
        rm = bound_again(s, entry, index)
        entry.reopen(index)
        # A start has one number for ever: by it nodes and the accounting tell starts apart.
        attempt = entry.attempts.pop(index, 1)
        entry.touched[index] = replace(entry.element(index), attempt=attempt, reason=why, rm=rm)
        s.save(entry.touched[index])
    ties.bar_again(s, now, entry, again)
    settle(s, now, entry, why=why, saved=before)
    return "waits to run again"


def _why_not_again(entry: Entry, event: Acted) -> str:
    if event.failed and not entry.waiting:
        return "nothing of it has failed"
    return "what is left of it is being ended" if entry.slots else "it is in the queue"


def _ended(entry: Entry, ref: Ref) -> list[int]:
    spans = ref.elements or entry.job.spans()
    found = [i for numbers in entry.results.values() for i in numbers]
    return sorted(i for i in found if any(low <= i <= high for low, high in spans))


def _succeeded(entry: Entry, index: int) -> bool:
    return entry.result_of(index) == Result.SUCCESS


def send_signal(s: State, now: float, entry: Entry, ref: Ref, event: Acted) -> str:  # noqa: ARG001
    """Send a signal to the process groups of the tasks that run."""
    alive(s, entry, "signal")
    if not 1 <= event.signal <= MAX_SIGNAL:
        raise UsageError(f"{event.signal} is no signal", expected=f"1 to {MAX_SIGNAL}")
    if entry.job.holds:
        raise NotNow(f"{ref} is an allocation, in which nothing runs by itself", hint=_STEPS)
    count = 0
    for alloc, indices in _allocations(s, entry, ref, running=True):
        only = indices[0] if alloc.slot and indices else -1
        for node in sorted(alloc.nodes - alloc.freed):
            s.send(node, SignalTasks(alloc.id, event.signal, only))
        count += 1
    if not count:
        raise NotNow(f"nothing of {ref} runs; it is {entry.job.state}")
    return f"signal {event.signal} sent"


def end(s: State, now: float, entry: Entry, ref: Ref, event: Acted) -> str:
    """Let an allocation end, as its client's command has with this status; an array: of its own."""
    if entry.job.is_array and ref.elements is None:
        return end_array(s, now, entry, event.reason)
    if not entry.job.holds:
        raise UsageError(f"{ref} is no allocation", hint=f"end it by `ostler cancel {ref}`")
    if not 0 <= event.status <= MAX_STATUS:
        raise UsageError(f"{event.status} is no exit status", expected=f"0 to {MAX_STATUS}")
    if entry.job.id not in s.jobs:
        return f"had already ended as {entry.job.result}"
    return steps.end(s, now, entry, event.status)


def detach(s: State, now: float, entry: Entry, ref: Ref, event: Acted) -> str:  # noqa: ARG001
    """Let a `run` go on without its client."""
    alive(s, entry, "detach")
    spec = entry.job.spec
    if spec.streams is None:
        raise Refused(
            f"job {entry.job.id} has no relay that holds its streams",
            hint="start such a `run` with --detach",
        )
    before = entry.job
    entry.job = replace(before, spec=replace(spec, detach=True))
    entry.abandoned_at = None
    s.note(now, "job/detached", f"{event.caller.user} left it to itself", job=before.id)
    settle(s, now, entry, saved=before)
    return "goes on without its client"


VERBS: dict[str, Verb] = {
    "cancel": cancel,
    "end": end,
    "hold": hold,
    "release": unhold,
    "suspend": suspend,
    "resume": resume,
    "requeue": requeue,
    "signal": send_signal,
    "detach": detach,
}
