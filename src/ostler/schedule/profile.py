"""What comes free when, by name: which allocations give back which CPUs, and when."""

from msgspec import Struct

from ostler.model.ids import element_name
from ostler.model.resources import Placement
from ostler.schedule.assumed import Assumed
from ostler.schedule.picture import Picture
from ostler.schedule.room import mask_of


class Release(Struct, frozen=True):
    """What one allocation gives back, and when."""

    at: float  # Unix seconds; inf: nobody can tell
    number: int  # of the allocation; below zero: a plan has just started it
    name: str  # of the job or element
    places: tuple[Placement, ...]
    cpus: tuple[int, ...]  # beside `places`: the CPUs given back there, as bits
    user: str
    user_cpus: int  # how many fewer the user holds from then on
    licences: dict[str, int] = {}


def when(release: Release) -> tuple[float, bool, int]:
    """Return the key by which releases are sorted: of equal ends, what a plan started last."""
    return release.at, release.number < 0, abs(release.number)


def releases(picture: Picture, now: float) -> list[Release]:
    """Return what all allocations give back, in order of time."""
    found = [assumed(one, now) for one in picture.assumed]
    for view in picture.running.values():
        at, cpus, held = picture.gives_back(view)
        name = element_name(view.job, view.element)
        found.append(
            Release(
                max(at, now),
                view.alloc,
                name,
                view.placements,
                cpus,
                view.user,
                held,
                view.licences,
            )
        )
    found.sort(key=when)
    return found


def assumed(one: Assumed, now: float) -> Release:
    """Return the release of an element that a plan has started."""
    cpus = tuple(mask_of(place.cpus) for place in one.places)
    at = max(one.ends_at, now)
    return Release(at, one.number, str(one.job), one.places, cpus, one.user, one.cpus, one.licences)
