"""An allocation: the CPUs, memory and nodes granted to a job for a time.

It serves one element; or, as a slot of an array on one node, a chunk of them one after the other.
"""

from msgspec import Struct

from ostler.model.ids import AllocationId, JobId
from ostler.model.job import TaskExit, Usage
from ostler.model.orders import Spans
from ostler.model.resources import Placement
from ostler.model.states import AllocationState, Suspender


class Allocation(Struct, frozen=True):
    """Granted resources and how far the nodes have come with them."""

    id: AllocationId
    job: JobId
    element: int  # of a slot: its first
    attempt: int  # of that element
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
    suspended_by: Suspender | None = None
    suspended: float = 0.0  # seconds so far
    resuming: bool = False  # it is to go on as soon as its CPUs are free
    gave_way_to: int = 0  # the job for which a scheduler suspended or ended it; 0: for none
    tasks: tuple[TaskExit, ...] = ()  # of the nodes that are freed
    usage: Usage = Usage()  # of the nodes that are freed
    end_cause: str = ""  # what ended it, as a node told; empty: its tasks ended by themselves
    end_why: str = ""  # the sentence that goes with it, or why a node could not start it
    slot: bool = False  # it runs elements of an array one after the other
    chunk: Spans = ()  # of a slot: elements handed to it and not known to have ended
    heard: int = 0  # of a slot: highest serial of its `Progress` that was taken in
    running: int = -1  # of a slot: the element that runs, as last told; -1: none is known to
    since: float = 0.0  # since when, Unix seconds
    leaving: frozenset[str] = frozenset()  # nodes whose tasks are asked to end, to be given back
    left: tuple[Placement, ...] = ()  # what was given back while the rest went on
    dropped: int = 0  # tasks that nobody asks any more how they ended
    resized: int = 0  # how often its nodes have changed

    @property
    def nodes(self) -> frozenset[str]:
        """Return the names of its nodes."""
        return frozenset(p.node for p in self.placements)

    @property
    def ranks(self) -> int:
        """Return how many tasks it ever had: the next one's rank. None is used twice."""
        return max(p.first_rank + p.tasks for p in (*self.placements, *self.left))

    @property
    def queued(self) -> int:
        """Return how many elements of a slot are behind the one that runs."""
        return max(0, sum(b - a + 1 for a, b in self.chunk) - 1) if self.slot else 0
