"""What a plan has started and nobody has told of yet."""

from copy import copy

from ostler.model.resources import Placement
from ostler.schedule.snapshot import WaitingView


class Assumed:
    """An element that a plan has started and nobody has told of yet."""

    __slots__ = ("cpus", "ends_at", "job", "licences", "number", "places", "user")

    def __init__(
        self, number: int, entry: WaitingView, places: tuple[Placement, ...], ends_at: float
    ) -> None:
        self.number = number  # of the hold; below zero
        self.job = entry.job
        self.user = entry.user
        self.licences = entry.request.licences
        self.places = places
        self.ends_at = ends_at
        self.cpus = sum(len(place.cpus) for place in places)

    def over(self) -> "Assumed":
        """Return it as it is once it has ended: it holds nothing."""
        other = copy(self)
        other.cpus, other.licences = 0, {}
        return other


def started(job: int, places: tuple[Placement, ...]) -> object:
    """Return what tells an element that was started from all others."""
    return job, *((place.node, place.first_rank, place.cpus) for place in places)
