"""A resource manager that does what a test says, in virtual time, and lies when it is told to."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from ostler.core.effects import Call
from ostler.core.events import RmAnswered, RmLoaded, RmTrouble
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
    Share,
)

FOUR = frozenset({Option.SUBMIT, Option.MANY_NODES})  # the four verbs, and jobs of its own making


class ScriptedRm:
    """Nodes and jobs of one resource manager. What it is asked is kept in `calls`."""

    def __init__(
        self,
        name: str,
        nodes: Iterable[str] = (),
        *,
        cpus: int = 4,
        options: frozenset[Option] = FOUR,
    ) -> None:
        """Begin with these nodes, all up, and no jobs."""
        self.name = name
        self.about = About(name, f"the scripted {name}", options)
        self.nodes = {each: ForeignNode(each, NodeState.UP, cpus, 8 << 30) for each in nodes}
        self.jobs: dict[str, ForeignJob] = {}
        self.ends: dict[str, End] = {}
        self.calls: list[Call] = []
        self.complete = True  # what it says of its lists
        self.tells_use = True  # of nodes: the CPUs in use
        self.starts_at_once = True  # what it was asked to start runs when it answers
        self.answer: Callable[[Call], Outcome | None] | None = None  # instead of doing anything
        self.lost = 0  # so many of the next answers do not arrive
        self._next = 1

    # -- what it is asked ------------------------------------------------------------------

    def take(self, now: float, call: Call) -> RmAnswered | RmTrouble:
        """Carry out a call; return what arrives of its answer."""
        self.calls.append(call)
        outcome = self.answer(call) if self.answer else None
        if outcome is None:
            outcome = self._do(now, call)
        if self.lost:
            self.lost -= 1
            return RmTrouble(self.name, "hung", "it did not answer", now, (call.call,))
        return RmAnswered(self.name, call.call, outcome)

    def _do(self, now: float, call: Call) -> Outcome:
        job = next(
            (j for j in self.jobs.values() if call.job in ("", j.id) and self._is(j, call)), None
        )
        if call.verb == "start":
            return self._start(now, call, job)
        if job is None:
            return Outcome(
                Did.ALREADY if call.verb == "cancel" else Did.REFUSED, text="no such job"
            )
        match call.verb:
            case "cancel":
                self.end(job.id, now, "cancelled")
            case "suspend":
                self.put(replace(job, state=ForeignState.SUSPENDED))
            case "resume":
                self.put(replace(job, state=ForeignState.RUNNING))
            case "modify":
                self.put(replace(job, time_limit=call.time_limit))
        return Outcome(Did.DONE, job.id)

    def _is(self, job: ForeignJob, call: Call) -> bool:
        return bool(call.job) or job.token == call.token

    def _start(self, now: float, call: Call, job: ForeignJob | None) -> Outcome:
        order = call.start
        if order is None:
            return Outcome(Did.NEVER, text="there is nothing to start")
        if any(end.token == order.token for end in self.ends.values()):
            return Outcome(Did.DONE)
        known = next((j for j in self.jobs.values() if j.token == order.token), None)
        if known is not None:
            return Outcome(Did.DONE, known.id)
        for share in order.shares:
            node = self.nodes.get(share.node)
            if node is None or node.state is not NodeState.UP:
                return Outcome(Did.REFUSED, text=f"node {share.node} is not available")
            if self.used(share.node) + share.cpus > node.cpus:
                return Outcome(Did.REFUSED, text=f"node {share.node} is busy")
        if job is None:
            ident = order.id or str(self._next)
            self._next += 1
            job = ForeignJob(ident, ForeignState.IDLE, order.user, submitted_at=now)
            job = replace(job, tasks=sum(share.tasks for share in order.shares))
        self.put(replace(job, token=order.token, time_limit=order.time_limit))
        if self.starts_at_once:
            self.run(job.id, now, *order.shares)
        return Outcome(Did.DONE, job.id)

    # -- what happens there ----------------------------------------------------------------

    def put(self, job: ForeignJob) -> ForeignJob:
        """Have this job, or have it so."""
        self.jobs[job.id] = job
        return job

    def submit(self, ident: str, user: str = "ann", **parts: object) -> ForeignJob:
        """Let one of its own users submit a job."""
        state = ForeignState.IDLE
        return self.put(replace(ForeignJob(ident, state, user), **parts))

    def run(self, ident: str, now: float, *shares: Share) -> None:
        """Let a job run there."""
        job = self.jobs[ident]
        self.put(replace(job, state=ForeignState.RUNNING, shares=shares, started_at=now))

    def end(self, ident: str, now: float, result: str = "success", *, proof: bool = True) -> None:
        """Let a job end. proof: it can tell so."""
        job = self.jobs.pop(ident)
        if proof:
            status = {"success": 0, "failed": 1}.get(result)
            self.ends[ident] = End(
                *(ident, result, f"{self.name}: {result}", job.incarnation, job.token, job.user),
                exit_status=status,
                started_at=job.started_at,
                ended_at=now,
            )

    def used(self, node: str) -> int:
        """Return how many CPUs of a node its jobs use."""
        busy = (ForeignState.RUNNING, ForeignState.STARTING, ForeignState.ENDING)
        return sum(
            share.cpus
            for job in self.jobs.values()
            if job.state in busy
            for share in job.shares
            if share.node == node
        )

    # -- what it tells ---------------------------------------------------------------------

    def load(self, began: float) -> RmLoaded:
        """Return what a load tells."""
        nodes = tuple(
            replace(node, used_cpus=self.used(name) if self.tells_use else node.used_cpus)
            for name, node in self.nodes.items()
        )
        return RmLoaded(
            *(self.name, self.about, Nodes(nodes, self.complete)),
            Jobs(tuple(self.jobs.values()), tuple(self.ends.values()), self.complete),
            began,
            0.1,
        )

    def fail(self, began: float, why: str = "it does not answer") -> RmLoaded:
        """Return what comes when it does not answer."""
        return RmLoaded(self.name, self.about, None, None, began, 10.0, why)
