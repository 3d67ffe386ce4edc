"""What was promised of a job's start, and how that compares with what came."""

from msgspec.structs import replace

from ostler.core.state import State
from ostler.model.job import Job
from ostler.model.units import format_duration
from ostler.schedule.snapshot import Plan

_EXACT = 1.0  # seconds


def note_promises(s: State, plan: Plan) -> None:
    """Write down the first start that was promised to each job that has not begun."""
    for number, start in plan.promised.items():
        entry = s.jobs.get(number)
        if entry is None or entry.job.started_at or entry.job.promised_start is not None:
            continue
        entry.job = replace(entry.job, promised_start=start)
        s.save(entry.job)


def compared(job: Job, start: float) -> str:
    """Return how a first start compares with the one that was promised; empty: none was."""
    if job.promised_start is None or (job.started_at or start) < start:
        return ""
    late = start - job.promised_start
    if abs(late) < _EXACT:
        return ", when it was promised to start"
    side = "after" if late > 0 else "before"
    return f", {format_duration(abs(late))} {side} the start that it was promised first"
