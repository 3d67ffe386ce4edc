"""An allocation: the CPUs, memory and nodes granted to one element of one job for a time."""

from msgspec import Struct

from ostler.model.ids import AllocationId, JobId
from ostler.model.job import TaskExit, Usage
from ostler.model.resources import Placement
from ostler.model.states import AllocationState


class Allocation(Struct, frozen=True):
    """Granted resources and how far the nodes have come with them."""

    id: AllocationId
    job: JobId
    element: int
    attempt: int
    placements: tuple[Placement, ...]
    granted_at: float
    epoch: int
    state: AllocationState = AllocationState.GRANTED
    made: frozenset[str] = frozenset()  # nodes that hold the context
    started: bool = False  # some task may have run: it can no longer be undone silently
    started_at: float | None = None
    freed: frozenset[str] = frozenset()  # nodes on which nothing of it is left
    cause: str = ""  # why it was ordered to end: a Result or `requeue`; empty: it was not
    why: str = ""  # the sentence that goes with the cause
    time_limit: int = 0  # seconds; 0: none
    suspended_at: float | None = None
    suspended: float = 0.0  # seconds so far
    resuming: bool = False  # its owner wants it to go on as soon as its CPUs are free
    tasks: tuple[TaskExit, ...] = ()  # of the nodes that are freed
    usage: Usage = Usage()  # of the nodes that are freed
    end_cause: str = ""  # what ended it, as a node told; empty: its tasks ended by themselves
    end_why: str = ""  # the sentence that goes with it, or why a node could not start it

    @property
    def nodes(self) -> frozenset[str]:
        """Return the names of its nodes."""
        return frozenset(p.node for p in self.placements)
