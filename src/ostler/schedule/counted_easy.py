"""EASY backfilling on counted processors: only the head of the queue has a promise.

A full pass is made only after processors were freed; it goes on from the shadow time of the pass
before, and looks only at jobs of the sizes that this may let start. The argument for each short
cut is beside it; that they change nothing is what tests/property/test_schedule_counted.py checks.
"""

from bisect import bisect_left, bisect_right

from ostler.schedule.counted_seconds import Endings
from ostler.schedule.counted_waiting import Waiting
from ostler.schedule.counted_work import Work
from ostler.schedule.policy import Scan


class Easy:
    """The line. `_ends` and `_held` are planned ends, ascending, and what each of them frees.

    While a head waits, `_shadow` is its promised start and `_then` what is free at that second:
    free now, and all that is held until then by jobs planned to end by then.
    """

    def __init__(self, work: Work, procs: int, scan: Scan) -> None:
        count = len(work.submit)
        self.starts = [-1] * count
        self._run, self._size, self._estimate = work.run, work.size, work.estimate
        self._shortest = scan is Scan.SHORTEST
        self._waiting = Waiting(work, scan)
        self._arrived = self._head = 0  # jobs so far; the first that waits: `_arrived` if none
        self._need = 0  # the size of the head; 0: nobody waits
        self._endings = Endings()
        self._ends: list[int] = []
        self._held: list[int] = []
        self._free = procs
        self._shadow = self._then = 0
        # Since the last pass processors were freed; until then so many were free and left over.
        self._freed = False
        self._free_before = self._extra_before = 0

    def coming(self) -> int:
        return self._endings.seconds[0]

    # ── one second ───────────────────────────────────────────────────────────────────────────

    def event(self, now: int, arriving: range) -> None:
        self._release(now)
        for job in arriving:
            self._arrive(job, now)
        for job in self._endings.pop(now):
            self._end(job, now)
            if self._freed:
                self._pass(now)

    def batch(self, now: int, arriving: range) -> None:
        self._release(now)
        for job in self._endings.pop(now):
            self._end(job, now)
        if len(arriving) > 1:
            for job in arriving:
                self._enter(job)
            self._pass(now, among_all=True)
        elif arriving:
            self._arrive(arriving[0], now)
        elif self._freed:
            self._pass(now)

    def _release(self, now: int) -> None:
        """Free what is planned to end now; the terminations of these jobs come later or now."""
        ends = self._ends
        if ends and ends[0] <= now:
            self._note()
            upto = bisect_right(ends, now)
            self._free += sum(self._held[:upto])
            del ends[:upto], self._held[:upto]

    def _end(self, job: int, now: int) -> None:
        """Free what a job holds that ends before its planned end."""
        if self._run[job] == self._estimate[job]:
            return
        self._note()
        size, end = self._size[job], now - self._run[job] + self._estimate[job]
        at = bisect_left(self._ends, end)
        while self._held[at] != size:  # another of this end and size frees the same
            at += 1
        del self._ends[at], self._held[at]
        self._free += size
        if end > self._shadow:
            self._then += size

    def _note(self) -> None:
        if not self._freed:
            self._freed = True
            self._free_before = self._free
            self._extra_before = self._then - self._need

    def _arrive(self, job: int, now: int) -> None:
        """Serve a submission.

        If nothing was freed since the last pass, nobody who was left then can start now: as
        much is free, and less time until the shadow. So the newcomer alone is tried.
        """
        if self._freed:
            self._enter(job)
            self._pass(now, among_all=True)
            return
        size = self._size[job]
        if size > self._free:
            self._enter(job)
            if not self._need:
                self._pass(now)  # a new head
        elif (
            not self._need
            or now + self._estimate[job] <= self._shadow
            or size <= self._then - self._need
        ):
            if self._head == job:
                self._head = job + 1
            self._arrived = job + 1
            self._start(job, now)
        else:
            self._enter(job)

    def _enter(self, job: int) -> None:
        self._waiting.add(job)
        self._arrived = job + 1

    # ── a pass ───────────────────────────────────────────────────────────────────────────────

    def _pass(self, now: int, *, among_all: bool = False) -> None:
        """Start all that can. among_all: others came than what was freed could let start.

        For the same head the shadow only gets nearer. Who was left by the last pass, and starts
        now, was too large for what was free, or for what was left over at the shadow.
        """
        self._freed = False
        head, starts = self._head, self.starts
        while head < self._arrived:
            if starts[head] < 0:
                if self._size[head] > self._free:
                    break
                self._waiting.remove(head)
                self._start(head, now)
            head += 1
        if head == self._arrived:
            self._head, self._need = head, 0
            return
        above = 0
        if head == self._head and self._need:
            if not among_all:
                above = self._free_before
                if self._then - self._need > self._extra_before:
                    above = min(above, self._extra_before)
        elif not self._need or self._shadow <= now:
            self._shadow, self._then = now, self._free
        self._head, self._need = head, self._size[head]
        self._find_shadow()
        self._backfill(now, above)

    def _find_shadow(self) -> None:
        """Move the shadow to the earliest planned end at which the head fits."""
        ends, held, need = self._ends, self._held, self._need
        at, then, shadow = bisect_right(ends, self._shadow), self._then, self._shadow
        if then < need:
            while then < need:
                then += held[at]
                shadow = ends[at]
                at += 1
            while at < len(ends) and ends[at] == shadow:
                then += held[at]
                at += 1
        else:
            while at:
                first = bisect_left(ends, ends[at - 1], 0, at)
                without = then - sum(held[first:at])
                shadow = ends[first]
                if without < need:
                    break
                then, at = without, first
        self._shadow, self._then = shadow, then

    def _backfill(self, now: int, above: int) -> None:
        free, extra, seconds = self._free, self._then - self._need, self._shadow - now
        waiting, size, estimate = self._waiting, self._size, self._estimate
        if waiting.sizes[0] > free:
            return
        for job in waiting.candidates(above, free, seconds, extra):
            wanted = size[job]
            if wanted > free:
                continue
            if estimate[job] > seconds:
                if wanted > extra:
                    continue
                extra -= wanted
            free -= wanted
            waiting.remove(job)
            self._start(job, now)

    def _start(self, job: int, now: int) -> None:
        self.starts[job] = now
        size, end = self._size[job], now + self._estimate[job]
        self._free -= size
        if end > self._shadow:
            self._then -= size
        at = bisect_right(self._ends, end)
        self._ends.insert(at, end)
        self._held.insert(at, size)
        self._endings.add(now + self._run[job], job)
