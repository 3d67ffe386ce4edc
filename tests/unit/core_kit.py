"""A machine of the core with hand-made nodes: events in, what came out at hand."""

from collections.abc import Iterable
from typing import Any

from ostler.core.effects import Effect, Fail, Reply, Save, Send
from ostler.core.events import (
    Acted,
    Administered,
    AgentGreeted,
    AgentReported,
    Event,
    NodesWorded,
    Planned,
    Submitted,
)
from ostler.core.machine import Machine
from ostler.core.slots import attempt_of
from ostler.model.caller import Caller
from ostler.model.errors import OstlerError
from ostler.model.ids import parse_ref
from ostler.model.job import Dependency, JobSpec, TaskExit
from ostler.model.orders import (
    ElementEnd,
    Ended,
    Held,
    Launch,
    Made,
    Order,
    Progress,
    ReportRow,
    Started,
)
from ostler.model.record import Event as EventRow
from ostler.model.record import Loaded, Write
from ostler.model.resources import NodeFacts, Request
from ostler.model.site_changes import Change, attribute
from ostler.testing.scheduler import Scheduler

ANN = Caller(1001, 1001, "ann")
BOB = Caller(1002, 1002, "bob")
ROOT = Caller(0, 0, "root", owner=True)
EMPTY = Loaded([], [], {}, [], [], {}, {}, 1, 1, 1)


def facts(cpus: int = 4, memory: int = 8 << 30, gpus: int = 0) -> NodeFacts:
    """Return the facts of a small node."""
    return NodeFacts(tuple(range(cpus)), memory, tuple(range(gpus)))


class Box:
    """A machine, its clock, and everything it wanted done."""

    def __init__(self, nodes: Iterable[str] = ("n1",), *, cpus: int = 4) -> None:
        self.machine = Machine(EMPTY, epoch=1, now=0.0)
        self.now = 100.0
        self.scheduler = Scheduler()
        self.done: list[Effect] = []
        self._to = 0
        for name in nodes:
            self.greet(name, cpus=cpus)

    def do(self, event: Event) -> list[Effect]:
        """Handle one event, then plan until nothing changes."""
        effects = self.machine.handle(self.now, event)
        while self.machine.wants_plan:
            proposal = self.scheduler.plan(self.machine, self.now)
            effects += self.machine.handle(self.now, Planned(proposal))
        self.done += effects
        return effects

    def ask(self, make: Any, *parts: Any, **named: Any) -> Any:
        """Handle a client's event; return the reply's body, or raise the refusal."""
        self._to += 1
        for effect in self.do(make(self._to, *parts, **named)):
            if isinstance(effect, Reply) and effect.to == self._to:
                return effect.body
            if isinstance(effect, Fail) and effect.to == self._to:
                raise effect.error
        return None

    def greet(
        self, name: str, *, cpus: int = 4, boot: str = "b1", holds: tuple[Held, ...] = ()
    ) -> list[Effect]:
        """Let an agent greet."""
        return self.do(AgentGreeted(name, facts(cpus), boot, holds))

    def submit(
        self, *, by: Caller = ANN, request: Request | None = None, rid: str = "", **spec: Any
    ) -> int:
        """Submit a job and return its id."""
        made = JobSpec(argv=(b"true",), request=request or Request(), **spec)
        body = self.ask(Submitted, by, rid or f"r{self._to}", made, {})
        return int(body["job"])

    def act(self, verb: str, *refs: str, by: Caller = ANN, **named: Any) -> list[dict[str, Any]]:
        """Act on jobs; return the rows of the answer."""
        parsed = tuple(parse_ref(ref) for ref in refs)
        rows: list[dict[str, Any]] = self.ask(Acted, by, verb, parsed, **named)["jobs"]
        return rows

    def do_act(self, verb: str, job: int) -> list[Effect]:
        """Act on one job; return everything that came out."""
        self._to += 1
        return self.do(Acted(self._to, ANN, verb, (parse_ref(str(job)),)))

    def configure(self, key: str, value: str | None, by: Caller = ROOT) -> None:
        """Set an attribute."""
        self.ask(Administered, by, (attribute(key, value),))

    def change(self, *changes: Change, by: Caller = ROOT, **named: Any) -> list[str]:
        """Change the site; return what was done, in words."""
        body = self.ask(Administered, by, changes, **named)
        return [row["text"] for row in body["changes"]]

    def drain(self, *names: str, reason: str = "new disk") -> None:
        """Drain nodes."""
        self.ask(NodesWorded, ROOT, "drain", names, reason)

    def report(self, node: str, *rows: ReportRow) -> list[Effect]:
        """Let an agent report."""
        return self.do(AgentReported(node, 1, rows))

    def start(self, alloc: int, node: str = "n1") -> list[Effect]:
        """Report that the tasks of a share run."""
        return self.report(node, Started(alloc, self.now))

    def end(
        self,
        alloc: int,
        node: str = "n1",
        *,
        code: int = 0,
        cause: str = "",
        ran: bool = True,
        why: str = "",
    ) -> list[Effect]:
        """Report that nothing of a share is left."""
        tasks = (TaskExit(0, code),) if ran else ()
        at = self.now if ran else None
        return self.report(node, Ended(alloc, self.now, at, cause, why, tasks))

    def progress(
        self,
        alloc: int,
        *ended: tuple[int, int],
        returned: tuple[tuple[int, int], ...] = (),
        running: int = -1,
        seconds: float = 0.01,
        cause: str = "",
        serial: int = 0,
    ) -> list[Effect]:
        """Report (element, exit code) of ended elements of a slot, and how it goes on."""
        slot = self.machine.state.allocations[alloc]
        entry = self.machine.state.jobs[slot.job]
        rows = tuple(
            ElementEnd(
                index,
                attempt_of(entry, index),
                self.now - seconds,
                self.now,
                cause,
                cause and f"it was {cause}",
                (TaskExit(0, code),),
            )
            for index, code in ended
        )
        serial = serial or slot.heard + 1
        row = Progress(alloc, serial, rows, returned, running, 1, self.now)
        return self.report(slot.placements[0].node, row)

    def finish(self, job: int, index: int, code: int = 0) -> list[Effect]:
        """Let an element of a slot end; with its last one the slot, if no more is to come."""
        entry = self.machine.state.jobs[job]
        alloc = entry.live[index]
        effects = self.progress(alloc, (index, code))
        slot = self.machine.state.allocations[alloc]
        if not slot.chunk and entry.slots[alloc].last:
            effects += self.report(slot.placements[0].node, Ended(alloc, self.now, self.now))
        return effects

    def made(self, alloc: int, node: str) -> list[Effect]:
        """Report that a context exists."""
        return self.report(node, Made(alloc))

    def state(self, job: int) -> str:
        """Return the job's state, or its result when it has ended."""
        s = self.machine.state
        entry = s.jobs.get(job) or s.recent[job]
        return str(entry.job.result or entry.job.state)

    def rule(self, job: int) -> str:
        """Return the rule by which the job waits."""
        return self.machine.state.jobs[job].job.rule

    def alloc(self, job: int) -> int:
        """Return the only allocation of a job."""
        (number,) = self.machine.state.jobs[job].slots
        return number

    def events(self) -> list[str]:
        """Return the kinds of all events so far."""
        return [w.kind for w in saved(self.done) if isinstance(w, EventRow)]


def orders(effects: Iterable[Effect], kind: type[Order] = Launch) -> list[tuple[str, Any]]:
    """Return (node, order) of one kind of order."""
    return [(e.node, e.order) for e in effects if isinstance(e, Send) and type(e.order) is kind]


def saved(effects: Iterable[Effect]) -> list[Write]:
    """Return the rows that were to be written."""
    return [e.write for e in effects if isinstance(e, Save)]


def after(*jobs: int, kind: str = "ok") -> tuple[Dependency, ...]:
    """Return dependencies of one kind."""
    return tuple(Dependency(job, kind) for job in jobs)


__all__ = ["ANN", "BOB", "ROOT", "Box", "OstlerError", "after", "facts", "orders", "saved"]
