"""Jobs that a load lists and that are over here: ended, as their element waits again, or taken up."""

from msgspec.structs import replace

from ostler.core.foreign import orders
from ostler.core.foreign.distrust import Odd, tell
from ostler.core.foreign.look import Look
from ostler.model.foreign import ForeignJob
from ostler.model.foreign_rows import RmJob


def comes_back(look: Look, job: RmJob, told: ForeignJob) -> bool:
    """Say whether a job that was given up, and is listed again, is taken up again."""
    s, rm = look.s, look.rm
    entry = s.jobs.get(job.job)
    if entry is not None and entry.result_of(job.element) is None and not job.theirs:
        stray(look, job, told)
        return False
    tell(
        s,
        look.now,
        rm,
        Odd(
            "state",
            f"{rm.name}/{told.id}",
            before=f"over, as job {job.job}",
            after=str(told.state),
            done="it is taken up again",
            job=job.job,
        ),
        lasts=False,
    )
    rm.forget(job.key)
    look.back.add(told.id)
    return True


def comes_unknown(look: Look, job: RmJob, told: ForeignJob) -> None:
    """Record that a job was started from here, and that what it was has ended and is forgotten."""
    before = f"over, as start {told.token} of this machine"
    done = f"it is taken up again, as job {job.job}"
    odd = Odd("state", f"{look.rm.name}/{told.id}", before, str(told.state), done, job.job)
    tell(look.s, look.now, look.rm, odd, lasts=False)
    look.back.add(told.id)


def stray(look: Look, job: RmJob, told: ForeignJob) -> None:
    """End what was started from here and given up: its element waits, or runs, once more."""
    s, rm, thing = look.s, look.rm, f"{look.rm.name}/{told.id}"
    odd = Odd("stray", thing, "over", str(told.state), "it is ended", job.job)
    tell(s, look.now, rm, odd)
    # What is answered is about no job that is known.
    orders.cancel(s, rm, replace(job, attempt=-1, id=told.id, state=str(told.state)))


def is_second(look: Look, job: RmJob, told: ForeignJob) -> bool:
    """Say whether a load tells of something else by the same name; one of both counts."""
    if job.id not in ("", told.id) and job.id in look.ids:
        stray(look, job, told)  # one start has made two
        return True
    return job.key in look.seen
