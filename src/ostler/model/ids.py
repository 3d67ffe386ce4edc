"""How jobs, elements, steps and tasks are named: `12`, `12_3`, `12_[0-9]`, `12.0`, `12.0.3`."""

from typing import NamedTuple

from ostler.model.errors import UsageError
from ostler.model.limits import MAX_NAMED, MAX_REF
from ostler.model.ranges import format_ranges, parse_ranges

JobId = int
AllocationId = int


class Ref(NamedTuple):
    """What a person named: a whole job, or some of its elements."""

    job: JobId
    elements: tuple[tuple[int, int], ...] | None = None  # inclusive ranges; None: all

    def __str__(self) -> str:
        """Return the name in the form a person would type."""
        if self.elements is None:
            return str(self.job)
        text = format_ranges(list(self.elements))
        return f"{self.job}_{text}" if text.isdigit() else f"{self.job}_[{text}]"


def parse_ref(text: str) -> Ref:
    """Return what `12`, `12_3` or `12_[0-9,12]` names; raise `UsageError`."""
    if len(text) > MAX_REF:
        raise UsageError(f"a job's name has {len(text)} characters", expected=f"most: {MAX_REF}")
    job, underscore, rest = text.partition("_")
    if rest.startswith("[") and rest.endswith("]"):
        rest = rest[1:-1]
    if job.isascii() and job.isdigit() and len(job) < 19:
        if not underscore:
            return Ref(int(job))
        try:
            return Ref(int(job), tuple(parse_ranges(rest, MAX_NAMED)))
        except ValueError as error:
            raise UsageError(str(error)) from None
    raise UsageError(
        f"{text!r} is not a job id",
        expected="an id looks like 12, 12_3 or 12_[0-9]",
        hint="see `ostler jobs`",
    )


def element_name(job: JobId, element: int | None) -> str:
    """Return `12` or `12_3`."""
    return str(job) if element is None else f"{job}_{element}"
