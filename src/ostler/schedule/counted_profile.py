"""How many processors are free from which second on, as planned."""

from bisect import bisect_left, bisect_right

from ostler.schedule.counted_seconds import NEVER


class Profile:
    """Free processors over time, in pieces of constant count.

    Piece i reaches from `seconds[i]` to `seconds[i + 1]`; the last second is `NEVER`. Neighbours
    differ, so that a search meets no piece for nothing.
    """

    __slots__ = ("free", "seconds")

    def __init__(self, procs: int) -> None:
        self.seconds = [0, NEVER]
        self.free = [procs, 0]

    def copy(self) -> "Profile":
        twin = Profile(0)
        twin.seconds, twin.free = self.seconds.copy(), self.free.copy()
        return twin

    def forget(self, now: int) -> None:
        """Let the first piece begin now."""
        first = bisect_right(self.seconds, now) - 1
        if first > 0:
            del self.seconds[:first], self.free[:first]
        self.seconds[0] = now

    def now(self) -> int:
        """Return how many are free in the first piece."""
        return self.free[0]

    def range(self, begin: int, end: int) -> tuple[int, int]:
        """Return the fewest and the most that are free at any time between these seconds."""
        first = bisect_right(self.seconds, begin) - 1
        counts = self.free[first : bisect_left(self.seconds, end, first)]
        return min(counts), max(counts)

    def add(self, begin: int, end: int, count: int) -> None:
        """Free so many processors between two seconds, begin < end; take them if count < 0."""
        seconds, free = self.seconds, self.free
        first = bisect_left(seconds, begin)
        if seconds[first] != begin:
            seconds.insert(first, begin)
            free.insert(first, free[first - 1])
        last = bisect_left(seconds, end, first)
        if seconds[last] != end:
            seconds.insert(last, end)
            free.insert(last, free[last - 1])
        if last - first == 1:
            free[first] += count
        else:
            free[first:last] = [were + count for were in free[first:last]]
        if free[last] == free[last - 1]:
            del seconds[last], free[last]
        if first and free[first] == free[first - 1]:
            del seconds[first], free[first]

    def earliest(
        self, size: int, length: int, begin: int, end: int = NEVER, own: int = NEVER
    ) -> int:
        """Return the first second from `begin` on at which `size` are free for `length` seconds.

        Returns `NEVER` if there is none before `end`. own: the second from which on enough is
        free in any case, because what asks holds it; end <= own.
        """
        seconds, free = self.seconds, self.free
        while True:
            until = begin + length
            if until > own:
                until = own
            piece = bisect_left(seconds, until) - 1
            while free[piece] >= size:
                if seconds[piece] <= begin:
                    return begin
                piece -= 1
            # No window that has this piece will do: go on behind it, and behind its like.
            piece += 1
            while free[piece] < size:
                piece += 1
            begin = seconds[piece]
            if begin >= end:
                return NEVER
