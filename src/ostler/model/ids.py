"""How jobs, elements, steps and tasks are named: `12`, `12_3`, `12_[0-9]`, `12.0`, `12.0.3`."""

from typing import NamedTuple

from ostler.model.errors import UsageError
from ostler.model.limits import MAX_NAMED, MAX_REF
from ostler.model.ranges import format_ranges, parse_ranges

JobId = int
AllocationId = int
_STEP = 20  # bits of a step's number; above them stands its job's
MAX_STEPS = 1 << _STEP  # in one allocation
MAX_JOB = 1 << 40
STEPS_FROM = 1 << 61  # a JobId from here on is that of a step in an allocation


def step_id(job: JobId, step: int) -> JobId:
    """Return the number by which step `step` of an allocation is known everywhere.

    >>> job_name(step_id(12, 0))
    '12.0'
    """
    return STEPS_FROM | job << _STEP | step


def is_step(job: JobId) -> bool:
    """Say whether this is a step of an allocation, and no job of its own."""
    return job >= STEPS_FROM


def within(job: JobId) -> JobId:
    """Return the allocation's job of a step; a job is within itself."""
    return (job - STEPS_FROM) >> _STEP if job >= STEPS_FROM else job


def step_number(job: JobId) -> int:
    """Return the number of a step in its allocation, from 0; -1 of what is no step."""
    return job & (MAX_STEPS - 1) if job >= STEPS_FROM else -1


def job_name(job: JobId) -> str:
    """Return `12`, or `12.0` for a step."""
    return f"{within(job)}.{step_number(job)}" if job >= STEPS_FROM else str(job)


class Ref(NamedTuple):
    """What a person named: a whole job, or some of its elements."""

    job: JobId
    elements: tuple[tuple[int, int], ...] | None = None  # inclusive ranges; None: all

    def __str__(self) -> str:
        """Return the name in the form a person would type."""
        if self.elements is None:
            return job_name(self.job)
        text = format_ranges(list(self.elements))
        return f"{self.job}_{text}" if text.isdigit() else f"{self.job}_[{text}]"


def parse_ref(text: str) -> Ref:
    """Return what `12`, `12_3`, `12_[0-9,12]` or `12.0` names; raise `UsageError`."""
    if len(text) > MAX_REF:
        raise UsageError(f"a job's name has {len(text)} characters", expected=f"most: {MAX_REF}")
    job, underscore, rest = text.partition("_")
    job, dot, step = job.partition(".")
    if rest.startswith("[") and rest.endswith("]"):
        rest = rest[1:-1]
    if _is_number(job, MAX_JOB) and not (dot and underscore):
        if dot and _is_number(step, MAX_STEPS):
            return Ref(step_id(int(job), int(step)))
        if not dot and not underscore:
            return Ref(int(job))
    if _is_number(job, MAX_JOB) and not dot:
        try:
            return Ref(int(job), tuple(parse_ranges(rest, MAX_NAMED)))
        except ValueError as error:
            raise UsageError(str(error)) from None
    raise UsageError(
        f"{text!r} is not a job id",
        expected="an id looks like 12, 12_3, 12_[0-9] or 12.0",
        hint="see `ostler jobs`; all of yours are $(ostler jobs -q --format id)",
    )


def _is_number(text: str, end: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and int(text) < end


def element_name(job: JobId, element: int | None) -> str:
    """Return `12` or `12_3`, or `12.0` for a step."""
    return job_name(job) if element is None else f"{job}_{element}"
