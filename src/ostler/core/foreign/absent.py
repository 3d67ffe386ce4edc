"""Jobs that a load lacks, and of whose end there is no proof: unknown, until that has lasted."""

from msgspec.structs import replace

from ostler.core.foreign import orders
from ostler.core.foreign.again import asks_again
from ostler.core.foreign.distrust import agree
from ostler.core.foreign.look import Look
from ostler.core.foreign.told import allocation_of, ended, keep
from ostler.model.foreign import End
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.states import Result


def absent(look: Look, job: RmJob, *, complete: bool) -> None:
    """Decide on a job that a load lacks, and of whose end there is no proof."""
    s, now, rm = look.s, look.now, look.rm
    if job.stage is Stage.OVER:
        agree(s, now, rm, "stray", f"{rm.name}/{job.id}")
        if now - job.since > max(rm.row.job_purge, rm.row.interval):
            rm.forget(job.key)
        return
    alloc = allocation_of(s, job)
    if look.is_busy(job.key) or job.since >= look.began:
        return
    if job.stage is Stage.ASKED and alloc is not None and not alloc.cause:
        look.again.append(alloc)
        return
    if not complete:
        return
    confirmed = rm.ending.get(job.key)
    if confirmed is not None and confirmed < look.began:
        proof = f"{rm.name} took the order to end it, and does not list it any more"
        ended(s, now, rm, job, End(job.id, str(Result.CANCELLED), proof))
        return
    if alloc is not None and alloc.cause:
        orders.cancel_again(s, now, rm, job)
    _unknown(look, job)


def _unknown(look: Look, job: RmJob) -> None:
    s, now, rm = look.s, look.now, look.rm
    again = asks_again(rm, job, allocation_of(s, job))
    if job.missing_since is None:
        since = max(job.since, rm.jobs_at) if job.stage is not Stage.SEEN else rm.jobs_at or now
        job = keep(s, rm, replace(job, missing_since=since))
        text = f"{rm.name} does not list {job.id or 'it'} any more, nor how it ended"
        s.note(now, "job/unknown", text, job=job.job, about=rm.name)
    since = job.missing_since if job.missing_since is not None else now
    if now - since <= rm.row.job_purge:
        if again:
            keep(s, rm, replace(job, stage=Stage.ASKED, since=now, id="", incarnation=""))
            look.again.append(s.allocations[job.allocation])
        return
    proof = f"it has not listed it for {now - since:.0f} s, nor told how it ended"
    s.note(now, "job/purged", f"{rm.name}: {proof}", job=job.job, about=rm.name)
    ended(s, now, rm, job, End(job.id, str(Result.LOST), proof))
