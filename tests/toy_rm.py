"""A resource manager in memory, a driver for it that does all there is, and a bench for both."""

import queue
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ostler.drivers.contract import Trouble
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
    Start,
)
from ostler.testing.conformance import Bench

T = TypeVar("T")


@dataclass
class ToyJob:
    """A job in the resource manager's own words."""

    id: str
    serial: int
    user: str
    token: str
    shares: tuple[Share, ...] = ()
    word: str = "queued"
    name: str = ""
    limit: int = 0
    end: str = ""  # how it ended: "exit 0", "killed"

    def takes(self, node: str) -> int:
        """Return its CPUs on a node."""
        return 0 if self.end else sum(share.cpus for share in self.shares if share.node == node)


@dataclass
class ToyRm:
    """Three nodes of four CPUs. Time passes by `tick` alone."""

    words: dict[str, str] = field(default_factory=lambda: dict.fromkeys(("n1", "n2", "n3"), "free"))
    jobs: dict[str, ToyJob] = field(default_factory=dict)
    begun: Counter[str] = field(default_factory=Counter)
    notes: dict[str, ToyJob] = field(default_factory=dict)  # by token, of what has ended
    told: queue.Queue[str | None] = field(default_factory=queue.Queue)
    answers: bool = True
    lists_all: bool = True
    serial: int = 0

    def tick(self) -> None:
        """Let what was ordered come to pass."""
        for job in self.jobs.values():
            if job.word == "booting":
                job.word = "active"
                self.begun[job.token] += 1
            elif job.word == "stopping":
                job.word, job.end = "", "killed"

    def free(self, node: str) -> int:
        """Return the CPUs of a node that nobody has."""
        return 4 - sum(job.takes(node) for job in self.jobs.values())

    def add(self, user: str, token: str, word: str = "queued", id: str = "") -> ToyJob:  # noqa: A002
        """Take a job in."""
        self.serial += 1
        job = ToyJob(id or str(self.serial), self.serial, user, token, word=word)
        self.jobs[job.id] = job
        self.told.put(f"job {job.id} is {word}")
        return job


class Toy:
    """All verbs and all options."""

    about = About(
        name="toy",
        title="A resource manager in memory",
        options=frozenset(Option) - {Option.SCHEDULES},
        job_states={
            "queued": ForeignState.IDLE,
            "booting": ForeignState.STARTING,
            "active": ForeignState.RUNNING,
            "frozen": ForeignState.SUSPENDED,
            "stopping": ForeignState.ENDING,
        },
        node_states={"free": NodeState.UP, "off": NodeState.DOWN},
    )

    def __init__(self, rm: ToyRm) -> None:
        self._rm = rm

    def reach(self) -> ToyRm:
        """Return the resource manager; raise `Trouble` when it is away."""
        if not self._rm.answers:
            raise Trouble("it does not answer")
        return self._rm

    def list_nodes(self) -> Nodes:
        rm = self.reach()
        return Nodes(tuple(self.node(name) for name in rm.words), complete=rm.lists_all)

    def node(self, name: str) -> ForeignNode:
        rm = self.reach()
        word = rm.words[name]
        state = self.about.node_states.get(word, NodeState.UNKNOWN)
        used = 4 - rm.free(name)
        return ForeignNode(name, state, 4, used_cpus=used, native_state=word, at=1.0)

    def list_jobs(self) -> Jobs:
        rm = self.reach()
        jobs = tuple(self.job(job) for job in rm.jobs.values() if not job.end)
        ended = tuple(self.end(job) for job in rm.jobs.values() if job.end)
        return Jobs(jobs if rm.lists_all else jobs[:-1], ended, complete=rm.lists_all)

    def job(self, job: ToyJob) -> ForeignJob:
        """Translate one that has not ended."""
        state = ForeignState(self.about.job_states.get(job.word, "unknown"))
        fact = ForeignJob(job.id, state, job.user, f"no {job.serial}", job.token, job.name, at=1.0)
        return with_fields(fact, native_state=job.word, shares=job.shares, time_limit=job.limit)

    def end(self, job: ToyJob) -> End:
        """Translate one that has."""
        status = int(job.end.removeprefix("exit ")) if job.end != "killed" else None
        result = {None: "cancelled", 0: "success"}.get(status, "failed")
        return End(job.id, result, job.end, f"no {job.serial}", job.token, job.user, status)

    def known(self, token: str) -> ToyJob | None:
        """Return the job of a token."""
        return next((job for job in self.reach().jobs.values() if job.token == token), None)

    def start(self, order: Start) -> Outcome:
        if (job := self.known(order.token)) is not None:
            if job.shares != order.shares:
                return Outcome(Did.NEVER, job.id, text="this token has other shares")
            return Outcome(Did.ACCEPTED, job.id)
        if (job := self.noted(order)) is not None:
            return Outcome(Did.DONE, job.id, text="it has run before", end=self.end(job))
        if refusal := self.refusal(order):
            return refusal
        return self.make(order)

    def noted(self, order: Start) -> ToyJob | None:
        """Return the job that an order has made before, and that was forgotten."""
        return self.reach().notes.get(order.token) if order.again else None

    def refusal(self, order: Start) -> Outcome | None:
        """Return why it cannot be started now, or ever."""
        rm = self.reach()
        if order.id:
            return Outcome(Did.NEVER, text=f"there is no job {order.id} that waits")
        for share in order.shares:
            if share.node not in rm.words or share.cpus > 4:
                return Outcome(Did.NEVER, text=f"{share.node} cannot have {share.cpus} CPUs")
            if rm.words[share.node] != "free" or share.cpus > rm.free(share.node):
                return Outcome(Did.REFUSED, text=f"{share.node} is busy or off")
        return None

    def make(self, order: Start) -> Outcome:
        """Start it."""
        job = self.reach().add(order.user, order.token, "booting")
        job.shares, job.name, job.limit = order.shares, order.name, order.time_limit
        return Outcome(Did.ACCEPTED, job.id)

    def find(self, job: str, token: str) -> ToyJob | None:
        """Return a job by its id, or by its token."""
        return self.reach().jobs.get(job) if job else self.known(token)

    def turn(self, job: str, token: str, word: str) -> Outcome:
        """Give a job another word."""
        found = self.find(job, token)
        if found is None:
            return Outcome(Did.NEVER, text=f"there is no job {job or token}")
        if found.end:
            return Outcome(Did.ALREADY, found.id)
        found.word = word
        return Outcome(Did.ACCEPTED, found.id)

    def cancel(self, job: str, token: str) -> Outcome:
        return self.turn(job, token, "stopping")

    def suspend(self, job: str, token: str) -> Outcome:
        return self.turn(job, token, "frozen")

    def resume(self, job: str, token: str) -> Outcome:
        return self.turn(job, token, "active")

    def requeue(self, job: str, token: str) -> Outcome:
        return self.turn(job, token, "booting")

    def checkpoint(self, job: str, token: str) -> Outcome:
        return self.turn(job, token, "active")

    def modify(self, job: str, token: str, time_limit: int) -> Outcome:
        found = self.find(job, token)
        if found is None:
            return Outcome(Did.NEVER, text=f"there is no job {job or token}")
        found.limit = time_limit
        return Outcome(Did.DONE, found.id)

    def events(self) -> Iterator[str]:
        while (text := self._rm.told.get()) is not None:
            yield text


def with_fields(record: T, **fields: Any) -> T:
    """Return a record with other fields, without holding it to its bounds."""
    told = {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]
    return type(record)(**told | fields)


class ToyBench(Bench):
    """All faults there are."""

    polls = 6

    def __init__(self, kind: type[Toy] = Toy) -> None:
        super().__init__(self._made)
        self.rm, self._kind = ToyRm(), kind

    def _made(self, _settings: Mapping[str, str]) -> Toy:
        return self._kind(self.rm)

    def close(self) -> None:
        self.rm.told.put(None)  # whoever listens may go
        super().close()

    def pause(self) -> None:
        self.rm.tick()

    def begun(self, key: str) -> int:
        return self.rm.begun[key]

    def finish(self, key: str, status: int) -> None:
        job = next(job for job in self.rm.jobs.values() if job.token == key)
        job.word, job.end = "", f"exit {status}"
        self.rm.notes[key] = replace(job)

    def submit(self, key: str) -> str:
        return self.rm.add("ann", key).id

    def occupy(self, node: str, key: str) -> str:
        job = self.rm.add("ann", key, "active")
        job.shares = (Share(node),)
        return job.id

    def down(self, node: str) -> None:
        self.rm.words[node] = "off"

    def up(self, node: str) -> None:
        self.rm.words[node] = "free"

    @contextmanager
    def away(self) -> Iterator[None]:
        self.rm.answers = False
        yield
        self.rm.answers = True

    @contextmanager
    def partial(self) -> Iterator[None]:
        self.rm.lists_all = False
        yield
        self.rm.lists_all = True

    def forget(self, job: str) -> None:
        del self.rm.jobs[job]

    def reuse(self, job: str, key: str) -> None:
        self.rm.add("bob", key, id=job)

    def odd_job(self, job: str, word: str) -> None:
        self.rm.jobs[job] = replace(self.rm.jobs[job], word=word)

    def odd_node(self, node: str, word: str) -> None:
        self.rm.words[node] = word
