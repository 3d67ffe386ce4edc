"""Moves of a job as a whole: what its elements and allocations add up to, saved when it changes."""

from msgspec.structs import replace

from ostler.core import notices
from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.core.status import ENDED_BY_OSTLER
from ostler.core.ties import end_lost, loosen
from ostler.core.waits import tell_waiters
from ostler.model.ids import within
from ostler.model.job import Job
from ostler.model.states import LEGAL_JOB, JobState, Result


def total_state(s: State, entry: Entry) -> JobState:
    """Return the state of the whole job.

    An array runs from its first start until none of its elements holds anything: that one of them is
    just starting or finishing is the element's matter.
    """
    if entry.slots:
        states = (s.live_state(alloc) for alloc in entry.slots)
        first = next(states)
        if not entry.job.is_array:
            return first
        fresh = entry.job.state in (JobState.HELD, JobState.PENDING, JobState.STARTING)
        alike = first is JobState.SUSPENDED or (fresh and first is JobState.STARTING)
        # While one simply runs, the others are not looked at: there may be thousands.
        return first if alike and all(state is first for state in states) else JobState.RUNNING
    if not entry.unfinished:
        return JobState.DONE
    waits = entry.waiting or entry.barred
    return JobState.PENDING if waits and not entry.job.held_by else JobState.HELD


def settle(s: State, now: float, entry: Entry, *, why: str = "", saved: Job | None = None) -> None:
    """Bring the job's row up to what its elements are, and tell whoever waits for it.

    why: the sentence of the change, for a job that is no array. saved: the row as the database
    has it, when the caller has already changed `entry.job`.
    """
    before = saved or entry.job
    state = total_state(s, entry)
    s.marks.jobs.add(entry.job.id)
    s.changed = True
    job = entry.job
    if state is not job.state:
        if state not in LEGAL_JOB[job.state]:
            raise s.illegal("job", job.id, job.state, f"a move to {state}")
        job = replace(job, state=state)
    if state is JobState.DONE:
        job = _close(entry, job, now, why)
    elif state in (JobState.PENDING, JobState.HELD):
        job = replace(job, reason=why or job.reason)
    else:
        waits = entry.waiting or entry.barred
        job = replace(job, reason="", rule=job.rule if waits else "")
    entry.job = job
    if job != before:
        s.save(job)
        if before.started_at is None and job.started_at is not None:
            notices.on_started(s, now, entry)
    if job.state is not before.state:
        s.waiting.look(entry)
    if state is not before.state and (job.holds or job.spec.within):
        s.alloc_news.add(within(job.id))
    if state is JobState.DONE:
        s.note(now, "job/ended", job.reason, job=job.id, user=job.user)
        notices.on_ended(s, now, entry)
        s.retire(entry)
        tell_dependents(s, now, job.id)
        tell_waiters(s, job.id)
    elif job.is_array:
        tell_waiters(s, job.id)
    elif state is not before.state:
        text = why or job.reason or f"it is {state}"
        s.note(now, f"job/{state}", text, job=job.id, user=job.user)


def _close(entry: Entry, job: Job, now: float, why: str) -> Job:
    result, sentence = entry.verdict()
    if job.is_array:
        status = 0 if result is Result.SUCCESS else 1
        # What was said of all of it tells more than how many ended how; what was said of the last
        # element tells nothing of the others.
        whole = len(entry.results) == 1 or job.rest is result
        told = whole and result in (Result.CANCELLED, Result.DEPENDENCY)
        reason = why if told and why else sentence
        if job.rest is Result.SUCCESS:
            reason += "; of the rest nobody had need"
    else:
        status = entry.statuses
        reason = why or sentence
    return replace(
        job,
        result=result,
        exit_status=status,
        reason=reason,
        rule="",
        ended_at=now,
        held_by="",
    )


def tell_dependents(s: State, now: float, job: int) -> None:
    """Let go on what waited for this job or its elements, or end what now never can.

    Those that it ends have dependents of their own, in a chain of any length: so they queue here
    instead of calling this within itself.
    """
    s.to_tell.append(job)
    if len(s.to_tell) > 1:
        return  # whoever is about it goes on with this one
    while s.to_tell:
        told = s.to_tell[0]
        for number in sorted(s.dependents.get(told, ())):
            waiting = s.jobs.get(number)
            if waiting is None:  # what it waited for, too, has just ended it
                continue
            if told in waiting.tied:
                _tell_elements(s, now, told, waiting)
            if told in s.ended and number in s.jobs:
                waiting.unmet -= {told}
                s.marks.jobs.add(number)
                broken = broken_dependency(s, waiting.job)
                if broken:
                    end_waiting(s, now, waiting, Result.DEPENDENCY, broken)
        s.to_tell.popleft()


def _tell_elements(s: State, now: float, told: int, waiting: Entry) -> None:
    """Let elements go on that waited for those of another array, or end them."""
    other = s.jobs.get(told) or s.recent.get(told)
    lost = loosen(s, other, waiting) if other else []
    if lost:
        before = waiting.job
        why = end_lost(s, now, waiting, lost)
        if waiting.job.id in s.dependents:
            s.to_tell.append(waiting.job.id)
        settle(s, now, waiting, why="" if waiting.unfinished else why, saved=before)


def broken_dependency(s: State, job: Job) -> str:
    """Return the sentence for a dependency that can no longer be met; empty when there is none."""
    for dep in job.spec.after:
        result = s.ended.get(dep.job)
        if result is None or dep.kind in ("any", "each"):
            continue
        if (dep.kind == "ok") != (result == Result.SUCCESS):
            wanted = "succeed" if dep.kind == "ok" else "fail"
            return f"job {dep.job} ended as {result}, and was to {wanted} first"
    return ""


def end_waiting(s: State, now: float, entry: Entry, result: Result, why: str) -> None:
    """End every element that waits or is held; those that run are not touched."""
    for element in [e for e in entry.touched.values() if e.index not in entry.live]:
        s.save(replace(element, state=JobState.DONE, result=result, reason=why, ended_at=now))
        entry.finish(element.index, result, None, element.attempt)
    before = entry.job
    # What is in slots and has not begun is of the rest, too, if it comes back from there.
    with_slots = result in (Result.CANCELLED, Result.SUCCESS)
    rest = entry.waiting or entry.barred or (with_slots and entry.slots)
    entry.job = replace(before, held_by="", rest=result if rest else before.rest)
    entry.finish_waiting(result)
    if not before.is_array and not entry.slots:
        entry.statuses = ENDED_BY_OSTLER
    settle(s, now, entry, why=why, saved=before)
