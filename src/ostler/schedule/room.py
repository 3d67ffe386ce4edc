"""What is free on one node. CPUs and GPUs are bits of a number: sets of them cost one operation."""

from collections.abc import Mapping
from functools import lru_cache

from ostler.model.limits import MAX_CPUS
from ostler.model.resources import NodeFacts, Placement, Request


@lru_cache(maxsize=16_384)
def mask_of(numbers: tuple[int, ...]) -> int:
    """Return the numbers as bits; what cannot be a CPU or GPU is left out.

    >>> mask_of((0, 2))
    5
    """
    return sum(1 << number for number in set(numbers) if 0 <= number < MAX_CPUS)


def numbers_of(mask: int) -> tuple[int, ...]:
    """Return the bits as numbers, lowest first.

    >>> numbers_of(5)
    (0, 2)
    """
    found = []
    while mask:
        bit = mask & -mask
        found.append(bit.bit_length() - 1)
        mask ^= bit
    return tuple(found)


def lowest(mask: int, count: int) -> int:
    """Return the lowest `count` bits of the mask; all of them if there are no more."""
    if mask.bit_count() <= count:
        return mask
    taken = 0
    for _ in range(count):
        bit = mask & -mask
        taken |= bit
        mask ^= bit
    return taken


def prefer(mask: int, keep: int, count: int) -> int:
    """Return `count` bits of the mask, those outside `keep` first, then the lowest."""
    taken = lowest(mask & ~keep, count)
    missing = count - taken.bit_count()
    return taken | lowest(mask & keep, missing) if missing > 0 else taken


class Room:
    """Free resources of one node; the mapping of generic ones is replaced, never changed."""

    __slots__ = ("cpus", "features", "generic", "gpus", "memory", "node", "users")

    def __init__(
        self,
        node: str,
        cpus: int,
        memory: int,
        gpus: int,
        generic: Mapping[str, int],
        features: tuple[str, ...] = (),
        users: int = 0,
    ) -> None:
        self.node = node
        self.cpus = cpus
        self.memory = memory
        self.gpus = gpus
        self.generic = generic
        self.features = features
        self.users = users  # allocations that have anything here, suspended ones too

    @classmethod
    def whole(cls, node: str, facts: NodeFacts) -> "Room":
        """Return the node as if nothing ran on it."""
        cpus, gpus = mask_of(facts.cpus), mask_of(facts.gpus)
        return cls(node, cpus, facts.memory, gpus, facts.generic, facts.features)

    def copy(self) -> "Room":
        """Return another that may be changed on its own."""
        return Room(
            self.node, self.cpus, self.memory, self.gpus, self.generic, self.features, self.users
        )

    def both(self, other: "Room") -> "Room":
        """Return what is free here and in the other."""
        generic = {k: min(n, other.generic.get(k, 0)) for k, n in self.generic.items()}
        memory = min(self.memory, other.memory)
        cpus, gpus = self.cpus & other.cpus, self.gpus & other.gpus
        users = max(self.users, other.users)
        return Room(self.node, cpus, memory, gpus, generic, self.features, users)

    def give(self, cpus: int, place: Placement) -> None:
        """Add what an allocation held; its CPUs are given apart, some may be promised on."""
        self.cpus |= cpus
        self.gpus |= mask_of(place.gpus)
        self.memory += place.memory
        self.users -= 1
        if place.generic:
            more = place.generic
            names = {**self.generic, **more}
            self.generic = {k: self.generic.get(k, 0) + more.get(k, 0) for k in names}

    def remove(self, place: Placement) -> None:
        """Take away what the placement names."""
        self.cpus &= ~mask_of(place.cpus)
        self.gpus &= ~mask_of(place.gpus)
        self.memory -= place.memory
        self.users += 1
        if place.generic:
            less = place.generic
            self.generic = {k: n - less.get(k, 0) for k, n in self.generic.items()}

    def capacity(self, request: Request) -> int:
        """Return how many tasks of the request fit here; names and features are not looked at.

        A whole node that is asked for fits only where nothing else is.
        """
        if request.exclusive and self.users:
            return 0
        tasks = self.cpus.bit_count() // request.cpus if request.cpus else request.tasks
        if request.tasks_per_node:
            tasks = min(tasks, request.tasks_per_node)
        if tasks and request.memory:
            tasks = min(tasks, self.memory // request.memory)
        if tasks and request.gpus:
            tasks = min(tasks, self.gpus.bit_count() // request.gpus)
        if tasks and request.generic:
            for name, count in request.generic.items():
                if count:
                    tasks = min(tasks, self.generic.get(name, 0) // count)
        return max(tasks, 0)

    def place(
        self, request: Request, tasks: int, first_rank: int, keep: "Room | None" = None
    ) -> Placement:
        """Return the share of `tasks` tasks here; they fit. Nothing is taken.

        A whole node's is all that it has.

        keep: CPUs and GPUs to be left alone while others will do.
        """
        if request.exclusive:
            return Placement(
                node=self.node,
                tasks=tasks,
                first_rank=first_rank,
                cpus=numbers_of(self.cpus),
                memory=self.memory,
                gpus=numbers_of(self.gpus),
                generic={name: count for name, count in self.generic.items() if count},
            )
        kept_cpus, kept_gpus = (keep.cpus, keep.gpus) if keep else (0, 0)
        return Placement(
            node=self.node,
            tasks=tasks,
            first_rank=first_rank,
            cpus=numbers_of(prefer(self.cpus, kept_cpus, tasks * request.cpus)),
            memory=tasks * request.memory,
            gpus=numbers_of(prefer(self.gpus, kept_gpus, tasks * request.gpus)),
            generic={name: tasks * count for name, count in request.generic.items() if count},
        )
