"""What truly happened in a simulated machine, and what clients were told: the judge's own notes.

Nothing of the machine under test reads this. Whatever contradicts a rule is a `Broken` at once.
"""

from collections.abc import Iterable

from msgspec import Struct

from ostler.model.job import JobSpec
from ostler.model.orders import Launch


class Broken(AssertionError):
    """A rule that must always hold does not."""


class Run(Struct, eq=False):
    """The tasks of one share on one node, as they truly ran."""

    node: str
    launch: Launch
    began: float
    frozen: bool = False
    ending: bool = False  # told to end while suspended: it runs for its last words
    ended: float | None = None
    succeeded: bool = False

    @property
    def element(self) -> tuple[int, int]:
        """Return the job and the number of the element."""
        return self.launch.job, self.launch.element


class Ledger:
    """Runs by element, CPUs in use, and what clients know."""

    def __init__(self) -> None:
        self.runs: dict[tuple[int, int], list[Run]] = {}
        self.active: dict[str, list[Run]] = {}  # node -> what runs there
        self.promised: dict[int, JobSpec] = {}  # what clients were told is queued
        self.requests: dict[tuple[int, str], set[int]] = {}  # (uid, request id) -> jobs told of it
        self.requeues_asked: dict[int, int] = {}  # job -> how often somebody asked for a requeue
        self.requeues_open: dict[int, int] = {}  # job -> how many of them are not yet answered
        self.cancelled: dict[int, float] = {}  # jobs that clients know to be cancelled, since
        self.crashed: dict[str, list[float]] = {}  # node -> when its host went down
        self.fenced: dict[str, list[float]] = {}  # node -> when somebody swore that it is dead
        self.suspended: set[int] = set()  # allocations that gave up their CPUs at some time
        self.refused_orders = 0  # of stale managers

    # -- what clients know -----------------------------------------------------------------

    def promise(self, uid: int, request_id: str, job: int, spec: JobSpec) -> None:
        """A client was told that its job is queued."""
        known = self.requests.setdefault((uid, request_id), set())
        known.add(job)
        if len(known) > 1:
            raise Broken(f"request {request_id} of user {uid} became jobs {sorted(known)}")
        self.promised[job] = spec

    def requeue_asked(self, jobs: Iterable[int]) -> None:
        """Somebody asks that these run again."""
        for job in jobs:
            self.requeues_asked[job] = self.requeues_asked.get(job, 0) + 1
            self.requeues_open[job] = self.requeues_open.get(job, 0) + 1
            self.cancelled.pop(job, None)

    def requeue_answered(self, jobs: Iterable[int]) -> None:
        """And was answered."""
        for job in jobs:
            self.requeues_open[job] -= 1

    def granted(self, job: int, alloc: int) -> None:
        """The machine gives an element of a job resources."""
        if job in self.cancelled:
            raise Broken(f"job {job} is given allocation {alloc} after its cancel was acknowledged")

    # -- what runs -------------------------------------------------------------------------

    def begin(self, node: str, launch: Launch, now: float) -> Run:
        """Tasks of a share begin to run."""
        run = Run(node, launch, now)
        earlier = self.runs.setdefault(run.element, [])
        for other in earlier:
            self._check_again(run, other)
        self._check_cpus(run)
        earlier.append(run)
        self.active.setdefault(node, []).append(run)
        return run

    def _check_again(self, run: Run, other: Run) -> None:
        job, element = run.element
        name = f"element {job}_{element}"
        if other.launch.alloc == run.launch.alloc:
            if other.node == run.node:
                raise Broken(f"{name} was started twice on {run.node} in one allocation")
            return
        if other.ended is None and not self.fenced.get(other.node):
            raise Broken(f"{name} starts on {run.node} while it runs on {other.node}")
        spec = self.promised.get(job)
        may = job in self.requeues_asked or (spec is not None and (spec.requeue or spec.retries))
        if spec is not None and not may:
            raise Broken(f"{name} runs again on {run.node}, which nobody allowed")

    def _check_cpus(self, run: Run) -> None:
        mine = set(run.launch.placement.cpus)
        for other in self.active.get(run.node, ()):
            both = mine.intersection(other.launch.placement.cpus)
            loose = other.frozen or other.ending
            if both and other is not run and not loose:
                raise Broken(
                    f"CPU {min(both)} of {run.node} runs allocations {other.launch.alloc} "
                    f"and {run.launch.alloc} at once"
                )

    def thaw(self, run: Run) -> None:
        """Frozen tasks go on."""
        if run.frozen:
            run.frozen = False
            if not run.ending:
                self._check_cpus(run)

    def end(self, run: Run, now: float, *, succeeded: bool) -> None:
        """Nothing of the share is left on its node."""
        run.ended, run.succeeded = now, succeeded
        self.active[run.node].remove(run)

    def crash(self, node: str, now: float) -> None:
        """The node's host goes down with everything on it."""
        self.crashed.setdefault(node, []).append(now)
        for run in list(self.active.get(node, ())):
            self.end(run, now, succeeded=False)
