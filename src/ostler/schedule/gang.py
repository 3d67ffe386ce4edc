"""Time slices: allocations that want the same CPUs take turns, each on all of its nodes at once.

The allocations that run together in a slice are a row of Ousterhout's matrix; rows are formed anew
at each slice end: who has not run for longest comes first, and all who fit beside it run with it.
A higher priority always comes before a lower one, which runs where the higher ones leave CPUs.
Sources: Ousterhout, "Scheduling Techniques for Concurrent Systems" (1982), for gangs; Quadrics RMS
for turns by slices since the last run.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import floor
from operator import attrgetter

from msgspec import Struct

Masks = Mapping[str, int]  # node -> CPUs as bits


class Sliced(Struct, frozen=True):
    """An allocation that takes turns."""

    alloc: int
    priority: int
    cpus: Masks
    running: bool
    ran_at: float  # Unix seconds until which it ran; of one that runs: now

    @property
    def order(self) -> tuple[int, float, bool, int]:
        """Return its place in the queue for CPUs."""
        return -self.priority, self.ran_at, False, self.alloc


class Newcomer(Struct, frozen=True):
    """A waiting job that would get CPUs which others use in other slices.

    place: given the CPUs of those that come first, where it would run, or None. It sees to it that
    memory, GPUs and named resources fit beside all allocations, for the suspended keep theirs.
    """

    job: int
    priority: int
    since: float  # Unix seconds of its submission
    place: Callable[[Masks], Masks | None]

    @property
    def order(self) -> tuple[int, float, bool, int]:
        """Return its place in the queue for CPUs: after an allocation that waits as long."""
        return -self.priority, self.since, True, self.job


class Turn(Struct, frozen=True):
    """Plan lines of a slice end, to be carried out in this order."""

    suspend: tuple[int, ...] = ()  # allocations
    resume: tuple[int, ...] = ()
    start: tuple[int, ...] = ()  # jobs, on CPUs that are free then


def slice_end(now: float, seconds: float) -> float:
    """Return when the slice ends in which we are: slices lie on multiples of their length."""
    return (floor(now / seconds) + 1) * seconds


def turn(
    allocations: Sequence[Sliced], newcomers: Iterable[Newcomer] = (), fixed: Masks | None = None
) -> Turn:
    """Return who runs in the next slice and did not, and who did and does not.

    fixed: CPUs of what takes no turns.
    """
    queue: list[Sliced | Newcomer] = sorted([*allocations, *newcomers], key=attrgetter("order"))
    taken: dict[str, int] = dict(fixed or {})
    row: set[int] = set()
    started = []
    for each in queue:
        cpus = each.cpus if isinstance(each, Sliced) else each.place(taken)
        if cpus is None or any(taken.get(node, 0) & mask for node, mask in cpus.items()):
            continue
        for node, mask in cpus.items():
            taken[node] = taken.get(node, 0) | mask
        if isinstance(each, Sliced):
            row.add(each.alloc)
        else:
            started.append(each.job)
    return Turn(
        tuple(a.alloc for a in allocations if a.running and a.alloc not in row),
        tuple(a.alloc for a in allocations if not a.running and a.alloc in row),
        tuple(started),
    )
