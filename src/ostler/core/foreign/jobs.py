"""Jobs of a resource manager, as a load tells them, brought together with what should be there.

A job is known by the token of its start, else by its id and incarnation. What a load shows is
believed as far as it can follow on what was; an end needs a proof, or an absence that has lasted.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from ostler.core import life
from ostler.core.entry import Entry
from ostler.core.foreign import orders
from ostler.core.foreign.absent import absent
from ostler.core.foreign.adopt import adopt, adopt_ended, follow_request, waits_there
from ostler.core.foreign.again import is_echo, start_again
from ostler.core.foreign.distrust import Odd, agree, clean, settle_odd, tell
from ostler.core.foreign.intake import emptied, sliced
from ostler.core.foreign.look import Look
from ostler.core.foreign.places import correct, hold, places_of
from ostler.core.foreign.rms import Rm
from ostler.core.foreign.stray import comes_back, comes_unknown, is_second, stray
from ostler.core.foreign.told import (
    allocation_of,
    back_from_run,
    ended,
    goes_on,
    halted,
    is_live,
    keep,
    runs,
)
from ostler.core.foreign.whose import given_up, known, was_ours
from ostler.core.moves import settle
from ostler.core.over import UNDONE
from ostler.model.allocation import Allocation
from ostler.model.foreign import End, ForeignJob, ForeignState, Jobs, Option
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.states import AllocationState, Result

_JOBS_ODD = ("state", "stray", "elsewhere", "more_cpus")  # of what is listed
_ONE = 6.0  # microseconds to look at one of which nothing is new
_NAME = 0.3  # likewise, to see that it was looked at
_REMEMBERED = 86_400  # seconds, as the database has it: of jobs that are over


def take(look: Look, jobs: Jobs) -> Iterator[float]:
    """Take all jobs of a load in, step by step. Those that it lacks are decided on last."""
    s, rm = look.s, look.rm
    told, complete = list(jobs.jobs), jobs.complete
    ended_ones = list(jobs.ended)
    del jobs
    yield from look.begin(told)
    for end in emptied(ended_ones):
        _end(look, end)
        yield _ONE
    for each in emptied(told):
        if key := _one(look, each):
            look.seen.add(key)
        yield _ONE
    for keys in sliced(list(rm.jobs)):
        for key in keys:
            if key in look.seen:
                look.seen.remove(key)  # all at once would take as long as a turn
            elif key in rm.jobs:
                absent(look, rm.jobs[key], complete=complete)
                yield _ONE
        yield _NAME * len(keys)
    if rm.odd and complete:
        settle_odd(s, look.now, rm, _JOBS_ODD, look.ids)
    rm.jobs_at = look.began
    for alloc in look.again:  # last: whatever is to be ended goes first
        latest = s.allocations.get(alloc.id)
        if latest is not None and not latest.cause:
            start_again(s, latest)
        yield _ONE


def _end(look: Look, end: End) -> None:
    s, now, rm = look.s, look.now, look.rm
    if end.result not in set(Result):
        end = replace(end, result=str(Result.LOST))
    job = known(s, rm, end)
    if job is not None:
        if job.id not in ("", end.id):
            return  # the proof is of a second job of the same start
        if job.stage is not Stage.OVER:
            ended(s, now, rm, replace(job, id=job.id or end.id), end)
        return
    ours = end.token.startswith(f"{s.identity}-")
    fresh = now - end.ended_at <= min(rm.row.job_purge, _REMEMBERED)
    if fresh and not ours and end.user not in look.asking:
        adopt_ended(s, now, rm, end)


def _one(look: Look, told: ForeignJob) -> tuple[int, int, int] | None:
    s, now, rm = look.s, look.now, look.rm
    job, fresh = known(s, rm, told), False
    if job is not None and is_second(look, job, told):
        return None
    plain = replace(told, at=0.0) if told.at else told
    if job is not None and rm.said.get(job.key) == plain and _stays(look, job):
        return job.key  # as before
    if job is not None and job.stage is Stage.OVER:
        if job.since >= look.began or told.state is ForeignState.ENDING:
            return job.key  # what is known is newer
        if is_echo(s, rm, job, told):
            return job.key
        if not comes_back(look, job, told):
            return job.key
        job = None
    if job is None:
        if (older := given_up(s, rm, told)) is not None:
            stray(look, older, told)  # of a start that was given up before this one
            return None
        if not told.token and told.user in look.asking and rm.can(Option.SUBMIT):
            return None  # it may be the one of which nothing is known
        job, fresh = adopt(s, now, rm, told), not waits_there(rm, told)
        if told.id not in look.back and was_ours(s, told):
            comes_unknown(look, job, told)
    job = _updated(look, job, told)
    rm.said[job.key] = plain
    if (alloc := allocation_of(s, job)) is None:
        _waits(look, job, told, fresh=fresh)
    else:
        _has(look, job, alloc, told)
    return job.key


def _stays(look: Look, job: RmJob) -> bool:
    """Say whether nothing is to be done about a job of which the same is told as before."""
    s = look.s
    if job.missing_since is not None or job.differs or job.job not in s.jobs:
        return False
    if job.stage is Stage.WAITS:
        return not is_live(job.state)
    if job.stage is not Stage.SEEN or job.state != ForeignState.RUNNING:
        return False
    alloc = s.allocations.get(job.allocation)
    if alloc is None or alloc.cause or not alloc.started or alloc.suspended_at is not None:
        return False
    return not _is_late(look.rm, job, alloc, look.now)


def _updated(look: Look, job: RmJob, told: ForeignJob) -> RmJob:
    """Note what was told of a job."""
    s, rm = look.s, look.rm
    word, unknown = clean(told.native_state), told.state is ForeignState.UNKNOWN
    if unknown and word != job.native_state:
        text = f"{rm.name} says {word!r} of it, which its driver does not know"
        s.note(look.now, "job/unknown", text, job=job.job, about=rm.name)
    if unknown:
        rm.unclear.setdefault(job.key, look.now)
    else:
        rm.unclear.pop(job.key, None)
    new = replace(
        job,
        id=told.id,
        incarnation=told.incarnation or job.incarnation,
        state=job.state if unknown else str(told.state),
        native_state=word,
        reason=clean(told.reason),
        missing_since=None,
    )
    if new != job:
        if job.missing_since is not None and job.job in s.jobs:
            s.marks.allocations.update(s.jobs[job.job].slots)
        keep(s, rm, new)
    return new


# -- without an allocation ----------------------------------------------------------------------


def _waits(look: Look, job: RmJob, told: ForeignJob, *, fresh: bool) -> None:
    s, now, rm, entry = look.s, look.now, look.rm, look.s.jobs.get(job.job)
    if entry is None or not job.theirs:  # it was cancelled here
        orders.cancel_again(s, now, rm, job)
    elif is_live(job.state):
        _runs_there(look, job, told, entry)
    elif not fresh:
        follow_request(s, now, rm, entry, told)


def _runs_there(look: Look, job: RmJob, told: ForeignJob, entry: Entry) -> None:
    """Give a job what it is told to have."""
    s, now, rm = look.s, look.now, look.rm
    found, thing = places_of(s, rm, told.shares), f"{look.rm.name}/{told.id}"
    if not found.places:
        where = f"on {', '.join(found.strange)}" if found.strange else "nowhere"
        said = ("on nodes that are listed", f"{job.state} {where}", "nothing counts as used")
        tell(s, now, rm, Odd("elsewhere", thing, *said, job.job))
        return
    agree(s, now, rm, "elsewhere", thing)
    if not rm.can(Option.SCHEDULES) and job.stage is Stage.WAITS and told.id not in look.back:
        said = ("idle: nobody has started it", str(told.state), "what it has counts as used")
        tell(s, now, rm, Odd("not_started", thing, *said, job.job), lasts=False)
    for node, count in found.short.items():
        after = f"used with {count} CPUs more than are free"
        said = ("large enough for its jobs", after, "all of it counts as used")
        tell(s, now, rm, Odd("more_cpus", node, *said, node=node), lasts=False)
    if entry.job.held_by:
        before = entry.job
        entry.job = replace(before, held_by="")
        settle(s, now, entry, saved=before)
    since = max(told.started_at or 0.0, 0.0) or now
    alloc = hold(s, now, entry, found.places, since)
    job = keep(s, rm, replace(job, stage=Stage.SEEN, since=now, allocation=alloc.id))
    _has(look, job, alloc, told)


# -- with one -----------------------------------------------------------------------------------


def _has(look: Look, job: RmJob, alloc: Allocation, told: ForeignJob) -> None:
    s, now, rm, entry = look.s, look.now, look.rm, look.s.jobs[alloc.job]
    if not is_live(job.state):
        _does_not_run(look, job, alloc, told)
        return
    agree(s, now, rm, "state", f"{rm.name}/{told.id}")
    if job.stage is not Stage.SEEN or job.differs:
        job = keep(s, rm, replace(job, stage=Stage.SEEN, since=now, differs=""))
    alloc = correct(s, now, rm, entry, alloc, told)
    if alloc.id != job.allocation:
        job = keep(s, rm, replace(job, allocation=alloc.id))
    if job.state != ForeignState.STARTING and (
        told.started_at is not None or job.state != "ending"
    ):
        runs(s, now, alloc, told.started_at)
    alloc = s.allocations[alloc.id]
    if not look.is_busy(job.key) and rm.turned.get(job.key, 0.0) < look.began:
        if job.state == ForeignState.SUSPENDED and alloc.state is AllocationState.READY:
            halted(s, now, rm, alloc)
        elif job.state == ForeignState.RUNNING and _was_halted(alloc, look.began):
            goes_on(s, now, rm, job, alloc)
    job = rm.jobs[job.key]
    alloc = s.allocations[job.allocation]
    if alloc.cause:
        orders.cancel_again(s, now, rm, job)
    elif _is_late(rm, job, alloc, now):
        why = f"it ran for longer than its time limit of {alloc.time_limit} s"
        life.release(s, alloc, Result.TIMEOUT, why)
        settle(s, now, entry)


def _was_halted(alloc: Allocation, began: float) -> bool:
    return alloc.suspended_at is not None and alloc.suspended_at < began


def _is_late(rm: Rm, job: RmJob, alloc: Allocation, now: float) -> bool:
    """Say whether a job runs beyond its limit, and it is ours to end it."""
    if job.theirs and rm.can(Option.SCHEDULES):
        return False
    if not alloc.time_limit or alloc.started_at is None or alloc.suspended_at is not None:
        return False
    return now > alloc.started_at + alloc.suspended + alloc.time_limit


def _does_not_run(look: Look, job: RmJob, alloc: Allocation, told: ForeignJob) -> None:
    """Decide on a job that has an allocation, and of which it is told that it waits."""
    s, now, rm = look.s, look.now, look.rm
    if alloc.cause:
        orders.cancel_again(s, now, rm, job)
        return
    if job.since >= look.began or not job.state:
        return  # it was asked for later than this was seen
    if job.stage is Stage.ASKED and not look.is_busy(job.key):
        look.again.append(alloc)
    vacated = job.state == ForeignState.VACATED
    if alloc.started and job.theirs and (vacated or rm.can(Option.SCHEDULES)):
        back_from_run(s, now, rm, job, f"{rm.name} put it back into its queue")
        follow_request(s, now, rm, s.jobs[alloc.job], told)
        return
    if not job.differs:
        since = now if alloc.started else job.since
        job = keep(s, rm, replace(job, differs=f"it is {job.state} there", since=since))
    thing = f"{rm.name}/{job.id}"
    if alloc.started:
        tell(
            s,
            now,
            rm,
            Odd(
                "state",
                thing,
                before="running",
                after=job.state,
                done=f"its word counts unless it runs again within {rm.row.job_sync} s",
                job=job.job,
            ),
        )
    if now - job.since <= rm.row.job_sync:
        return
    agree(s, now, rm, "state", thing)
    said = f": {job.reason}" if job.reason else ""
    why = f"{rm.name} has told for {now - job.since:.0f} s that it is {job.state}{said}"
    s.note(now, "sync/deadline", why, job=job.job, allocation=alloc.id, about=rm.name)
    if job.theirs:
        back_from_run(s, now, rm, job, why)
        return
    life.release(s, alloc, Result.LOST if alloc.started else UNDONE, why)
    settle(s, now, s.jobs[alloc.job])
