"""Ended jobs that were copied to an archive are forgotten, unless somebody needs them after all."""

from ostler.core.events import Archived
from ostler.core.state import State
from ostler.model.ids import is_step, within
from ostler.schedule.words import counted


def lifetimes(s: State, now: float) -> tuple[float | None, float | None]:
    """Return before when jobs and accounting must have ended to be archived; None: never."""
    jobs, accounts = s.setting("jobs-lifetime"), s.setting("accounting-lifetime")
    return (now - jobs if jobs else None), (now - accounts if accounts else None)


def on_archived(s: State, now: float, event: Archived) -> None:
    """Forget jobs whose copies are durable.

    Not those that run again or have ended anew since, or for which an unfinished job waits.
    """
    kept = {within(n) for n in event.jobs if n not in s.ended or _needed(s, n, event.before)}
    gone = [n for n in event.jobs if n in s.ended and within(n) not in kept]
    for number in gone:
        _forget(s, number)
    if gone:
        jobs = sum(not is_step(number) for number in gone)
        s.note(now, "jobs/archived", f"{counted(jobs, 'job')} that ended long ago, {_names(gone)}")


def _forget(s: State, number: int) -> None:
    del s.ended[number]
    recent = s.recent.get(number)
    if recent is not None:
        s.recent.forget(number)
        s.requests.pop((recent.job.uid, recent.job.request_id), None)


def _needed(s: State, number: int, before: float) -> bool:
    recent = s.recent.get(number)
    anew = recent is not None and (recent.job.ended_at or before) >= before
    return anew or number in s.dependents or number in s.waited


def _names(jobs: list[int]) -> str:
    numbers = sorted(number for number in jobs if not is_step(number))
    return f"from {numbers[0]} to {numbers[-1]}" if numbers else "steps alone"
