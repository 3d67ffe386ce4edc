"""What truly happened in a simulated machine, and what clients were told: the judge's own notes.

Nothing of the machine under test reads this. Whatever contradicts a rule is a `Broken` at once.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from ostler.model.allocation import Allocation
from ostler.model.ids import step_id
from ostler.model.job import Element, Job, JobSpec
from ostler.model.orders import Launch
from ostler.model.record import Write
from ostler.model.states import AllocationState, JobState


class Broken(AssertionError):
    """A rule that must always hold does not."""


class Late(Broken):
    """What must come about at some time has not, in all the time that there was."""


def job_of(launch: Launch) -> int:
    """Return the number of the job, or of the step, that a share is part of."""
    return launch.job if launch.step < 0 else step_id(launch.job, launch.step)


class Run(Struct, eq=False):
    """The tasks of one element on one node, as they truly ran."""

    node: str
    launch: Launch  # of the share that they are part of
    index: int
    attempt: int
    began: float
    frozen: bool = False
    ending: bool = False  # told to end while suspended: it runs for its last words
    ended: float | None = None
    succeeded: bool = False

    @property
    def element(self) -> tuple[int, int]:
        """Return the job and the number of the element."""
        return job_of(self.launch), self.index


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
        self.unproven: set[tuple[int, str]] = set()  # (job, node) of which proof was destroyed
        self.suspended: set[int] = set()  # allocations that gave up their CPUs at some time
        self.refused_orders = 0  # of stale managers
        self.caps: dict[int, int] = {}  # job -> most elements at once that it ever asked for
        self.to_freeze: set[tuple[str, int]] = set()  # (node, allocation): its starter is told soon
        self._durable: dict[int, Allocation] = {}  # in the database, not released
        self._over: set[tuple[int, int]] = set()  # elements that have ended, by the database
        self._done: set[int] = set()  # jobs that have

    # -- what clients know -----------------------------------------------------------------

    def promise(self, uid: int, request_id: str, job: int, spec: JobSpec) -> None:
        """A client was told that its job is queued."""
        known = self.requests.setdefault((uid, request_id), set())
        known.add(job)
        if len(known) > 1:
            raise Broken(f"request {request_id} of user {uid} became jobs {sorted(known)}")
        self.promised[job] = spec
        self.cap_asked(job, spec.array_cap)

    def cap_asked(self, job: int, cap: int) -> None:
        """Somebody asks for so many elements at once; 0: any number."""
        known = self.caps.get(job, cap)
        self.caps[job] = max(known, cap) if known and cap else 0

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

    # -- what is durable -------------------------------------------------------------------

    def committed(self, writes: Sequence[Write]) -> None:
        """These rows are in the database."""
        for write in writes:
            match write:
                case Allocation() if write.state is AllocationState.RELEASED:
                    self._durable.pop(write.id, None)
                case Allocation():
                    self._durable[write.id] = write
                case Element() if write.state is JobState.DONE:
                    self._over.add((write.job, write.index))
                case Element():
                    self._over.discard((write.job, write.index))
                case Job() if write.state is JobState.DONE:
                    self._done.add(write.id)
                case Job():
                    self._done.discard(write.id)

    # -- what runs -------------------------------------------------------------------------

    def begin(self, node: str, launch: Launch, index: int, attempt: int, now: float) -> Run:
        """Tasks of an element begin to run."""
        run = Run(node, launch, index, attempt, now)
        earlier = self.runs.setdefault(run.element, [])
        for other in earlier:
            self._check_again(run, other)
        self._check_cpus(run)
        if not self.fenced.get(node):
            self._check_grant(run)
            self._check_cap(run)
        earlier.append(run)
        self.active.setdefault(node, []).append(run)
        return run

    def _check_again(self, run: Run, other: Run) -> None:
        job, index = run.element
        name = f"element {job}_{index}"
        if (other.launch.alloc, other.attempt) == (run.launch.alloc, run.attempt):
            if other.node == run.node:
                raise Broken(f"{name} was started twice on {run.node} in one allocation")
            return
        sworn = self.fenced.get(other.node) or self.fenced.get(run.node)
        if other.ended is None and not sworn:
            raise Broken(f"{name} starts on {run.node} while it runs on {other.node}")
        spec = self.promised.get(job)
        may = job in self.requeues_asked or (spec is not None and (spec.requeue or spec.retries))
        if spec is not None and not may:
            raise Broken(f"{name} runs again on {run.node}, which nobody allowed")

    def _check_grant(self, run: Run) -> None:
        """Hold the start against the database: what is not durable there must not be obeyed."""
        job, index = run.element
        alloc = self._durable.get(run.launch.alloc)
        if run.element in self._over or job in self._done:
            raise Broken(f"element {job}_{index} starts on {run.node}, and has ended")
        if alloc is None:
            raise Broken(f"element {job}_{index} starts in allocation {run.launch.alloc} of nobody")
        if alloc.slot and not any(low <= index <= high for low, high in alloc.chunk):
            raise Broken(f"element {job}_{index} starts in slot {alloc.id}, which does not have it")

    def _check_cap(self, run: Run) -> None:
        job, _ = run.element
        if cap := self.caps.get(job, 0):
            active = [r for n, runs in self.active.items() if not self.fenced.get(n) for r in runs]
            others = {r.element for r in active if r.launch.job == job} - {run.element}
            if len(others) >= cap:
                raise Broken(f"job {job} runs {len(others) + 1} elements at once, and may {cap}")

    def _check_cpus(self, run: Run) -> None:
        mine = set(run.launch.placement.cpus)
        for other in self.active.get(run.node, ()):
            both = mine.intersection(other.launch.placement.cpus)
            soon = (run.node, other.launch.alloc) in self.to_freeze
            loose = other.frozen or other.ending or soon
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
