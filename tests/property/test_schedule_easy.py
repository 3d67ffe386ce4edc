"""The promises of EASY backfilling, against a slow planner that is easy to see right, and in time."""

from collections import Counter
from math import inf
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.engine import plan
from ostler.schedule.snapshot import (
    NodeView,
    RunningView,
    Snapshot,
    Start,
    WaitingView,
)
from tests.outlook import outlook
from tests.schedule_kit import job, machine, node, running

# In few machines does a backfilled job touch what the head needs, and a look is cheap.
OFTEN = settings(max_examples=max(400, settings().max_examples))
SOMETIMES = settings(max_examples=max(150, settings().max_examples))
LIMITS = st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0, inf])
FINITE = st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0])


class Plain(NamedTuple):
    """A job that asks for CPUs of one node only."""

    number: int
    cpus: int
    limit: float


def easy(total: int, held: list[tuple[float, int]], queue: list[Plain], now: float) -> list[int]:
    """Return the numbers of the jobs that start now on one node, counting CPUs only.

    held: (end, CPUs) of what runs. Written from the definition: start in order while it fits; the
    first that does not fit has a shadow time and leaves some CPUs over then; a later one starts if
    it fits and either ends by then or needs no more than is left over.
    """
    held, queue, started = list(held), list(queue), []
    free = total - sum(cpus for _, cpus in held)
    while queue and queue[0].cpus <= free:
        first = queue.pop(0)
        started.append(first.number)
        held.append((now + first.limit, first.cpus))
        free -= first.cpus
    if not queue:
        return started
    first, shadow, then = queue.pop(0), now, free
    for end, _ in sorted(held):
        shadow = end
        then = free + sum(cpus for ends, cpus in held if ends <= shadow)
        if then >= first.cpus:
            break
    over = then - first.cpus
    for later in queue:
        if later.cpus > free:
            continue
        if later.limit < inf and now + later.limit <= shadow:
            started.append(later.number)
            free -= later.cpus
        elif later.cpus <= over:
            started.append(later.number)
            free -= later.cpus
            over -= later.cpus
    return started


@OFTEN
@given(
    st.integers(4, 8),
    st.lists(st.tuples(LIMITS, st.integers(1, 3)), min_size=1, max_size=5),
    st.lists(st.tuples(st.sampled_from([1, 2, 3, 1, 5, 8]), LIMITS), min_size=2, max_size=8),
)
def test_on_one_node_the_same_jobs_start_as_by_the_definition(
    total: int, held: list[tuple[float, int]], asked: list[tuple[int, float]]
) -> None:
    runs, taken = [], 0
    for number, (end, cpus) in enumerate(held, 100):
        if taken + cpus <= total:
            taken += cpus  # from the highest down, so that the lowest are those that are free
            runs.append(running(number, range(total - taken, total - taken + cpus), end))
    queue = [Plain(n, min(cpus, total), limit) for n, (cpus, limit) in enumerate(asked, 1)]
    waiting = [job(one.number, one.cpus, one.limit) for one in queue]
    lines = plan(machine([node(cpus=total)], waiting, runs=runs), 0.0).lines
    ends = [(run.ends_at, len(run.placements[0].cpus)) for run in runs]
    wanted = easy(total, ends, queue, 0.0)
    assert [line.job for line in lines if isinstance(line, Start)] == wanted


class World:
    """A machine on which everything takes exactly as long as planned."""

    def __init__(self, nodes: list[NodeView], runs: list[RunningView], queue: list[WaitingView]):
        self.nodes, self.runs = nodes, runs
        self.queue = {entry.job: entry for entry in queue}
        self.now = 0.0
        self.started: dict[int, float] = {}  # job -> its first start
        self.next = 1000

    def snapshot(self) -> Snapshot:
        """Return what the planner sees."""
        return machine(self.nodes, list(self.queue.values()), runs=self.runs)

    def carry_out(self, lines: list[Start]) -> None:
        """Start what the plan starts."""
        for line in lines:
            entry = self.queue.pop(line.job)
            if entry.elements > 1:
                self.queue[line.job] = replace(entry, elements=entry.elements - 1)
            self.started.setdefault(line.job, self.now)
            ends = self.now + entry.duration
            self.next += 1
            run = RunningView(self.next, line.job, None, entry.user, line.placements, ends)
            self.runs.append(run)

    def go_on(self) -> bool:
        """Move to the next end; False if there is none."""
        ends = [run.ends_at for run in self.runs if run.ends_at < inf]
        if not ends:
            return False
        self.now = min(ends)
        self.runs = [run for run in self.runs if run.ends_at > self.now]
        return True


@st.composite
def worlds(draw: st.DrawFn, limits: st.SearchStrategy[float]) -> World:
    """Return any world of up to three nodes; what waits fits its idle nodes or never will."""
    nodes = [
        node(f"n{at}", draw(st.integers(2, 6)), draw(st.integers(2, 6)), draw(st.integers(0, 2)))
        for at in range(draw(st.integers(1, 3)))
    ]
    runs, used, kept = [], Counter[str](), Counter[str]()
    for number in range(100, 100 + draw(st.integers(0, 4))):
        view = draw(st.sampled_from(nodes))
        cpus = draw(st.integers(1, 3))
        if used[view.name] + cpus <= len(view.facts.cpus):
            mine = range(used[view.name], used[view.name] + cpus)
            size = draw(st.integers(0, min(2, view.facts.memory - kept[view.name])))
            runs.append(running(number, mine, draw(limits), on=view.name, memory=size))
            kept[view.name] += size
            used[view.name] += cpus
    queue = [
        job(
            number,
            draw(st.sampled_from([1, 2, 1, 3, 4])),
            draw(limits),
            tasks=draw(st.sampled_from([1, 1, 1, 2, 3])),
            memory=draw(st.sampled_from([0, 1, 2, 3])),
            gpus=draw(st.sampled_from([0, 0, 1])),
            nodes=draw(st.sampled_from([0, 0, 0, 0, 2])),
            elements=draw(st.sampled_from([1, 1, 1, 3])),
            priority=draw(st.sampled_from([40, 50])),
        )
        for number in range(1, draw(st.integers(2, 8)) + 1)
    ]
    return World(nodes, runs, queue)


@SOMETIMES
@given(worlds(LIMITS))
def test_what_is_ahead_is_never_delayed_by_what_is_behind(world: World) -> None:
    promised: dict[tuple[int, int], float] = {}  # job and elements left -> shadow time told
    for _ in range(100):
        found = plan(world.snapshot(), world.now)
        waits = outlook(world.snapshot(), world.now, depth=0)
        starts = Counter(line.job for line in found.lines if isinstance(line, Start))
        for number, entry in world.queue.items():
            if starts[number]:
                assert world.now <= promised.get((number, entry.elements), inf)
        world.carry_out([line for line in found.lines if isinstance(line, Start)])
        for number, entry in world.queue.items():
            wait = waits[number]
            if wait.rule is Rule.RESOURCES and wait.expected_start is not None:
                told = promised.setdefault((number, entry.elements), wait.expected_start)
                assert world.now <= wait.expected_start <= told
        if not world.go_on():
            break


@SOMETIMES
@given(worlds(FINITE))
def test_expected_starts_come_true_when_everything_ends_as_planned(world: World) -> None:
    found = plan(world.snapshot(), world.now)
    waits = outlook(world.snapshot(), world.now)
    expected: dict[int, float] = {}
    for _ in range(100):
        world.carry_out([line for line in found.lines if isinstance(line, Start)])
        if world.now == 0.0:
            expected = {
                number: wait.expected_start
                for number, wait in waits.items()
                if wait.expected_start is not None and number not in world.started
            }
        if not world.go_on():
            break
        found = plan(world.snapshot(), world.now)
    assert {number: world.started.get(number) for number in expected} == expected
    for number in world.queue:  # only what the machine cannot hold is left
        assert found.waits[number].rule in (Rule.NODE_LEFT, Rule.QUEUE)
