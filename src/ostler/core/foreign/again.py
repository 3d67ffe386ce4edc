"""Jobs that their resource manager has taken, and forgotten: their start is asked again.

That is for drivers that declare `once`: there a job that has begun does not begin a second time, by
whatever start of the same token, but ends as the first has ended. So what was forgotten runs, or is
known to have ended. Elsewhere nobody can tell, and it is waited for.
"""

from msgspec.structs import replace

from ostler.core import life
from ostler.core.foreign.rms import Rm
from ostler.core.foreign.told import keep
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.foreign import ForeignJob, Option, Outcome
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.states import Result


def asks_again(rm: Rm, job: RmJob, alloc: Allocation | None) -> bool:
    """Say whether the start of a job is to be asked again that this load lacks, and one before."""
    return (
        job.missing_since is not None
        and not job.theirs
        and bool(job.token)
        and alloc is not None
        and not alloc.cause
        and rm.can(Option.ONCE)
    )


def start_again(s: State, alloc: Allocation) -> None:
    """Ask for a start once more, by the same token."""
    entry = s.jobs[alloc.job]
    life.order_launch(s, entry, alloc, alloc.placements[0].node, start=True)


def is_echo(s: State, rm: Rm, job: RmJob, told: ForeignJob) -> bool:
    """Say whether a job that has ended is only listed, or run, once more: it will end as it has."""
    if not rm.can(Option.ONCE) or not job.token or told.token != job.token:
        return False
    entry = s.jobs.get(job.job) or s.recent.get(job.job)
    return entry is not None and entry.result_of(job.element) not in (None, Result.LOST)


def not_taken_again(s: State, now: float, rm: Rm, job: RmJob, outcome: Outcome) -> None:
    """Go on as before: it may have run, so its element does not wait for another start meanwhile."""
    keep(s, rm, replace(job, stage=Stage.TAKEN, since=now, reason=outcome.text or job.reason))
