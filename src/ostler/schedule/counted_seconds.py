"""The clock of a replay: from one second in which something happens to the next."""

from heapq import heappop, heappush
from typing import Protocol

from ostler.schedule.counted_work import TELL_EVERY, Rule, Tell, Work

NEVER = 1 << 80  # later than any second of a replay


class Endings:
    """Who ends when, in the order in which they started."""

    __slots__ = ("jobs", "seconds")

    def __init__(self) -> None:
        self.seconds: list[int] = [NEVER]  # a heap; each second once
        self.jobs: dict[int, list[int]] = {}

    def add(self, second: int, job: int) -> None:
        """Note an end. Called in the order of starts."""
        if second in self.jobs:
            self.jobs[second].append(job)
        else:
            self.jobs[second] = [job]
            heappush(self.seconds, second)

    def pop(self, second: int) -> list[int]:
        """Return whose end this second is; none of them if it is not the next one."""
        if self.seconds[0] != second:
            return []
        heappop(self.seconds)
        return self.jobs.pop(second)


class Line(Protocol):
    """A policy at work: who waits, who runs."""

    starts: list[int]  # by job; final once the line has nothing coming

    def coming(self) -> int:
        """Return the next second in which something happens without a submission, or `NEVER`."""

    def event(self, now: int, arriving: range) -> None:
        """Handle one second in which something happens, event by event."""

    def batch(self, now: int, arriving: range) -> None:
        """Handle one second in which something happens, all at once."""


def by_seconds(line: Line, work: Work, rule: Rule, tell: Tell) -> list[int]:
    """Play all of the work; return start seconds in order of arrival."""
    handle = line.event if rule is Rule.EVENT else line.batch
    submit, count = work.submit, len(work.submit)
    coming = line.coming
    job, told, none = 0, 0, range(0)
    while job < count:
        at = submit[job]
        second = coming()
        if second < at:
            handle(second, none)
            continue
        first = job
        while job < count and submit[job] == at:
            job += 1
        handle(at, range(first, job))
        if job >= told:
            tell(job)
            told = job + TELL_EVERY
    while (second := coming()) != NEVER:
        handle(second, none)
    return line.starts
