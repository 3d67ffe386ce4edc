"""What a job asks for, what a node has, and what was given."""

from typing import Annotated

from msgspec import Meta, Struct

from ostler.model.bounded import Amount, Count, Name
from ostler.model.limits import MAX_FEATURES


class Request(Struct, frozen=True, omit_defaults=True):
    """What one job or one array element needs. CPUs, memory and GPUs are for each task."""

    tasks: int = 1
    cpus: int = 1  # of a job never 0: so a node that is taken as a whole has room for none
    memory: int = 0  # bytes; 0: no limit, counts nothing
    gpus: int = 0
    generic: dict[str, int] = {}
    nodes: int = 0  # exactly so many nodes; 0: as few as it takes
    nodelist: tuple[str, ...] = ()  # only these
    exclude: tuple[str, ...] = ()  # none of these
    tasks_per_node: int = 0  # at most so many tasks on one node; 0: as many as fit
    constraint: str = ""  # on features of its nodes, in the form of `Constraint.text`; empty: none
    exclusive: bool = False  # nodes without anything else, of which it gets everything
    spread: bool = False  # over as many nodes as there can be, not as few
    licences: dict[str, int] = {}  # of the machine, for the job or element as a whole
    reservation: str = ""  # runs in this one; empty: in none

    @property
    def shape(self) -> tuple[object, ...]:
        """Return a key that requests have in common which fit in the same places."""
        generic = tuple(sorted(self.generic.items())) if self.generic else ()
        licences = tuple(sorted(self.licences.items())) if self.licences else ()
        return (
            self.tasks,
            self.cpus,
            self.memory,
            self.gpus,
            self.nodes,
            generic,
            self.nodelist,
            self.exclude,
            self.tasks_per_node,
            self.constraint,
            self.exclusive,
            self.spread,
            licences,
            self.reservation,
        )


class NodeFacts(Struct, frozen=True, omit_defaults=True):
    """What a node has to give. CPUs and GPUs are named by number."""

    cpus: tuple[Count, ...] = ()
    memory: Count = 0  # bytes
    gpus: tuple[Count, ...] = ()
    generic: dict[Name, Count] = {}
    declared: bool = False  # sizes were given, not probed
    features: Annotated[tuple[Name, ...], Meta(max_length=MAX_FEATURES)] = ()
    until: Amount = 0.0  # Unix seconds at which the node ends, and all that runs there; 0: never


class Placement(Struct, frozen=True, omit_defaults=True):
    """The share of one allocation on one node."""

    node: str
    tasks: int = 1
    first_rank: int = 0
    # tasks * request.cpus of them, or all of the node's; task i has the i-th of equal runs of them
    cpus: tuple[int, ...] = ()
    memory: int = 0  # bytes, all tasks together
    gpus: tuple[int, ...] = ()
    generic: dict[str, int] = {}
