"""The first K that do not fit are promised a start; the others may start if they delay none."""

from ostler.schedule.counted_profile import Profile
from ostler.schedule.counted_seconds import Endings
from ostler.schedule.counted_work import Work


class Reserved:
    """The line. `_held` is what running jobs leave free, `_plan` what the promises leave of that.

    The plan is made anew only after processors were freed. Until then all promises stay what they
    are, and nobody who could not start can start; so a newcomer is tried behind all others.
    """

    def __init__(self, work: Work, procs: int, most: int) -> None:
        self.starts = [-1] * len(work.submit)
        self._run, self._size, self._estimate = work.run, work.size, work.estimate
        self._most = most
        self._promised = 0
        self._waiting: list[int] = []
        self._endings = Endings()
        self._held, self._plan = Profile(procs), Profile(procs)
        self._freed = False

    def coming(self) -> int:
        return self._endings.seconds[0]

    def event(self, now: int, arriving: range) -> None:
        self._clock(now)
        for job in arriving:
            self._waiting.append(job)
            self._pass(now, 1)
        for job in self._endings.pop(now):
            self._end(job, now)
            self._pass(now, 0)

    def batch(self, now: int, arriving: range) -> None:
        self._clock(now)
        for job in self._endings.pop(now):
            self._end(job, now)
        self._waiting += arriving
        self._pass(now, len(arriving))

    def _clock(self, now: int) -> None:
        """Let planned ends come: they free their processors before anything else happens."""
        before = len(self._held.seconds)
        self._held.forget(now)
        self._plan.forget(now)
        self._freed = len(self._held.seconds) < before

    def _end(self, job: int, now: int) -> None:
        unused = self._estimate[job] - self._run[job]
        if unused:
            self._held.add(now, now + unused, self._size[job])
            self._freed = True

    def _pass(self, now: int, newcomers: int) -> None:
        waiting = self._waiting
        if self._freed:
            self._freed = False
            self._plan, self._promised = self._held.copy(), 0
            first = 0
        else:
            first = len(waiting) - newcomers
        waiting[first:] = [job for job in waiting[first:] if not self._start(job, now)]

    def _start(self, job: int, now: int) -> bool:
        """Start the job if it can; else promise it a start if it is one of the first."""
        size, length, plan = self._size[job], self._estimate[job], self._plan
        if self._promised < self._most:
            begin = plan.earliest(size, length, now)
        elif size > plan.now() or plan.earliest(size, length, now, now + 1) != now:
            return False
        else:
            begin = now
        plan.add(begin, begin + length, -size)
        if begin > now:
            self._promised += 1
            return False
        self._held.add(now, now + length, -size)
        self.starts[job] = now
        self._endings.add(now + self._run[job], job)
        return True
