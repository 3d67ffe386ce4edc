"""What is counted over the whole machine and all time to come: licences, and what limits count.

Of each count there is a step function: how much is in use, as what runs ends and what is promised
starts and ends. Behind all times there is `inf`, the time that nobody can tell, as on a timeline of
nodes: then nothing is in use but what has been promised for then, or is promised without a limit.
CPU-minutes are not among them: they come back second by second and are looked at when work starts.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import inf, nextafter
from typing import NamedTuple

from ostler.schedule.assumed import Assumed
from ostler.schedule.limits import Bucket
from ostler.schedule.picture import Picture
from ostler.schedule.snapshot import RunningView, WaitingView

Name = tuple[object, str]  # whose, and what


class Ask(NamedTuple):
    """So much more of something of which there is a most."""

    name: Name
    amount: int
    most: int


class _Use:
    """How much of one thing is in use."""

    __slots__ = ("counts", "last", "times")

    def __init__(self, now: float, held: Iterable[tuple[float, int]] = ()) -> None:
        """Begin with what is in use, each until its end."""
        back: dict[float, int] = {}
        for end, count in held:
            back[end] = back.get(end, 0) + count
        left = sum(back.values())
        self.times = [now]
        self.counts = [left]  # from the time of the same index to the next
        self.last = 0  # at inf
        for end in sorted(back):
            left -= back[end]
            if end < inf:
                self.times.append(end)
                self.counts.append(left)

    def change(self, start: float, end: float, count: int) -> None:
        """Use so much more from a time up to another, which inf is beyond."""
        if start < inf:
            first = self._split(start)
            stop = self._split(end) if end < inf else len(self.times)
            for at in range(first, stop):
                self.counts[at] += count

    def first(self, room: int, start: float, duration: float) -> float:
        """Return the first time from start on at which no more than `room` is in use for so long."""
        if duration == inf and self.last > room:
            return inf
        at = max(bisect_right(self.times, start) - 1, 0)
        begin = start
        while at < len(self.times) and self.times[at] < begin + duration:
            if self.counts[at] > room:
                if at + 1 == len(self.times):
                    return inf
                begin = self.times[at + 1]
            at += 1
        return begin

    def _split(self, time: float) -> int:
        at = bisect_left(self.times, time)
        if at == len(self.times) or self.times[at] != time:
            self.times.insert(at, time)
            self.counts.insert(at, self.counts[at - 1])
        return at


def asks_of(picture: Picture, view: WaitingView, cpus: int) -> list[Ask]:
    """Return what an element needs that is to have so many CPUs."""
    rules, claims = picture.rules, picture.claims
    found = [
        Ask(("licence", name), count, rules.licences.get(name, 0))
        for name, count in view.request.licences.items()
    ]
    if rules.max_cpus_per_user:
        found.append(Ask(("user", view.user), cpus, rules.max_cpus_per_user))
    if claims is not None:
        for bucket, limit in claims.limits.key(view.user, view.project, view.partition):
            for what, count, most in (
                ("running", 1, limit.running),
                ("cpus", cpus, limit.cpus),
            ):
                if most is not None:
                    found.append(Ask((bucket, what), count, most))
    return found


class Supplies:
    """All counts of a machine from now on. What is started or promised is added."""

    def __init__(self, picture: Picture, now: float) -> None:
        """Read from the picture what is in use, and until when. Cost: a look at what runs."""
        self._now = now
        self._picture = picture
        held: dict[Name, list[tuple[float, int]]] = defaultdict(list)
        soon = nextafter(now, inf)  # what is overdue is still there
        by_user = bool(picture.rules.max_cpus_per_user)
        there: list[Assumed | RunningView] = [*picture.assumed, *picture.running.values()]
        for one in there:
            if not (by_user or one.licences):
                continue
            at, cpus = _frees(picture, one)
            end = max(at, soon)
            if by_user and cpus:
                held["user", one.user].append((end, cpus))
            for name, count in one.licences.items():
                held["licence", name].append((end, count))
        buckets = lru_cache(self._buckets)
        for claim in picture.claimed.values():
            end = max(claim.ends_at, soon)
            for bucket in buckets(claim.user, claim.project, claim.partition):
                held[bucket, "running"].append((end, 1))
                held[bucket, "cpus"].append((end, claim.cpus))
        self._uses = {name: _Use(now, each) for name, each in held.items()}

    def first(self, asks: list[Ask], start: float, duration: float) -> float:
        """Return the first time from start on from which all of that is there for so long."""
        time, before = start, -inf
        while before < time < inf:
            before = time
            for ask in asks:
                if (use := self._uses.get(ask.name)) is not None:
                    time = use.first(ask.most - ask.amount, time, duration)
                elif ask.amount > ask.most:
                    return inf
        return time

    def at_last(self, asks: list[Ask]) -> bool:
        """Say whether all of that is there at inf."""
        return all(ask.amount + self._of(ask.name).last <= ask.most for ask in asks)

    def after(self, time: float) -> float:
        """Return when the next of all counts changes; inf: none does."""
        found = inf
        for use in self._uses.values():
            at = bisect_right(use.times, time)
            if at < len(use.times):
                found = min(found, use.times[at])
        return found

    def change(
        self, view: WaitingView, cpus: int, start: float, duration: float, sign: int = 1
    ) -> None:
        """Count what an element takes (1) or gives back (-1), from a time on for so long."""
        end = start + duration
        for name, count in self._takes(view, cpus):
            use = self._of(name)
            use.change(start, end, sign * count)
            if end == inf:
                use.last += sign * count

    def _of(self, name: Name) -> _Use:
        return self._uses.setdefault(name, _Use(self._now))

    def _takes(self, view: WaitingView, cpus: int) -> Iterator[tuple[Name, int]]:
        for name, count in view.request.licences.items():
            yield ("licence", name), count
        if self._picture.rules.max_cpus_per_user:
            yield ("user", view.user), cpus
        for bucket in self._buckets(view.user, view.project, view.partition):
            yield (bucket, "running"), 1
            yield (bucket, "cpus"), cpus

    def _buckets(self, user: str, project: str, partition: str) -> list[Bucket]:
        claims = self._picture.claims
        return [] if claims is None else claims.limits.buckets(user, project, partition)


def _frees(picture: Picture, one: RunningView | Assumed) -> tuple[float, int]:
    """Return when something should end, and how many CPUs fewer its user then has."""
    if isinstance(one, Assumed):
        return one.ends_at, one.cpus
    if one.suspended or one.alloc in picture.resumes.all:
        at, _, cpus = picture.gives_back(one)
        return at, cpus
    return one.ends_at, sum(len(place.cpus) for place in one.placements)
