"""When resources come free, as far as limits and planned durations tell."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf, isfinite

from msgspec import Struct

from ostler.model.ids import element_name
from ostler.model.resources import Placement, Request
from ostler.schedule.choose import Seats
from ostler.schedule.fit import seats
from ostler.schedule.resumes import Resumes
from ostler.schedule.room import Room, mask_of
from ostler.schedule.snapshot import Snapshot

_AFTER_ALL = 1 << 63  # allocations that are only planned come after those that have a number


class Release(Struct, frozen=True):
    """What one allocation gives back, and when."""

    at: float  # Unix seconds; inf: nobody can tell
    order: int
    name: str  # of the job or element
    places: tuple[Placement, ...]
    cpus: tuple[int, ...]  # beside `places`: the CPUs given back there, as bits
    user: str
    user_cpus: int  # how many fewer the user holds from then on
    licences: dict[str, int] = {}

    def apply(self, rooms: Mapping[str, Room]) -> None:
        """Give it back to those of the rooms that it concerns."""
        for place, cpus in zip(self.places, self.cpus, strict=True):
            if place.node in rooms:
                rooms[place.node].give(cpus, place)


def when(release: Release) -> tuple[float, int]:
    """Return the key by which releases are sorted."""
    return release.at, release.order


def planned(
    at: float,
    job: int,
    places: tuple[Placement, ...],
    user: str,
    licences: dict[str, int],
) -> Release:
    """Return the release of an element that this plan starts."""
    cpus = tuple(mask_of(place.cpus) for place in places)
    held = sum(len(place.cpus) for place in places)
    return Release(at, _AFTER_ALL + job, str(job), places, cpus, user, held, licences)


def releases(snapshot: Snapshot, now: float, resumes: Resumes) -> list[Release]:
    """Return what running allocations and those about to go on give back, in order of time.

    Nobody can tell when a suspended allocation ends; it gives back no CPUs, for it holds none.
    CPUs that a waiting resume will take are not given to anybody else.
    """
    found = []
    running = {view.alloc: view for view in snapshot.running}
    for view in snapshot.running:
        if view.alloc in resumes.all:
            continue
        name = element_name(view.job, view.element)
        if view.suspended:
            none = (0,) * len(view.placements)
            lasting = Release(
                inf, view.alloc, name, view.placements, none, view.user, 0, view.licences
            )
            found.append(lasting)
            continue
        cpus = tuple(mask_of(p.cpus) & ~resumes.withheld.get(p.node, 0) for p in view.placements)
        held = sum(len(place.cpus) for place in view.placements)
        at = max(view.ends_at, now)
        found.append(
            Release(at, view.alloc, name, view.placements, cpus, view.user, held, view.licences)
        )
    for resumption in resumes.all.values():
        places, cpus = resumption.view.placements, resumes.given_back(resumption)
        at, order = max(resumption.ends_at, now), resumption.view.alloc
        held = 0 if resumption.wait else resumption.cpus
        licences = running[order].licences if order in running else {}
        found.append(
            Release(at, order, resumption.name, places, cpus, resumption.user, held, licences)
        )
    found.sort(key=when)
    return found


def earliest(
    rooms: Sequence[Room],
    whole: Sequence[Room],
    coming: Sequence[Release],
    request: Request,
) -> tuple[float, list[Room], Seats] | None:
    """Return when the request fits at the earliest, what is free then, and where its tasks go.

    rooms: what is free now; left as it is. whole: the same nodes without anything running, which
    is how they are at last (time inf) when no planned release makes room. coming: sorted by time.
    The request does not fit now. None: it does not fit even then. Room only grows as allocations end, so the
    time is found by halving: log2(ends) times a copy of the rooms and a look at each.
    """
    names = {room.node for room in rooms}
    near = [
        release
        for release in coming
        if isfinite(release.at) and any(place.node in names for place in release.places)
    ]
    times = sorted({release.at for release in near})

    def after(time: float) -> list[Room]:
        copies = {room.node: room.copy() for room in rooms}
        for release in near:
            if release.at > time:
                break
            release.apply(copies)
        return list(copies.values())

    at = bisect_left(times, 1, key=lambda time: seats(after(time), request) is not None)
    then = after(times[at]) if at < len(times) else [room.copy() for room in whole]
    found = seats(then, request)
    return None if found is None else (times[at] if at < len(times) else inf, then, found)
