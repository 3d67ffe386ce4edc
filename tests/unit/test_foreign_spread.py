"""Arrays in a partition of several resource managers: elements go anywhere, and stay where they were."""

from collections import defaultdict
from random import Random
from typing import Any

import pytest

from ostler.core.effects import Call, Effect
from ostler.core.events import Event, Modified, RmAnswered, RmTrouble
from ostler.core.explain import explain
from ostler.core.foreign.names import read_ref
from ostler.core.foreign.spread import where
from ostler.core.foreign.view import rm_rows
from ostler.core.load import load
from ostler.core.view import job_row
from ostler.model.allocation import Allocation
from ostler.model.errors import Refused
from ostler.model.foreign import Did, Option, Outcome
from ostler.model.foreign_rows import RmJob
from ostler.model.ids import Ref
from ostler.model.job import Element, Job
from ostler.model.orders import Ended, EndShare, Withdraw
from ostler.model.ranges import RangeSet
from ostler.model.record import EndedElement, Loaded
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.model.states import AllocationState, JobState
from ostler.testing.rm import FOUR, ScriptedRm
from tests.unit.core_kit import ANN, orders, saved
from tests.unit.foreign_kit import Foreign


class Mixed(Foreign):
    """One partition with nodes of the machine and of resource managers; its agents obey."""

    def __init__(self, *rms: ScriptedRm, native: int = 1, **settings: Any) -> None:
        names = tuple(f"n{i}" for i in range(native))
        super().__init__(*rms, native=names, **settings)
        nodes = ",".join([*names, *(f"{rm.name}/*" for rm in rms)])
        self.change(
            Change("create", "partition", ("all",), {"is_default": True}),
            Change("set", "configuration", ("",), {"nodes": {"main": None, "all": nodes}}),
        )

    def homes(self, job: int) -> dict[str, list[int]]:
        """Return which elements run or wait to start in which resource manager."""
        s, found = self.machine.state, defaultdict(list)
        for index, number in sorted(s.jobs[job].live.items()):
            node = s.allocations[number].placements[0].node
            found[s.nodes[node].node.rm or "native"].append(index)
        return dict(found)


def durable(box: Foreign) -> Loaded:
    """Return what a database has by now."""
    kept: dict[Any, Any] = {}
    for write in saved(box.done):
        match write:
            case Element():
                kept["element", write.job, write.index] = write
            case Allocation() | Job():
                kept[type(write), write.id] = write
            case RmJob():
                kept["rm", write.rm, write.key] = write
    jobs = {w.id: w for w in kept.values() if isinstance(w, Job) and w.state is not JobState.DONE}
    rows = [w for w in kept.values() if isinstance(w, Element) and w.job in jobs]
    done: dict[int, list[EndedElement]] = defaultdict(list)
    for row in rows:
        if row.state is JobState.DONE:
            done[row.job].append(EndedElement(row.index, str(row.result), row.attempt, row.rm))
    s = box.machine.state
    allocs = [w for w in kept.values() if isinstance(w, Allocation) and w.job in jobs]
    return Loaded(
        list(jobs.values()),
        [row for row in rows if row.state is not JobState.DONE],
        dict(done),
        [alloc for alloc in allocs if alloc.state is not AllocationState.RELEASED],
        [e.node for e in s.nodes.values()],
        {},
        dict(s.ended),
        *(s.next_job, s.next_allocation, s.next_event),
        site=s.site,
        rm_nodes=[n for rm in s.rms.values() for n in rm.nodes.values()],
        rm_jobs=[w for w in kept.values() if isinstance(w, RmJob)],
    )


def refuse(_: Call) -> Outcome:
    """Refuse, for a cause that may pass."""
    return Outcome(Did.REFUSED, text="not now")


def test_elements_of_one_array_run_wherever_there_is_room() -> None:
    box = Mixed(ScriptedRm("a", ["x1", "x2"]), ScriptedRm("b", ["y1"]))
    job = box.submit(array=((0, 199),))
    homes = box.homes(job)
    assert {rm: len(homes[rm]) for rm in ("a", "b")} == {"a": 8, "b": 4}
    s = box.machine.state
    slots = [s.allocations[n] for n in s.jobs[job].slots if s.allocations[n].slot]
    assert len(slots) == 4  # on the machine's own node one runs element after element
    assert box.machine.state.jobs[job].job.rm == ""
    box.rms["b"].end("1", box.now)
    box.load()
    assert len(box.homes(job)["b"]) == 4


def test_an_array_of_a_partition_of_one_resource_manager_is_bound_as_a_whole() -> None:
    box = Foreign(ScriptedRm("a", ["x1"]))
    job = box.submit(partition="a", array=((0, 9),))
    assert box.machine.state.jobs[job].job.rm == "a"


def test_an_element_that_was_taken_runs_again_in_the_same_resource_manager() -> None:
    a, b = ScriptedRm("a", ["x1"], cpus=1), ScriptedRm("b", ["y1"], cpus=1)
    box = Mixed(a, b, native=0)
    job = box.submit(array=((0, 3),))
    first = box.homes(job)
    (mine,) = first["a"]
    box.act("requeue", f"{job}_{mine}")
    box.load()
    for _ in range(2):  # what else waits goes to b; it goes to a, as the first there
        b.end(next(iter(b.jobs)), box.now)
        box.load()
    assert box.homes(job)["a"] == [mine]
    s = box.machine.state
    assert s.allocations[s.jobs[job].live[mine]].attempt == 2


def test_what_is_bound_elsewhere_does_not_hold_others_up() -> None:
    a, b = ScriptedRm("a", ["x1"], cpus=1), ScriptedRm("b", ["y1"], cpus=1)
    box = Mixed(a, b, native=0)
    job = box.submit(array=((0, 5),))
    (mine,) = box.homes(job)["a"]
    box.fail("a")
    a.end("1", box.now, "failed")
    box.act("requeue", f"{job}_{mine}")
    box.load()  # it has ended there, and waits to run there again
    box.fail("a")
    for _ in range(5):
        b.end(next(iter(b.jobs)), box.now)
        box.load("b")
    assert {n for call in b.calls for n in [call.element]} == {0, 1, 2, 3, 4, 5} - {mine}
    assert (box.state(job), box.events().count("plan/refused")) in {("running", 0), ("pending", 0)}
    box.load()
    a.end(next(iter(a.jobs)), box.now)
    box.load()
    assert box.state(job) == "success"


def test_when_all_that_waits_is_bound_each_goes_to_its_own_and_nothing_is_refused() -> None:
    a, b = ScriptedRm("a", ["x1"], cpus=4), ScriptedRm("b", ["y1"], cpus=4)
    box = Mixed(a, b, native=0)
    job = box.submit(array=((0, 7),))
    before = box.homes(job)
    box.act("requeue", str(job))
    box.load()
    box.load()
    assert box.homes(job) == before
    assert "plan/refused" not in box.events()


def test_what_was_refused_may_go_elsewhere_and_others_do_not_wait_for_that() -> None:
    a, b = ScriptedRm("a", ["x1"]), ScriptedRm("b", ["y1"])
    a.answer = refuse
    box = Mixed(a, b, native=0, retry=60)
    job = box.submit(array=((0, 9),))
    asked = len(a.calls)
    for _ in range(3):
        for ident in list(b.jobs):
            b.end(ident, box.now)
        box.load()
    assert len(a.calls) == asked  # not asked again before its time
    assert box.state(job) == "success"


def test_all_that_refuse_are_asked_again_when_their_time_has_come() -> None:
    a, b = ScriptedRm("a", ["x1"]), ScriptedRm("b", ["y1"])
    a.answer = b.answer = refuse
    box = Mixed(a, b, native=0, retry=10, retries=20)
    job = box.submit(array=((0, 1),))
    assert box.rule(job) == "retry"
    told = explain(box.machine.state, box.now, Ref(job))
    assert told["rule"] == "retry"
    a.answer = b.answer = None
    for _ in range(12):
        box.load()
    assert len(box.homes(job)) == 1


def test_an_element_that_one_will_never_run_goes_to_another() -> None:
    a, b = ScriptedRm("a", ["x1"]), ScriptedRm("b", ["y1"])
    a.answer = lambda _: Outcome(Did.NEVER, text="invalid account")
    box = Mixed(a, b, native=0)
    job = box.submit(array=((0, 19),))
    while box.state(job) in ("starting", "running"):
        for ident in list(b.jobs):
            b.end(ident, box.now)
        box.load()
    assert (box.state(job), len(b.ends)) == ("success", 20)
    b.answer = a.answer
    other = box.submit(array=((0, 9),))
    assert box.state(other) == "rejected"


@pytest.mark.parametrize("array", [(), ((0, 9),)])
def test_the_longest_constraint_can_be_bound(array: tuple[tuple[int, int], ...]) -> None:
    a, b = ScriptedRm("a", ["x1"], cpus=1), ScriptedRm("b", ["y1"], cpus=1)
    box = Mixed(a, b, native=0)
    asked = "|".join(["!x", *(f"f{number:081}" for number in range(12))])
    job = box.submit(array=array, request=Request(constraint=asked))
    before = box.homes(job)
    box.act("requeue", str(job))
    for _ in range(2):
        box.load()
    assert box.homes(job) == before


def test_elements_are_shown_named_and_counted_where_they_are() -> None:
    a = ScriptedRm("a", ["x1"], cpus=1, options=FOUR | {Option.SUSPEND, Option.RESUME})
    b = ScriptedRm("b", ["y1"], cpus=1)
    box = Mixed(a, b, native=0)
    job = box.submit(array=((0, 9),))
    s = box.machine.state
    assert sorted(job_row(s, s.jobs[job])["rm_jobs"]) == ["a/1", "b/1"]
    (mine,), (other,) = box.homes(job)["a"], box.homes(job)["b"]
    assert read_ref(s, "b/1") == Ref(job, ((other, other),))
    assert {row["name"]: row["jobs"] for row in rm_rows(s)} == {"a": 1, "b": 1}
    box.load()
    assert "it runs on a/x1, begun" in explain(s, box.now, Ref(job, ((mine, mine),)))["reason"]
    [row] = box.act("suspend", f"{job}_{other}")
    assert row["message"] == "the driver of b (b) cannot suspend jobs"
    [row] = box.act("suspend", f"{job}_{mine}")
    assert row["ok"]
    box.act("cancel", f"{job}_{other}")
    assert [call.job for call in box.calls("b", "cancel")] == ["1"]
    assert not box.calls("a", "cancel")
    with pytest.raises(Refused, match="can run in a alone, or elements of it"):
        box.change(Change("remove", "rm", ("a",)))
    assert box.ask_modify(job, priority=60)
    with pytest.raises(Refused):
        box.ask(Modified, ANN, Ref(job), {"rm": "b"})


def test_after_a_restart_each_element_stays_where_it_was() -> None:
    a, b = ScriptedRm("a", ["x1"], cpus=2), ScriptedRm("b", ["y1"], cpus=2)
    box = Mixed(a, b, native=0, retries=0)
    job = box.submit(array=((0, 9),))
    before = box.homes(job)
    box.holds = True
    for index in (*before["a"], *before["b"]):
        box.act("requeue", f"{job}_{index}")
    a.end("1", box.now, "failed")
    box.restart(durable(box))
    assert box.homes(job) == before
    box.holds = False
    box.carry_out()
    for _ in range(3):
        box.load()
    a.end(next(iter(a.jobs)), box.now)
    for _ in range(3):
        box.load()
    started = {(rm, call.element) for rm in "ab" for call in box.calls(rm)}
    assert {(rm, i) for rm, found in before.items() for i in found} <= started
    assert len({element for _, element in started}) == len(started)


# -- random lives ---------------------------------------------------------------------------------


class Random3(Mixed):
    """Three resource managers that refuse, lose answers and go away, beside a node with an agent."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.wild = False
        self.seen: dict[tuple[int, int], set[str]] = defaultdict(set)  # that may have had it
        rms = [ScriptedRm(name, [f"{name}1", f"{name}2"], cpus=2) for name in "abc"]
        super().__init__(*rms, retry=2, retries=100, job_purge=60)
        self.wild = True

    def answer(self, call: Call) -> RmAnswered | RmTrouble:
        """Answer, perhaps in vain; note who may have an element from now on."""
        rm = self.rms[call.rm]
        roll = self.random.random() if self.wild else 1.0
        rm.answer = refuse if roll < 0.15 else None
        rm.lost = int(0.15 <= roll < 0.3)
        back = super().answer(call)
        refused = isinstance(back, RmAnswered) and back.outcome.did is Did.REFUSED
        if call.verb == "start" and not refused:
            job = self.machine.state.rms[call.rm].by_token[call.token][0]
            self.has(job, call.element, call.rm)
        return back

    def has(self, job: int, element: int, rm: str) -> None:
        """Note that a resource manager has an element; it must be the only one ever."""
        self.seen[job, element].add(rm)
        assert len(self.seen[job, element]) == 1, (job, element, self.seen[job, element])

    def do(self, event: Event) -> list[Effect]:
        """Handle an event, and let the agent obey."""
        effects = super().do(event)
        for _, order in orders(effects, Withdraw):
            self._withdraw(order)
        for node, order in orders(effects, EndShare):
            alloc = self.machine.state.allocations.get(order.alloc)
            if alloc is not None and alloc.slot:
                if alloc.running >= 0:
                    self.has(alloc.job, alloc.running, "native")
                    self.progress(alloc.id, (alloc.running, 143), cause=order.cause)
                self.report(node, Ended(alloc.id, self.now, self.now, order.cause, order.why))
        return effects

    def _withdraw(self, order: Withdraw) -> None:
        alloc = self.machine.state.allocations.get(order.alloc)
        if alloc is None:
            return
        wanted = RangeSet(list(order.elements)).common(list(alloc.chunk))
        ended = []
        if alloc.running in wanted and order.cause:
            self.has(alloc.job, alloc.running, "native")
            ended = [(alloc.running, 143)]
        spans = tuple((i, i) for i in wanted if i != alloc.running)
        rest = RangeSet([(i, i) for i in RangeSet(list(alloc.chunk)) if i not in wanted])
        running = -1 if ended else alloc.running
        if running < 0 and rest:
            running = rest.spans[0][0]
        self.progress(alloc.id, *ended, returned=spans, running=running, cause=order.cause)
        self._over(alloc.id)

    def step_native(self) -> None:
        """Let one element end on the machine's own node."""
        s = self.machine.state
        slots = [a for a in s.allocations.values() if a.slot and a.chunk]
        if not slots:
            return
        alloc = self.random.choice(slots)
        chunk = RangeSet(list(alloc.chunk))
        index = alloc.running if alloc.running in chunk else chunk.spans[0][0]
        self.has(alloc.job, index, "native")
        chunk.discard(index)
        code = int(self.wild and self.random.random() < 0.3)
        following = chunk.spans[0][0] if chunk else -1
        self.progress(alloc.id, (index, code), running=following)
        self._over(alloc.id)

    def _over(self, number: int) -> None:
        s = self.machine.state
        alloc = s.allocations.get(number)
        if alloc is None or alloc.chunk or not s.jobs[alloc.job].slots[number].last:
            return
        self.report(alloc.placements[0].node, Ended(number, self.now, self.now))

    def step(self) -> None:
        """Let something happen."""
        s, roll = self.machine.state, self.random.randrange
        jobs = sorted(s.jobs) or [0]
        job = self.random.choice(jobs)
        index = roll(30)
        match roll(12):
            case 0 | 1:
                self.act("requeue", f"{job}_{index}") if job else None
            case 2 if roll(4) == 0 and job:
                self.act("requeue", str(job))
            case 3 if roll(3) == 0 and job:
                self.act("cancel", f"{job}_{index}")
            case 4 if roll(3) == 0:
                self.fail(self.random.choice("abc"))
            case 5 | 6 | 7:
                self.step_native()
            case _:
                self.step_foreign()

    def step_foreign(self) -> None:
        """Let one job end in a resource manager, and load it."""
        rm = self.rms[self.random.choice("abc")]
        if rm.jobs:
            result = "failed" if self.wild and self.random.random() < 0.3 else "success"
            rm.end(self.random.choice(sorted(rm.jobs)), self.now, result)
        self.load(rm.name)


@pytest.mark.parametrize("seed", range(3))
def test_no_element_ever_moves_and_everything_ends(seed: int) -> None:
    box = Random3(seed)
    for _ in range(3):
        box.submit(array=((0, 29),), retries=1, array_cap=box.random.choice((0, 0, 5)))
    for number in range(90):
        box.step()
        if number % 30 == 29:
            s, stored = box.machine.state, load(durable(box), 2, box.now)
            for job, entry in stored.jobs.items():
                known = {i: where(s.jobs[job], i) for i in range(30) if i not in entry.live}
                assert known == {i: where(entry, i) for i in known}
    box.wild = False
    for _ in range(400):
        if not box.machine.state.jobs:
            break
        box.step_native()
        box.step_foreign()
    assert not box.machine.state.jobs
    assert box.told("plan/refused") == []
