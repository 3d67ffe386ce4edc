"""What a job asks for, what a node has, and what was given."""

from msgspec import Struct

from ostler.model.bounded import Count, Name


class Request(Struct, frozen=True, omit_defaults=True):
    """What one job or one array element needs. CPUs, memory and GPUs are for each task."""

    tasks: int = 1
    cpus: int = 1
    memory: int = 0  # bytes; 0: no limit, counts nothing
    gpus: int = 0
    generic: dict[str, int] = {}
    nodes: int = 0  # exactly so many nodes; 0: as few as it takes
    nodelist: tuple[str, ...] = ()  # only these
    exclude: tuple[str, ...] = ()  # none of these
    tasks_per_node: int = 0  # at most so many tasks on one node; 0: as many as fit

    @property
    def shape(self) -> tuple[object, ...]:
        """Return a key that requests have in common which fit in the same places."""
        generic = tuple(sorted(self.generic.items())) if self.generic else ()
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
        )


class NodeFacts(Struct, frozen=True, omit_defaults=True):
    """What a node has to give. CPUs and GPUs are named by number."""

    cpus: tuple[Count, ...] = ()
    memory: Count = 0  # bytes
    gpus: tuple[Count, ...] = ()
    generic: dict[Name, Count] = {}
    declared: bool = False  # sizes were given, not probed
    features: tuple[Name, ...] = ()


class Placement(Struct, frozen=True, omit_defaults=True):
    """The share of one allocation on one node."""

    node: str
    tasks: int = 1
    first_rank: int = 0
    cpus: tuple[int, ...] = ()  # tasks * request.cpus of them; task i has the i-th run of them
    memory: int = 0  # bytes, all tasks together
    gpus: tuple[int, ...] = ()
    generic: dict[str, int] = {}
