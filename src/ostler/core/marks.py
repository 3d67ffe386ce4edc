"""What has changed since a scheduler was told last. Marking is a set's `add`: it is done all the time."""

from heapq import heappop, heappush


class Marks:
    """Names of what the next delta must tell of, and when time alone adds to them.

    Whoever changes something that a scheduler sees marks it; how it is then is looked up when the
    delta is made, once for all its changes. To mark too much does no harm.
    """

    __slots__ = (
        "_due", "_due_at", "allocations", "everything", "jobs", "nodes", "number", "resuming", "rules",
        "standings", "turned",
    )  # fmt: skip

    def __init__(self) -> None:
        self.number = 0  # of the last delta
        self.everything = True  # nobody has been told anything
        self.nodes: set[str] = set()
        self.allocations: set[int] = set()
        self.jobs: set[int] = set()
        self.resuming = False  # the list of those that are to go on
        self.rules = False
        self.standings = False  # how all stand by their share
        self.turned = False  # when time slices ended
        self._due: list[tuple[float, int]] = []
        self._due_at: dict[int, float] = {}

    def __bool__(self) -> bool:
        """Say whether there is anything to tell, time aside."""
        listed = self.nodes or self.allocations or self.jobs
        other = self.resuming or self.rules or self.standings or self.turned or self.everything
        return bool(listed or other)

    def later(self, job: int, at: float | None) -> None:
        """Mark a job when that time has come, and not when it was said before; None: not at all."""
        if at is None:
            self._due_at.pop(job, None)
        elif self._due_at.get(job) != at:
            self._due_at[job] = at
            heappush(self._due, (at, job))

    def due(self, now: float) -> bool:
        """Mark the jobs whose time has come; say whether there is anything to tell."""
        while self._due and self._due[0][0] <= now:
            at, job = heappop(self._due)
            if self._due_at.get(job) == at:
                del self._due_at[job]
                self.jobs.add(job)
        return bool(self)
