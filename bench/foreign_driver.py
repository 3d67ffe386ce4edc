"""A resource manager for the bench: so many nodes, and answers that take as long as it is told."""

import time
from collections.abc import Mapping

from ostler.model.foreign import (
    About,
    Did,
    End,
    ForeignJob,
    ForeignNode,
    ForeignState,
    Jobs,
    Nodes,
    NodeState,
    Option,
    Outcome,
    Start,
)

ONE_NODE = 0.001  # seconds of a call for one node
UP = NodeState.UP


class Slow:
    """Tells all its nodes at once."""

    about = About("slow", "a resource manager of the bench")

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._count = int(settings["count"])
        self._seconds = float(settings.get("seconds", "0"))  # that each query takes

    def list_nodes(self) -> Nodes:
        """Return all nodes, idle."""
        time.sleep(self._seconds)
        return Nodes(tuple(ForeignNode(f"n{n}", UP, 8) for n in range(self._count)))

    def list_jobs(self) -> Jobs:
        """Return that there is none."""
        time.sleep(self._seconds)
        return Jobs(())

    def start(self, order: Start) -> Outcome:
        """Refuse: nothing is run here."""
        return Outcome(Did.NEVER, text=f"{order.token} is not run by a bench")

    def cancel(self, job: str, token: str) -> Outcome:
        """Return that it is over."""
        return Outcome(Did.ALREADY, job, text=token)


class Busy(Slow):
    """Lists jobs that wait there: the same each time, or all others, those before having ended."""

    about = About("busy", "a resource manager of the bench", frozenset({Option.SCHEDULES}))

    def __init__(self, settings: Mapping[str, str]) -> None:
        super().__init__(settings)
        self._jobs, self._others = int(settings["jobs"]), "others" in settings
        self._loads = 0

    def list_jobs(self) -> Jobs:
        """Return all jobs."""
        before, count = self._loads * self._jobs * self._others, self._jobs
        self._loads += 1
        over = range(before - count, before) if before else range(0)
        return Jobs(
            tuple(waiting(before + n) for n in range(count)),
            tuple(End(f"j{n}", "success", "a bench says so", user="ann") for n in over),
        )


def waiting(number: int, reason: str = "Priority") -> ForeignJob:
    """Return a job that waits."""
    user = ("ann", "bob", "eve")[number % 3]
    return ForeignJob(f"j{number}", ForeignState.IDLE, user, reason=reason, time_limit=3_600)


class OneByOne(Slow):
    """Names its nodes, and tells of each when it is asked."""

    about = About("one-by-one", "a resource manager of the bench", frozenset({Option.NODE}))

    def node(self, name: str) -> ForeignNode:
        """Return one node after a while."""
        time.sleep(ONE_NODE)
        return ForeignNode(name, UP, 8)
