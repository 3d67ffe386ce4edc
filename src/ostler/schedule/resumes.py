"""Suspended allocations that are to go on, on the very CPUs they had.

Those that a person lets go on come first. Those that a scheduler has suspended keep their CPUs from
what only waits, and go on behind all that makes them give way: see `giving`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import inf

from msgspec import Struct

from ostler.model.ids import element_name
from ostler.model.resources import Placement
from ostler.model.states import Rule
from ostler.schedule.room import mask_of
from ostler.schedule.snapshot import ResumeView, RunningView, Wait

Numbers = dict[str, float | int | str]
Masks = dict[str, int]  # node -> CPUs as bits


class Resumption(Struct):
    """What becomes of one of them."""

    view: ResumeView
    name: str  # of its job or element
    user: str
    cpus: int  # how many it had
    starts_at: float  # Unix seconds; inf: nobody can tell
    wait: Wait | None  # None: it goes on now

    @property
    def ends_at(self) -> float:
        """Return its planned end."""
        return self.starts_at + self.view.duration

    def is_of(self, view: RunningView) -> bool:
        """Say whether it tells of the allocation as it is: told of since, that may be otherwise."""
        if self.wait is not None:
            return view.suspended
        return not view.suspended and view.ends_at == self.ends_at


class Resumes:
    """Who goes on now, and which CPUs the others keep from everybody else."""

    def __init__(
        self,
        resuming: Sequence[ResumeView],
        running: Mapping[int, RunningView],
        free: Callable[[str], int],
        held: Mapping[str, int],
        most: int,
        now: float,
    ) -> None:
        """Decide in order of allocation; of those that yield, who has waited for longest is first.

        free: the free CPUs of a node, as bits. held: CPUs by user; most: what one user may hold;
        0: as many as there are.
        """
        self.all: dict[int, Resumption] = {}  # by allocation
        self.withheld: Masks = {}  # what those that wait will take
        self.taken: Masks = {}  # what those that go on take now
        self._running = running
        self._free = free
        self._most = most
        self._now = now
        held = dict(held)
        for view in sorted(resuming, key=self._order):
            self.all[view.alloc] = self._decide(view, held)

    def _order(self, view: ResumeView) -> tuple[bool, float, int]:
        run = self._running.get(view.alloc)
        since = run.halted_at if run is not None and view.yields else None
        return view.yields, since or 0.0, view.alloc

    def kept(self, without: Collection[int] = ()) -> Masks:
        """Return the CPUs that those wait for which cannot go on yet, but for these allocations."""
        found: Masks = {}
        for each in self.pending:
            if each.view.alloc not in without:
                _add(found, masks_of(each.view.placements))
        return found

    @property
    def pending(self) -> list[Resumption]:
        """Return those that cannot go on yet."""
        return [found for found in self.all.values() if found.wait is not None]

    def given_back(self, resumption: Resumption) -> tuple[int, ...]:
        """Return, place by place, the CPUs that nobody behind it in this line waits for."""
        later: Masks = {}
        for other in self.pending:
            if self._order(other.view) > self._order(resumption.view):
                _add(later, masks_of(other.view.placements))
        places = resumption.view.placements
        return tuple(mask_of(p.cpus) & ~later.get(p.node, 0) for p in places)

    def users_of(self, resumption: Resumption) -> list[str]:
        """Return the names of jobs and elements that use its CPUs, or come before it there."""
        masks = masks_of(resumption.view.placements)
        found = [
            element_name(view.job, view.element)
            for view in sorted(self._running.values(), key=lambda view: (view.ends_at, view.alloc))
            if not view.suspended and view.alloc not in self.all and _meet(masks, view.placements)
        ]
        found += [
            other.name
            for other in self.all.values()
            if self._order(other.view) < self._order(resumption.view)
            and _meet(masks, other.view.placements)
        ]
        return list(dict.fromkeys(found))

    def _decide(self, view: ResumeView, held: dict[str, int]) -> Resumption:
        run = self._running.get(view.alloc)
        name = element_name(view.job, run.element) if run else str(view.job)
        user, masks = run.user if run else "", masks_of(view.placements)
        cpus = sum(mask.bit_count() for mask in masks.values())
        missing = self._missing(masks)
        short = sum(mask.bit_count() for mask in missing.values())
        most, holds = self._most, held.get(user, 0)
        if most and holds + cpus > most:
            wait = Wait(Rule.LIMIT, {"limit": most, "held": holds, "asked": cpus})
            starts_at = inf
        elif short or view.yields:
            starts_at = self._free_at(missing)
            free, expected = cpus - short, None if starts_at == inf else starts_at
            numbers: Numbers = {
                "short": "cpus",
                "asked_cpus": cpus,
                "free_cpus": free,
                "own": view.alloc,
            }
            wait = Wait(Rule.RESOURCES, numbers, expected)
        else:
            held[user] = holds + cpus
            _add(self.taken, masks)
            return Resumption(view, name, user, cpus, self._now, None)
        _add(self.withheld, masks)
        return Resumption(view, name, user, cpus, starts_at, wait)

    def _missing(self, masks: Masks) -> Masks:
        """Return which of these CPUs are not free, or are promised to one before it."""
        free = {name: self._free(name) for name in masks}
        for used in (self.withheld, self.taken):
            free = {node: mask & ~used.get(node, 0) for node, mask in free.items()}
        return {node: mask & ~free.get(node, 0) for node, mask in masks.items()}

    def _free_at(self, missing: Masks) -> float:
        """Return when the last of those that use the CPUs ends; inf if nobody can tell."""
        at, unseen = self._now, dict(missing)
        running = ((r.placements, r.ends_at) for r in self._running.values() if not r.suspended)
        others = ((found.view.placements, found.ends_at) for found in self.all.values())
        for places, ends_at in (*running, *others):
            for place in places:
                used = missing.get(place.node, 0) & mask_of(place.cpus)
                if used:
                    at = max(at, ends_at)
                    unseen[place.node] &= ~used
        return inf if any(unseen.values()) else at


def masks_of(places: Iterable[Placement]) -> Masks:
    """Return the CPUs of these places as bits, by node."""
    return {place.node: mask_of(place.cpus) for place in places}


def _add(masks: Masks, more: Masks) -> None:
    for node, mask in more.items():
        masks[node] = masks.get(node, 0) | mask


def _meet(masks: Masks, places: tuple[Placement, ...]) -> bool:
    return any(masks.get(place.node, 0) & mask_of(place.cpus) for place in places)
