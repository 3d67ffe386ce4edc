"""Who waits, by size: those that a pass could start are found without a look at the others."""

from bisect import bisect_left, bisect_right, insort
from itertools import islice

from ostler.schedule.counted_work import Work
from ostler.schedule.policy import Scan


class Waiting:
    """Jobs that wait, in buckets of one size each.

    A job is known by its key: in order of keys jobs are tried. By rank that is its number, by
    shortest first `estimate * count + number`; so a key modulo the count is the job.
    """

    __slots__ = ("_by_estimate", "_count", "_estimate", "_keys", "_least", "_size", "sizes")

    def __init__(self, work: Work, scan: Scan) -> None:
        self.sizes: list[int] = []  # ascending: those with anybody waiting
        self._size, self._estimate = work.size, work.estimate
        self._count = len(work.size)
        self._by_estimate = scan is Scan.SHORTEST
        self._keys: dict[int, list[int]] = {}  # by size, ascending
        self._least: dict[int, int] = {}  # the shortest estimate of a size

    def _key(self, job: int) -> int:
        return self._estimate[job] * self._count + job if self._by_estimate else job

    def add(self, job: int) -> None:
        size, estimate = self._size[job], self._estimate[job]
        keys = self._keys.get(size)
        if keys:
            insort(keys, self._key(job))
            self._least[size] = min(self._least[size], estimate)
        else:
            self._keys[size] = [self._key(job)]
            self._least[size] = estimate
            insort(self.sizes, size)

    def remove(self, job: int) -> None:
        size = self._size[job]
        keys = self._keys[size]
        del keys[bisect_left(keys, self._key(job))]
        if not keys:
            del self._keys[size]
            del self.sizes[bisect_left(self.sizes, size)]
        elif self._estimate[job] == self._least[size]:
            self._least[size] = min(self._estimate[key % self._count] for key in keys)

    def candidates(self, above: int, free: int, seconds: int, extra: int) -> list[int]:
        """Return jobs in the order in which to try them, everyone among them that can start.

        That is who has above < size <= free and either an estimate of at most `seconds` or a size
        of at most `extra`, less those before whom enough others of the same size would start.
        """
        sizes = self.sizes
        found: list[int] = []
        buckets = 0
        for size in sizes[bisect_right(sizes, above) : bisect_right(sizes, free)]:
            most = min(extra, free) // size if size <= extra else 0
            if most or self._least[size] <= seconds:
                buckets += 1
                found += self._of(size, free // size, seconds, most)
        if buckets > 1:
            found.sort()
        if self._by_estimate:
            return [key % self._count for key in found]
        return found

    def _of(self, size: int, short: int, seconds: int, long: int) -> list[int]:
        """Return keys of one size: the first `short` of those that end in time, `long` others."""
        keys = self._keys[size]
        if self._by_estimate:
            split = bisect_left(keys, (seconds + 1) * self._count)
            return [*islice(keys, min(split, short)), *keys[split : split + long]]
        found: list[int] = []
        estimate = self._estimate
        for key in keys:
            if estimate[key] <= seconds:
                if short:
                    found.append(key)
                    short -= 1
            elif long:
                found.append(key)
                long -= 1
            if not short and not long:
                break
        return found
