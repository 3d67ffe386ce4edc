"""Jobs that memory does not have: some were moved to an archive, others there never were."""

from typing import TYPE_CHECKING

from ostler.model.errors import Missing
from ostler.model.ids import JobId, is_step, job_name, within

if TYPE_CHECKING:  # the state asks
    from ostler.core.state import State


def is_archived(s: "State", number: JobId) -> bool:
    """Say whether a job, or that of a step, ended so long ago that its rows were moved."""
    job = within(number)
    known = any(each in held for each in (number, job) for held in (s.ended, s.jobs, s.recent))
    return 0 < job < s.next_job and not known


def absent(s: "State", number: JobId) -> Missing:
    """Return the error that says what became of it."""
    if is_archived(s, number):
        was = f"job {job_name(number)} was moved to an archive"
        return Missing(was, hint=f"see `ostler job {job_name(number)}`")
    what = "step" if is_step(number) else "job"
    return Missing(f"no {what} {job_name(number)}", hint="see `ostler jobs --all`")
