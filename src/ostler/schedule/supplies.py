"""What is counted over the whole machine and all time to come: licences, and what limits count.

Of each count there is a step function: how much is in use, as what runs ends and what is promised
starts and ends. Behind all times there is `inf`, the time that nobody can tell, as on a timeline of
nodes: then nothing is in use but what has been promised for then, or is promised without a limit.
CPU-minutes, which come back second by second, are the same for seconds, see `use.Spend`.
"""

from collections import defaultdict
from collections.abc import Iterator
from math import ceil, floor, inf, nextafter
from typing import NamedTuple

from ostler.schedule.assumed import Assumed
from ostler.schedule.limits import MINUTE, Bucket, Claim
from ostler.schedule.picture import Picture
from ostler.schedule.snapshot import RunningView, WaitingView
from ostler.schedule.use import Spend, Use

Name = tuple[Bucket | str, str]  # what limits count: whose, and what; else `user` or `licence`
MINUTES = "cpu_minutes"


class Ask(NamedTuple):
    """So much more of something of which there is a most."""

    name: Name
    amount: float  # inf: it would last for ever
    most: int | None  # None: for others; what is promised to them must not be passed


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
        for bucket, what in claims.limits.for_others(view.user, view.project, view.partition):
            if what == MINUTES and view.duration < inf:
                found.append(Ask((bucket, what), cpus * ceil(view.duration), None))
            elif what != MINUTES:
                found.append(Ask((bucket, what), 1 if what == "running" else cpus, None))
    return found


class Supplies:
    """All counts of a machine from now on. What is started or promised is added."""

    def __init__(self, picture: Picture, now: float) -> None:
        """Note what is in use; each count is worked out when it is first asked for."""
        self._now = now
        self._picture = picture
        self._uses: dict[Name, Use | Spend] = {}
        self._held: dict[Name, list[Assumed | RunningView]] = defaultdict(list)
        self._claimed: dict[Bucket, list[list[Claim]]] = defaultdict(list)
        # What stands still, or is to go on: when it should end, and how many CPUs fewer are then held
        self._still: dict[int, tuple[float, int]] = {}
        resuming, by_user = picture.resumes.all, bool(picture.rules.max_cpus_per_user)
        there: list[Assumed | RunningView] = [*picture.assumed, *picture.running.values()]
        for one in there:
            if by_user:
                self._held["user", one.user].append(one)
            for name in one.licences:
                self._held["licence", name].append(one)
        for run in picture.running.values():
            if run.suspended or run.alloc in resuming:
                at, _, cpus = picture.gives_back(run)
                self._still[run.alloc] = at, cpus
        claims = picture.claims
        self._minutes = claims is not None and claims.minutes
        self._exempting = claims is not None and claims.limits.exempting
        # Of what is promised: when it begins, how many do, and the most of what is counted then
        self._promised: dict[Name, dict[float, tuple[int, int]]] = defaultdict(dict)
        alike: dict[tuple[str, str, str], list[Claim]] = defaultdict(list)
        for claim in () if claims is None else claims.all.values():
            alike[claim.user, claim.project, claim.partition].append(claim)
        for whose, found in alike.items():
            for bucket in self._buckets(*whose):
                self._claimed[bucket].append(found)

    def first(self, asks: list[Ask], start: float, duration: float) -> float:
        """Return the first time from start on from which all of that is there for so long."""
        time, before = start, -inf
        while before < time < inf:
            before = time
            for ask in asks:
                if ask.most is None:
                    time = self._beside_promised(ask, time, duration)
                else:
                    time = self._of(ask.name).first(ask.amount, ask.most, time, duration)
        return time

    def _beside_promised(self, ask: Ask, time: float, duration: float) -> float:
        """Return the first time from which on what counts for others keeps no promise from them.

        A limit is looked at as something begins; once that runs, who is exempted may pass it, from
        the next second on.
        """
        for at, (_, most) in sorted(self._promised.get(ask.name, {}).items()):
            if time < floor(at) + 1 and at < time + duration:
                more = int(ask.amount)
                if not self._of(ask.name).has_room(at, more, most, time, duration):
                    time = floor(at) + 1.0
        return time

    def at_last(self, asks: list[Ask]) -> bool:
        """Say whether all of that is there at inf."""
        return all(
            ask.most is None or ask.amount + self._of(ask.name).last <= ask.most for ask in asks
        )

    def after(self, time: float) -> float:
        """Return when the next of all counts changes; inf: none does."""
        whats = ("running", "cpus", MINUTES) if self._minutes else ("running", "cpus")
        counted = [(bucket, what) for bucket in self._claimed for what in whats]
        names = {*self._uses, *self._held, *counted}
        return min((self._of(name).after(time) for name in names), default=inf)

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
        if self._exempting and self._now < start < inf:
            for name, _, most in asks_of(self._picture, view, cpus):
                if most is not None:
                    count, _ = self._promised[name].get(start, (0, 0))
                    self._promised[name][start] = count + sign, most
                    if not count + sign:
                        del self._promised[name][start]

    def begin(self, view: WaitingView, cpus: int) -> None:
        """Count what an element takes that starts now. At inf it is thought gone, as all that runs."""
        self.change(view, cpus, self._now, view.duration)
        for name, count in self._takes(view, cpus) if view.duration == inf else ():
            if isinstance(use := self._of(name), Use):
                use.last -= count

    def _of(self, name: Name) -> Use | Spend:
        found = self._uses.get(name)
        if found is None:
            found = self._uses[name] = self._read(name)
        return found

    def _read(self, name: Name) -> Use | Spend:
        """Work out what is in use, each until its end; what is overdue is still there."""
        whose, what = name
        soon = nextafter(self._now, inf)
        if isinstance(whose, str):
            held: list[tuple[float, int]] = []
            for one in self._held.get(name, ()):
                at, cpus = self._frees(one)
                count = cpus if whose == "user" else one.licences[what]
                if count:
                    held.append((max(at, soon), count))
            return Use(self._now, held)
        claims = [claim for each in self._claimed.get(whose, ()) for claim in each]
        if what == MINUTES:
            spends = [claim for claim in claims if claim.ends_at < inf and not claim.spent]
            return Spend(self._now, ((max(c.ends_at, soon), c.ends_at, c.cpus) for c in spends))
        ends = ((max(claim.ends_at, soon), claim) for claim in claims)
        return Use(self._now, ((end, 1 if what == "running" else c.cpus) for end, c in ends))

    def _frees(self, one: RunningView | Assumed) -> tuple[float, int]:
        """Return when something should end, and how many CPUs fewer its user then has."""
        if isinstance(one, Assumed):
            return one.ends_at, one.cpus
        known = self._still.get(one.alloc)
        return known or (one.ends_at, sum(len(place.cpus) for place in one.placements))

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
