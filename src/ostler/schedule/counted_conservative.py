"""Conservative backfilling on counted processors: everybody has a promise."""

from bisect import bisect_left
from functools import reduce
from heapq import heappop, heappush
from operator import or_

from ostler.schedule.counted_profile import Profile
from ostler.schedule.counted_seconds import NEVER, Endings
from ostler.schedule.counted_work import Work

# What a promise that moved, or an early end, gave free: who it was, from when to when, and the
# levels that it made available: bit z is set if somewhere there z processors are free now and
# were not before.
Freed = tuple[int, int, int, int]
NOTHING: Freed = (NEVER, NEVER, 0, 0)

LEVELS = 9  # bits: on a larger machine a level stands for several counts


class Conservative:
    """The line.

    A promise can only be improved where something was freed since it was last tried: the window
    that it moves to must contain a second at which its size is available and was not. So what is
    freed is shown to each promise once, by early ends in the next sweep, and by a promise that
    moved to those behind it in the same sweep, to those before it in the next. A sweep without
    anything to show costs nothing.
    """

    def __init__(self, work: Work, procs: int) -> None:
        self.starts = [-1] * len(work.submit)  # or promises
        self._count = max(len(work.submit), 1)
        self._run, self._size, self._estimate = work.run, work.size, work.estimate
        self._waiting: list[int] = []  # whose promise is still to come, in order of arrival
        self._promises = [NEVER * self._count]  # a heap of second * count + job; some moved since
        self._endings = Endings()
        self._profile = Profile(procs)
        self._coarse = max(0, procs.bit_length() - LEVELS)
        bits = [1 << level for level in range((procs >> self._coarse) + 1)]
        self._level = [bits[size >> self._coarse] for size in work.size]
        self._tails: list[Freed] = []  # by early ends since the last sweep
        self._moved: list[Freed] = []  # by the moves of the last sweep

    def coming(self) -> int:
        return min(self._endings.seconds[0], self._promises[0] // self._count)

    # ── one second ───────────────────────────────────────────────────────────────────────────

    def event(self, now: int, arriving: range) -> None:
        due = self._clock(now)
        for job in arriving:
            self._place(job, now, due)
        for job in self._endings.pop(now):
            self._end(job, now)
            self._sweep(now, due)
        self._begin(now, due)

    def batch(self, now: int, arriving: range) -> None:
        due = self._clock(now)
        ended = self._endings.pop(now)
        for job in ended:
            self._end(job, now)
        if ended:
            self._sweep(now, due)
        for job in arriving:
            self._place(job, now, due)
        self._begin(now, due)

    def _clock(self, now: int) -> list[int]:
        """Return whose promised second is come: they count as started."""
        self._profile.forget(now)
        due: list[int] = []
        promises, waiting = self._promises, self._waiting
        while promises[0] // self._count <= now:
            job = heappop(promises) % self._count
            if self.starts[job] == now:
                due.append(job)
                del waiting[bisect_left(waiting, job)]
        return due

    def _begin(self, now: int, due: list[int]) -> None:
        due.sort()
        for job in due:
            self._endings.add(now + self._run[job], job)

    def _place(self, job: int, now: int, due: list[int]) -> None:
        """Promise a newcomer the earliest start behind all promises."""
        size, length = self._size[job], self._estimate[job]
        begin = self._profile.earliest(size, length, now)
        self._profile.add(begin, begin + length, -size)
        self.starts[job] = begin
        if begin == now:
            due.append(job)
        else:
            self._waiting.append(job)
            heappush(self._promises, begin * self._count + job)

    def _end(self, job: int, now: int) -> None:
        """Give back what a job does not use of its time."""
        unused = self._estimate[job] - self._run[job]
        if unused:
            self._profile.add(now, now + unused, self._size[job])
            self._tails.append(self._freed(job, now, now + unused))

    def _freed(self, job: int, begin: int, end: int) -> Freed:
        least, most = self._profile.range(begin, end)
        coarse = self._coarse
        return (
            job,
            begin,
            end,
            (2 << (most >> coarse)) - (1 << (least - self._size[job] + 1 >> coarse)),
        )

    # ── a sweep ──────────────────────────────────────────────────────────────────────────────

    def _sweep(self, now: int, due: list[int]) -> None:
        """Lift each promise in order of arrival, and put it back as early as the others allow."""
        if not self._tails and not self._moved:
            return
        tail_end = max((freed[2] for freed in self._tails), default=0)
        tail_levels = reduce(or_, (freed[3] for freed in self._tails), 0)
        shown = _sums(self._moved)
        until, low, high, levels = shown[-1]  # is shown to those before `until`
        self._tails, self._moved = [], []
        starts, size, estimate, level = self.starts, self._size, self._estimate, self._level
        seconds, free = self._profile.seconds, self._profile.free
        for job in self._waiting:
            if job >= until:
                while job >= shown[-1][0]:
                    shown.pop()
                until, low, high, levels = _together(shown[-1], self._moved)
                if not levels and not tail_levels:
                    break
            bit = level[job]
            if bit & tail_levels:
                first, end = now, tail_end
                if bit & levels and high > end:
                    end = high
            elif bit & levels:
                first, end = low, high
            else:
                continue
            last, length, wanted = starts[job], estimate[job], size[job]
            # From the promised second on it has enough in any case. So, if it fits in the second
            # before that, its window may reach beyond; else it must end before.
            promise = last
            if last > end or free[bisect_left(seconds, last) - 1] < wanted:
                last -= length
                if end < last:
                    last = end
            first -= length - 1
            if first < now:
                first = now
            if first >= last:
                continue
            found = self._profile.earliest(wanted, length, first, last, promise)
            if found != NEVER:
                self._move(job, found, now, due)
                until, low, high, levels = _together((until, low, high, levels), self._moved[-1:])
        if due:
            self._waiting = [job for job in self._waiting if starts[job] > now]

    def _move(self, job: int, begin: int, now: int, due: list[int]) -> None:
        """Put a promise to an earlier second."""
        size, promise, profile = self._size[job], self.starts[job], self._profile
        end = begin + self._estimate[job]
        old_end = promise + self._estimate[job]
        profile.add(begin, min(end, promise), -size)
        profile.add(max(end, promise), old_end, size)
        self.starts[job] = begin
        self._moved.append(self._freed(job, max(end, promise), old_end))
        if begin == now:
            due.append(job)
        else:
            heappush(self._promises, begin * self._count + job)


def _sums(moved: list[Freed]) -> list[Freed]:
    """Return what the moves of a sweep freed together, each to be shown to those before its job.

    The last is all of it, the one before that is without the first move, and so on to nothing.
    """
    sums = [NOTHING]
    until, low, high, levels = NOTHING
    for until, begin, end, more in reversed(moved):
        low, high = begin if begin < low else low, end if end > high else high
        levels |= more
        sums.append((until, low, high, levels))
    return sums


def _together(shown: Freed, moved: list[Freed]) -> Freed:
    """Return all of them as one, to be shown to those before the first one's job."""
    until, low, high, levels = shown
    for _, begin, end, more in moved:
        low, high = begin if begin < low else low, end if end > high else high
        levels |= more
    return until, low, high, levels
