"""Conservative backfilling on counted processors: everybody has a promise."""

from bisect import bisect_left
from heapq import heappop, heappush

from ostler.schedule.counted_profile import Profile
from ostler.schedule.counted_seconds import NEVER, Endings
from ostler.schedule.counted_work import Work


class Conservative:
    """The line.

    A promise can only be improved where something was freed since it was last tried: the window
    that it moves to must contain a second of that. So each region that is freed, by an early end
    or by a promise that moved, is shown to each promise once, and a sweep after which nothing was
    freed costs nothing. `_regions` are those of the sweep before, by the job that moved, and of
    early ends.
    """

    def __init__(self, work: Work, procs: int) -> None:
        self.starts = [-1] * len(work.submit)  # or promises
        self._count = max(len(work.submit), 1)
        self._run, self._size, self._estimate = work.run, work.size, work.estimate
        self._waiting: list[int] = []  # whose promise is still to come, in order of arrival
        self._promises = [NEVER * self._count]  # a heap of second * count + job; some moved since
        self._endings = Endings()
        self._profile = Profile(procs)
        self._regions: list[tuple[int, int, int]] = []  # who may not care; begin; end

    def coming(self) -> int:
        return min(self._endings.seconds[0], self._promises[0] // self._count)

    # ── one second ───────────────────────────────────────────────────────────────────────────

    def event(self, now: int, arriving: range) -> None:
        due = self._clock(now)
        for job in arriving:
            self._place(job, now, due)
        for job in self._endings.pop(now):
            self._end(job, now)
            if self._regions:
                self._sweep(now, due)
        self._begin(now, due)

    def batch(self, now: int, arriving: range) -> None:
        due = self._clock(now)
        ended = self._endings.pop(now)
        for job in ended:
            self._end(job, now)
        if ended and self._regions:
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
            self._regions.append((self._count, now, now + unused))

    # ── a sweep ──────────────────────────────────────────────────────────────────────────────

    def _sweep(self, now: int, due: list[int]) -> None:
        """Lift each promise in order of arrival, and put it back as early as the others allow."""
        before = [region for region in self._regions if region[2] > now]
        freed: list[tuple[int, int, int]] = []
        started = False
        shown = -1
        low = high = most = 0
        size, starts, profile = self._size, self.starts, self._profile
        while_of = self._estimate
        for job in self._waiting:
            while before and before[0][0] <= job:
                del before[0]
                shown = -1
            if shown < 0:
                if not before and not freed:
                    break
                regions = before + freed
                low = max(now, min(region[1] for region in regions))
                high = max(region[2] for region in regions)
                most = profile.most(low, high)
                shown = 1
            wanted = size[job]
            if wanted > most:
                continue
            promise, length = starts[job], while_of[job]
            first = max(now, low - length + 1)
            last = min(high, promise)
            if low >= promise or first >= last:
                continue
            begin = profile.earliest(wanted, length, first, last, promise)
            if begin == NEVER:
                continue
            begin_end = begin + length
            profile.add(begin, min(begin_end, promise), -wanted)
            freed_from = max(begin_end, promise)
            profile.add(freed_from, promise + length, wanted)
            freed.append((job, freed_from, promise + length))
            starts[job] = begin
            if begin == now:
                due.append(job)
                started = True
            else:
                heappush(self._promises, begin * self._count + job)
            shown = -1
        self._regions = freed
        if started:
            self._waiting = [job for job in self._waiting if starts[job] > now]
