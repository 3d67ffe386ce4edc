"""A resource manager that WIKI tells of: nodes, and jobs that take their time by a clock.

No I/O here. It starts nothing by itself: whoever speaks WIKI to it schedules its jobs.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ostler.wire.wiki import BAD_REQUEST, NO_JOB, NOT_STARTED
from ostler.wire.wiki_records import ENDED, Job, Node, format_job, format_node
from ostler.wire.wiki_words import (
    CancelJob,
    GetJobs,
    GetNodes,
    Reply,
    Request,
    ResumeJob,
    StartJob,
    SuspendJob,
)

GIB = 1 << 30


@dataclass(slots=True)
class SimNode:
    """A node: how much it has, and the word that says whether it takes work."""

    cpus: int
    state: str = ""  # empty: Idle, Running or Busy, as its jobs make it
    memory: int = 8 * GIB
    features: tuple[str, ...] = ()


@dataclass(slots=True)
class SimJob:
    """A job, and how long it will run."""

    id: str
    seconds: float
    user: str = "ann"
    tasks: int = 1
    cpus: int = 1  # for each task
    time_limit: int = 3_600
    submitted_at: float = 0.0
    state: str = "Idle"
    nodes: tuple[str, ...] = ()  # one for each task
    started_at: float = 0.0
    ended_at: float = 0.0
    left: float = 0.0  # seconds of it, while it is suspended
    starts: int = 0  # how often it was started: more than once is somebody's fault
    hosts: tuple[str, ...] = ()  # it wants only these


@dataclass(slots=True)
class WikiRm:
    """The resource manager's state, and its answer to each request.

    kept: seconds for which an ended job is still listed.
    """

    clock: Callable[[], float]
    nodes: dict[str, SimNode]
    jobs: dict[str, SimJob] = field(default_factory=dict)
    kept: float = 300.0

    def add(self, job: SimJob) -> SimJob:
        """Take a job in, as one of its users would submit it."""
        job.submitted_at = job.submitted_at or self.clock()
        self.jobs[job.id] = job
        return job

    def run(self, job: SimJob, *nodes: str) -> SimJob:
        """Have a job run that nobody asked it to start."""
        self._begin(self.add(job), nodes)
        return job

    def rename(self, node: str, name: str) -> None:
        """Call a node by another name; its jobs go on under that one."""
        self.nodes[name] = self.nodes.pop(node)
        for job in self.jobs.values():
            job.nodes = tuple(name if n == node else n for n in job.nodes)

    def answer(self, request: Request) -> Reply:
        """Do what is asked, and say what became of it."""
        self._advance()
        match request:
            case GetNodes(_, names):
                busy = self._busy()
                told = [n for n in self.nodes if not names or n in names]
                return Reply(0, "", tuple(format_node(self._node(n, busy)) for n in told))
            case GetJobs(_, names):
                if len(names) == 1 and names[0] not in self.jobs:
                    return Reply(NO_JOB, f"no job {names[0]}")
                jobs = [j for j in self.jobs.values() if not names or j.id in names]
                return Reply(0, "", tuple(format_job(_job(j)) for j in jobs))
            case _:
                job = self.jobs.get(request.job)
                if job is None:
                    return Reply(NO_JOB, f"no job {request.job}")
                return self._act(job, request)

    def _act(self, job: SimJob, request: StartJob | CancelJob | SuspendJob | ResumeJob) -> Reply:
        match request:
            case StartJob(_, tasks):
                return self._start(job, tasks)
            case CancelJob():
                if job.state in ENDED:
                    return Reply(NO_JOB, f"job {job.id} has ended")
                job.state, job.ended_at = "Removed", self.clock()
            case SuspendJob() if job.state == "Running":
                job.left = job.started_at + job.seconds - self.clock()
                job.state = "Suspended"
            case ResumeJob() if job.state == "Suspended":
                job.seconds = self.clock() + job.left - job.started_at
                job.state = "Running"
            case _:
                return Reply(BAD_REQUEST, f"job {job.id} is {job.state}")
        return Reply(0, f"job {job.id} is {job.state}")

    def _start(self, job: SimJob, tasks: tuple[str, ...]) -> Reply:
        if job.state != "Idle":
            return Reply(NO_JOB, f"job {job.id} is {job.state}, not Idle")
        if len(tasks) != job.tasks:
            return Reply(BAD_REQUEST, f"job {job.id} has {job.tasks} tasks, not {len(tasks)}")
        busy = self._busy()
        for name, count in Counter(tasks).items():
            node = self.nodes.get(name)
            if node is None:
                return Reply(BAD_REQUEST, f"there is no node {name}")
            if node.state:
                return Reply(NOT_STARTED, f"node {name} is {node.state}")
            if busy[name] + count * job.cpus > node.cpus:
                return Reply(NOT_STARTED, f"node {name} has {node.cpus - busy[name]} CPUs free")
        self._begin(job, tasks)
        return Reply(0, f"job {job.id} started")

    def _begin(self, job: SimJob, tasks: tuple[str, ...]) -> None:
        job.state, job.nodes, job.started_at = "Running", tasks, self.clock()
        job.starts += 1

    def _advance(self) -> None:
        """Let time do its work: what has run long enough ends, what ended long ago is forgotten."""
        now = self.clock()
        for job in list(self.jobs.values()):
            over = job.started_at + job.seconds
            if job.state == "Running" and now >= over:
                job.state, job.ended_at = "Completed", over
            if job.state in ENDED and now - job.ended_at > self.kept:
                del self.jobs[job.id]

    def _busy(self) -> Counter[str]:
        busy: Counter[str] = Counter()
        for job in self.jobs.values():
            if job.state in {"Running", "Suspended"}:
                for name in job.nodes:
                    busy[name] += job.cpus
        return busy

    def _node(self, name: str, busy: Counter[str]) -> Node:
        node = self.nodes[name]
        free = max(0, node.cpus - busy[name])
        word = "Idle" if free == node.cpus else "Running" if free else "Busy"
        return Node(
            name,
            node.state or word,
            cpus=node.cpus,
            free_cpus=free,
            memory=node.memory,
            features=node.features,
            updated=int(self.clock()),
        )


def _job(job: SimJob) -> Job:
    return Job(
        id=job.id,
        state=job.state,
        user=job.user,
        group=job.user,
        tasks=job.tasks,
        time_limit=job.time_limit,
        submitted_at=int(job.submitted_at),
        started_at=int(job.started_at),
        ended_at=int(job.ended_at),
        task_list=job.nodes,
        host_list=job.hosts,
        cpus=job.cpus,
    )
