"""Any events in any order, agents that lie included: the core stays sound and the database agrees."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from ostler.core.effects import Effect, Fail, Reply, Save
from ostler.core.events import (
    Acted,
    Administered,
    AgentGone,
    AgentGreeted,
    AgentReported,
    Awaited,
    ClientGone,
    Event,
    Modified,
    NodeSeen,
    NodesWorded,
    Planned,
    Submitted,
    Tick,
)
from ostler.core.load import load
from ostler.core.machine import Machine
from ostler.core.violations import unexplained, violations
from ostler.model.allocation import Allocation
from ostler.model.ids import Ref
from ostler.model.job import Dependency, Element, JobSpec, TaskExit
from ostler.model.orders import (
    LAST_SERIAL,
    ElementEnd,
    Ended,
    Held,
    Made,
    Progress,
    ReportRow,
    Started,
)
from ostler.model.record import Accounting, Write
from ostler.model.resources import NodeFacts, Request
from ostler.model.site_changes import Change, attribute
from ostler.model.states import NodeStatus, Result
from ostler.testing.disk import SimStore
from ostler.testing.judge import differences
from ostler.testing.scheduler import Scheduler
from tests.unit.core_kit import ANN, BOB, ROOT

CHANGES = [
    Change("create", "partition", ("own",), {"tier": 1}),
    Change("remove", "partition", ("own",)),
    Change("set", "partition", ("own",), {"is_default": True}),
    Change("set", "partition", ("main",), {"is_default": True, "time_limit": "1h"}),
    Change("set", "configuration", ("",), {"nodes": {"own": "n[1-2]"}}),
    Change("set", "configuration", ("",), {"nodes": {"own": None, "main": "*"}}),
    Change("set", "access", ("main", "user", "ann"), {"max_cpus": 2, "waiting": 1}),
    Change("set", "access", ("*", "default", ""), {"running": 1, "max_memory": "1G"}),
    Change("set", "access", ("own", "user", "bob"), {"allow": True, "priority": 80}),
    Change("remove", "access", ("main", "user", "ann")),
    Change("set", "user", ("ann",), {"role": "operator"}),
    Change("remove", "user", ("ann",)),
]
NODES = st.sampled_from(["n1", "n2", "n3"])
CALLERS = st.sampled_from([ANN, ANN, BOB, ROOT])
NUMBERS = st.sampled_from([1, 1, 1, 2, 2, 2, 3, 3, 4, 5])
SPANS = st.sampled_from([((0, 3),), ((1, 1), (3, 5)), ((0, 0),)])
REFS = st.builds(Ref, NUMBERS, st.one_of(st.none(), st.none(), SPANS))
CAUSES = st.sampled_from(["", "", "", *map(str, Result), "requeue", "undone", "nonsense"])
TASKS = st.lists(
    st.builds(TaskExit, st.integers(0, 3), st.sampled_from([0, 0, 1, 75]), st.sampled_from([0, 9]))
).map(tuple)
ENDS = st.builds(
    ElementEnd,
    st.integers(-1, 6),
    st.sampled_from([1, 1, 1, 2, 3]),
    st.sampled_from([None, 95.0, 95.0]),
    st.just(120.0),
    CAUSES,
    st.just("told so"),
    TASKS,
)
GIVEN_BACK = st.lists(st.integers(-1, 6), max_size=3).map(lambda many: tuple((i, i) for i in many))
PROGRESS = st.builds(
    Progress,
    NUMBERS,
    st.sampled_from([0, 1, 2, 3, LAST_SERIAL]),
    st.lists(ENDS, max_size=3).map(tuple),
    GIVEN_BACK,
    st.integers(-1, 6),
)
REQUESTS = st.sampled_from(
    [
        *(Request(cpus=cpus) for cpus in (1, 2, 3, 4)),
        Request(tasks=2, cpus=2, nodes=2),
        Request(tasks=3, cpus=1, nodes=2),
        Request(tasks=3, cpus=2),
        Request(memory=1 << 29),
        Request(tasks=2, nodes=3),
        Request(gpus=1),
    ]
)
SPECS = st.builds(
    JobSpec,
    argv=st.just((b"true",)),
    request=REQUESTS,
    time_limit=st.sampled_from([0, 60]),
    array=st.one_of(st.just(()), SPANS),
    array_cap=st.integers(0, 2),
    hold=st.sampled_from([False, False, False, True]),
    not_before=st.sampled_from([0.0, 0.0, 0.0, 500.0]),
    requeue=st.booleans(),
    retries=st.integers(0, 2),
    kind=st.sampled_from(["batch", "batch", "run"]),
)
KINDS = st.sampled_from([None, None, None, "ok", "any", "fail"])


def check_successes(rows: list[Write], slots: set[int]) -> None:
    """Nothing succeeds unless each of its tasks has said so."""
    ended = {a.id: a for a in rows if isinstance(a, Allocation)}
    done = {(e.job, e.index): e for e in rows if isinstance(e, Element)}
    for row in rows:
        if isinstance(row, Accounting) and row.result == Result.SUCCESS:
            alloc = ended[row.allocation]
            tasks = done[row.job, row.element].tasks if row.allocation in slots else alloc.tasks
            assert len(tasks) >= sum(p.tasks for p in alloc.placements)
            assert not any(t.code or t.signal for t in tasks)


class Events(RuleBasedStateMachine):
    """A machine without agents: whatever they could say is said, true or not."""

    def __init__(self) -> None:
        super().__init__()
        self.store = SimStore()
        self.epoch = self.store.take_role(1, 0.0, 1e9, lambda _pid, _start: True)
        self.now = 100.0
        self.to = 0
        self.slots: set[int] = set()
        self.scheduler = Scheduler()
        self.numbers: set[tuple[int, int, int]] = set()  # (job, element, attempt) accounted for
        self.machine = Machine(self.store.load(), epoch=self.epoch, now=self.now)

    def teardown(self) -> None:
        self.store.close()

    def do(self, event: Event) -> list[Effect]:
        """Handle an event, plan if the machine wants it, and make all of it durable."""
        effects = self.machine.handle(self.now, event)
        while self.machine.wants_plan:
            proposal = self.scheduler.plan(self.machine, self.now)
            effects += self.machine.handle(self.now, Planned(proposal))
        assert not list(unexplained(self.machine.state))
        rows = [e.write for e in effects if isinstance(e, Save)]
        self.slots |= {a.id for a in rows if isinstance(a, Allocation) and a.slot}
        check_successes(rows, self.slots)
        self.check_numbers(rows)
        self.store.commit(rows, self.epoch)
        return effects

    def check_numbers(self, rows: list[Write]) -> None:
        """No start is accounted for twice."""
        for row in rows:
            if isinstance(row, Accounting):
                number = (row.job, row.element, row.attempt)
                assert number not in self.numbers, number
                self.numbers.add(number)

    def ask(self, make: Any, *parts: Any, answered: bool = True) -> None:
        """Handle a client's request: it is answered exactly once, unless it is to wait."""
        self.to += 1
        answers = [e for e in self.do(make(self.to, *parts)) if isinstance(e, Reply | Fail)]
        mine = [a for a in answers if a.to == self.to]
        assert len(mine) == 1 or (not answered and not mine), mine

    @initialize()
    def two_nodes_greet(self) -> None:
        for node in ("n1", "n2"):
            self.greet(node, "boot-1", 4, [])

    @rule(spec=SPECS, by=CALLERS, kind=KINDS, back=st.integers(1, 3))
    def submit(self, spec: JobSpec, by: Any, kind: str | None, back: int) -> None:
        last = self.machine.state.next_job - back
        if kind is not None and last > 0:
            spec = replace(spec, after=(Dependency(last, kind),))
        self.ask(Submitted, by, f"r{self.to}", spec, {})

    @rule(
        verb=st.sampled_from(["cancel", "hold", "release", "suspend", "resume", "requeue"]),
        refs=st.lists(REFS, min_size=1, max_size=3).map(tuple),
        by=CALLERS,
        failed=st.booleans(),
    )
    def act(self, verb: str, refs: tuple[Ref, ...], by: Any, failed: bool) -> None:  # noqa: FBT001
        self.ask(lambda to: Acted(to, by, verb, refs, failed=failed))

    @rule(
        ref=REFS,
        by=CALLERS,
        changes=st.dictionaries(
            st.sampled_from(
                ["cpus", "time_limit", "nodes", "end_tasks", "array_cap", "retries", "x"]
            ),
            st.sampled_from([0, 1, 2, 300, -1, "3", True]),
            max_size=2,
        ),
    )
    def modify(self, ref: Ref, by: Any, changes: dict[str, Any]) -> None:
        self.ask(Modified, by, ref, changes, answered="nodes" not in changes)  # a plan may have to

    @rule(refs=st.lists(REFS, min_size=1, max_size=2).map(tuple), attach=st.booleans())
    def wait(self, refs: tuple[Ref, ...], attach: bool) -> None:  # noqa: FBT001
        self.ask(Awaited, ANN, refs, attach, answered=False)

    @rule(back=st.integers(0, 20))
    def a_client_goes(self, back: int) -> None:
        self.do(ClientGone((max(1, self.to - back),)))

    @rule(
        verb=st.sampled_from(["drain", "undrain", "fence", "separate", "x"]), node=NODES, by=CALLERS
    )
    def word(self, verb: str, node: str, by: Any) -> None:
        self.ask(NodesWorded, by, verb, (node,), "a reason")

    @rule(value=st.sampled_from([None, "0", "4", "x"]), by=CALLERS)
    def configure(self, value: str | None, by: Any) -> None:
        self.ask(Administered, by, (attribute("max-cpus-per-user", value),))

    @rule(change=st.sampled_from(CHANGES), by=st.sampled_from([ROOT, ROOT, ANN]))
    def administer(self, change: Change, by: Any) -> None:
        self.ask(Administered, by, (change,))

    @rule(
        node=NODES,
        boot=st.sampled_from(["boot-1", "boot-1", "boot-2"]),
        cpus=st.sampled_from([4, 4, 2]),
        holds=st.lists(
            st.builds(
                Held,
                NUMBERS,
                st.sampled_from(["accepted", "made", "started", "ended"]),
                st.sampled_from([None, 90.0]),
            ),
            max_size=4,
        ),
    )
    def greet(self, node: str, boot: str, cpus: int, holds: list[Held]) -> None:
        self.do(AgentGreeted(node, NodeFacts(tuple(range(cpus)), 1 << 30), boot, tuple(holds)))

    @rule(
        node=NODES,
        rows=st.lists(
            st.one_of(
                st.builds(Made, NUMBERS),
                st.builds(Started, NUMBERS, st.just(95.0)),
                PROGRESS,
                st.builds(
                    Ended,
                    NUMBERS,
                    st.just(120.0),
                    st.sampled_from([None, 95.0]),
                    CAUSES,
                    st.just("told so"),
                    TASKS,
                ),
            ),
            max_size=5,
        ).map(tuple),
    )
    def report(self, node: str, rows: tuple[ReportRow, ...]) -> None:
        self.do(AgentReported(node, 1, rows))

    @precondition(lambda self: self.machine.state.allocations)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["made", "started", "ended", "ended", "progress", "progress"]),
        cause=CAUSES,
        tasks=TASKS,
    )
    def report_what_may_be(
        self, data: st.DataObject, kind: str, cause: str, tasks: tuple[TaskExit, ...]
    ) -> None:
        live = self.machine.state.allocations
        alloc = live[data.draw(st.sampled_from(sorted(live)))]
        node = data.draw(st.sampled_from(sorted(alloc.nodes)))
        started = data.draw(st.sampled_from([None, self.now, self.now]))
        held = [i for low, high in alloc.chunk for i in range(low, high + 1)] or [alloc.element]
        index = data.draw(st.sampled_from(held))
        attempt = self.machine.state.jobs[alloc.job].element(index).attempt + 1
        end = ElementEnd(index, attempt, started, self.now, cause, "told so", tasks)
        back = tuple((i, i) for i in data.draw(st.sets(st.sampled_from(held))) if i != index)
        runs = data.draw(st.sampled_from([-1, *held]))
        serial = alloc.heard + data.draw(st.sampled_from([0, 1, 1, 2]))
        rows: dict[str, ReportRow] = {
            "progress": Progress(alloc.id, serial, (end,), back, runs, attempt, self.now),
            "made": Made(alloc.id),
            "started": Started(alloc.id, self.now),
            "ended": Ended(alloc.id, self.now, started, cause, "told so", tasks),
        }
        self.do(AgentReported(node, 1, (rows[kind],)))

    @rule(node=NODES)
    def fall_silent(self, node: str) -> None:
        self.do(AgentGone(node))

    @rule(node=NODES, status=st.sampled_from(NodeStatus), restless=st.sampled_from([0, 0, 4]))
    def look(self, node: str, status: NodeStatus, restless: int) -> None:
        self.do(NodeSeen(node, status, restless=restless))

    @rule(seconds=st.sampled_from([1.0, 40.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.do(Tick())

    @rule()
    def restart(self) -> None:
        self.machine = Machine(self.store.load(), epoch=self.epoch, now=self.now)

    @invariant()
    def it_is_sound(self) -> None:
        broken = list(violations(self.machine.state))
        assert not broken, broken

    @invariant()
    def the_database_agrees(self) -> None:
        stored = load(self.store.load(), self.epoch, self.now)
        found = list(differences(self.machine.state, stored))
        assert not found, found


Events.TestCase.settings = settings(stateful_step_count=50)
TestEvents = Events.TestCase
