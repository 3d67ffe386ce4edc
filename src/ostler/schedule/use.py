"""How much of one thing is in use over all time to come, as step functions.

Behind all times there is `inf`, the time that nobody can tell: see `supplies`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from math import ceil, floor, inf
from typing import Generic, TypeVar

Count = TypeVar("Count")


class Steps(Generic[Count]):
    """A step function: `counts` from the time of the same index to the next."""

    __slots__ = ("counts", "times")

    times: list[float]
    counts: list[Count]

    def at(self, time: float) -> int:
        """Return the index of the time from which on it is as it is then."""
        return max(bisect_right(self.times, time) - 1, 0)

    def between(self, start: float, end: float) -> range:
        """Return the indices of the steps from a time up to another: made where there are none."""
        first = self._split(start)
        return range(first, self._split(end) if end < inf else len(self.times))

    def _split(self, time: float) -> int:
        at = bisect_left(self.times, time)
        if at == len(self.times) or self.times[at] != time:
            self.times.insert(at, time)
            self.counts.insert(at, self.counts[at - 1])
        return at


class Use(Steps[int]):
    """How much of one thing is in use."""

    __slots__ = ("last",)

    def __init__(self, now: float, held: Iterable[tuple[float, int]] = ()) -> None:
        """Begin with what is in use, each until its end."""
        back: dict[float, int] = {}
        for end, count in held:
            back[end] = back.get(end, 0) + count
        left = sum(back.values())
        self.times = [now]
        self.counts = [left]
        self.last = 0  # at inf
        for end in sorted(back):
            left -= back[end]
            if end < inf:
                self.times.append(end)
                self.counts.append(left)

    def change(self, start: float, end: float, count: int) -> None:
        """Use so much more from a time up to another, which inf is beyond."""
        if end == inf:
            self.last += count
        if start < inf:
            for at in self.between(start, end):
                self.counts[at] += count

    def first(self, amount: float, most: int, start: float, duration: float) -> float:
        """Return the first time from start on from which so much more may be used for so long."""
        room = most - amount
        if duration == inf and self.last > room:
            return inf
        at = self.at(start)
        begin = start
        while at < len(self.times) and self.times[at] < begin + duration:
            if self.counts[at] > room:
                if at + 1 == len(self.times):
                    return inf
                begin = self.times[at + 1]
            at += 1
        return begin

    def has_room(self, time: float, amount: int, most: int, start: float, duration: float) -> bool:  # noqa: ARG002
        """Say whether so much more, in use from a start on for so long, is within the most then."""
        return self.counts[self.at(time)] + amount <= most

    def after(self, time: float) -> float:
        """Return when it changes next; inf: never."""
        at = bisect_right(self.times, time)
        return self.times[at] if at < len(self.times) else inf


class Spend:
    """CPU-seconds that work may still use up to its planned end; they come back second by second.

    At a time they are, of all that is there, the sum of CPUs x (planned end - time), with the end
    rounded up and the time rounded down to whole seconds: `cpus` and `ends` sum up the two factors.
    """

    __slots__ = ("cpus", "ends", "last")

    def __init__(self, now: float, held: Iterable[tuple[float, float, int]] = ()) -> None:
        """Begin with what runs: when it is gone, its planned end, and its CPUs."""
        there = list(held)
        self.ends = Use(now, ((gone, count * ceil(end)) for gone, end, count in there))
        self.cpus = Use(now, ((gone, count) for gone, _, count in there))
        self.last = 0  # at inf

    def change(self, start: float, duration: float, cpus: int) -> None:
        """Let so many CPUs more be there from a time on for so long, which is not for ever."""
        end = start + duration
        if end == inf:
            self.last += cpus * ceil(duration)
            return
        self.ends.change(start, end, cpus * ceil(end))
        self.cpus.change(start, end, cpus)

    def first(self, amount: float, most: int, start: float, duration: float) -> float:
        """Return the first time from start on at which work may begin that may use so much.

        It is at its most as something begins: with that work itself, and with what is promised to
        begin while it is there. In between, what comes back is enough from a whole second on.
        """
        if amount > most:
            return inf
        times, begin, at = self.cpus.times, start, self.cpus.at(start)
        while begin < inf:
            stop = times[at + 1] if at + 1 < len(times) else inf
            room = self._room(at, int(amount), most, begin)
            if room >= stop:
                begin, at = stop, at + 1
                continue
            later = self._passed(at, int(amount), most, room, duration)
            if later is None:
                return room
            begin, at = times[later], later
        return inf

    def has_room(self, time: float, amount: int, most: int, start: float, duration: float) -> bool:
        """Say whether work that may use so much from a start on for so long is within the most then."""
        at, cpus = self.cpus.at(time), amount // max(ceil(duration), 1)
        held = self.ends.counts[at] - self.cpus.counts[at] * floor(time)
        return held + cpus * (ceil(start + duration) - floor(time)) <= most

    def after(self, time: float) -> float:
        """Return when anything begins or ends next; inf: never."""
        return self.cpus.after(time)

    def _room(self, at: int, amount: int, most: int, begin: float) -> float:
        """Return when so much more is within the most, if all stays as it is from that index on."""
        over, cpus = self.ends.counts[at] + amount - most, self.cpus.counts[at]
        if over <= cpus * floor(begin):
            return begin
        return float(-(-over // cpus)) if cpus else inf

    def _passed(self, at: int, amount: int, most: int, begin: float, duration: float) -> int | None:
        """Return the first index later on at which the most would be passed."""
        end = begin + duration
        for later in range(at + 1, len(self.cpus.times)):
            time = self.cpus.times[later]
            if time >= end:
                break
            if not self.has_room(time, amount, most, begin, duration):
                return later
        return None
