"""What is counted over the whole machine and all time to come: licences, and what limits count.

Of each count there is a step function: how much is in use, as what runs ends and what is promised
starts and ends. Behind all times there is `inf`, the time that nobody can tell, as on a timeline of
nodes: then nothing is in use but what has been promised for then, or is promised without a limit.
CPU-minutes, which come back second by second, are the same for seconds, see `use.Spend`.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from math import ceil, inf, nextafter
from typing import NamedTuple

from ostler.schedule.assumed import Assumed
from ostler.schedule.limits import MINUTE, Bucket
from ostler.schedule.picture import Picture
from ostler.schedule.snapshot import RunningView, WaitingView
from ostler.schedule.use import Spend, Use

Name = tuple[object, str]  # whose, and what
MINUTES = "cpu_minutes"


class Ask(NamedTuple):
    """So much more of something of which there is a most."""

    name: Name
    amount: float  # inf: it would last for ever
    most: int


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
            if limit.cpu_minutes is not None:
                spent = inf if view.duration == inf else cpus * ceil(view.duration)
                found.append(Ask((bucket, MINUTES), spent, limit.cpu_minutes * MINUTE))
    return found


class Supplies:
    """All counts of a machine from now on. What is started or promised is added."""

    def __init__(self, picture: Picture, now: float) -> None:
        """Read from the picture what is in use, and until when. Cost: a look at what runs."""
        self._now = now
        self._picture = picture
        held: dict[Name, list[tuple[float, int]]] = defaultdict(list)
        spends: dict[Name, list[tuple[float, float, int]]] = defaultdict(list)
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
        claims = picture.claims
        self._minutes = claims is not None and claims.minutes
        for claim in () if claims is None else claims.all.values():
            end = max(claim.ends_at, soon)
            for bucket in buckets(claim.user, claim.project, claim.partition):
                held[bucket, "running"].append((end, 1))
                held[bucket, "cpus"].append((end, claim.cpus))
                if self._minutes and claim.ends_at < inf and not claim.spent:
                    spends[bucket, MINUTES].append((end, claim.ends_at, claim.cpus))
        self._uses: dict[Name, Use | Spend] = {n: Use(now, each) for n, each in held.items()}
        self._uses |= {name: Spend(now, each) for name, each in spends.items()}

    def first(self, asks: list[Ask], start: float, duration: float) -> float:
        """Return the first time from start on from which all of that is there for so long."""
        time, before = start, -inf
        while before < time < inf:
            before = time
            for ask in asks:
                if (use := self._uses.get(ask.name)) is not None:
                    time = use.first(ask.amount, ask.most, time, duration)
                elif ask.amount > ask.most:
                    return inf
        return time

    def at_last(self, asks: list[Ask]) -> bool:
        """Say whether all of that is there at inf."""
        return all(ask.amount + self._of(ask.name).last <= ask.most for ask in asks)

    def after(self, time: float) -> float:
        """Return when the next of all counts changes; inf: none does."""
        return min((use.after(time) for use in self._uses.values()), default=inf)

    def change(
        self, view: WaitingView, cpus: int, start: float, duration: float, sign: int = 1
    ) -> None:
        """Count what an element takes (1) or gives back (-1), from a time on for so long."""
        end = start + duration
        for name, count in self._takes(view, cpus):
            use = self._of(name)
            if isinstance(use, Use):
                use.change(start, end, sign * count)
            elif duration < inf:
                use.change(start, duration, sign * count)

    def _of(self, name: Name) -> Use | Spend:
        found = self._uses.get(name)
        if found is None:
            found = Spend(self._now) if name[1] == MINUTES else Use(self._now)
            self._uses[name] = found
        return found

    def _takes(self, view: WaitingView, cpus: int) -> Iterator[tuple[Name, int]]:
        for name, count in view.request.licences.items():
            yield ("licence", name), count
        if self._picture.rules.max_cpus_per_user:
            yield ("user", view.user), cpus
        for bucket in self._buckets(view.user, view.project, view.partition):
            yield (bucket, "running"), 1
            yield (bucket, "cpus"), cpus
            if self._minutes:
                yield (bucket, MINUTES), cpus

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
