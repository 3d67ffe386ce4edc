"""An engine that is told what changed plans what a fresh one plans; with lists or with arrays."""

from collections import Counter
from math import inf
from random import Random

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.rules import PartitionRules
from ostler.schedule.snapshot import (
    Delta,
    Line,
    Plan,
    Rank,
    Resume,
    RunningView,
    Snapshot,
    Start,
    WaitingView,
    whole,
)
from tests.random_machines import DURATIONS, NOW, random_machine
from tests.schedule_kit import machine, node, resume

# A seed is cheaper to draw than a machine, and a smaller seed is no simpler machine.
SEEDS = settings(phases=[Phase.explicit, Phase.generate])
STEPS = 12


class Machine:
    """A machine to which things happen, and what a scheduler has been told of it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        shot = random_machine(random)
        self.now = NOW
        self.limit, self.known_ever = shot.max_cpus_per_user, shot.known_ever
        self.nodes = {
            view.name: node(
                view.name,
                len(view.facts.cpus),
                view.facts.memory,
                len(view.facts.gpus),
                generic=view.facts.generic,
                partition=view.partition,
                usable=view.usable,
                gone=view.gone,
                why=view.why_not,
            )
            for view in shot.nodes
        }
        self.runs = {view.alloc: view for view in shot.running}
        self.queue = {view.job: view for view in shot.waiting}
        self.wishes = {view.alloc: view for view in shot.resuming}
        self.kinds = [(view.request, view.duration) for view in shot.waiting]
        self.next = 1000
        self.told = self.shot()
        self.started: set[int] = set()  # by the last plan: jobs; allocations; nodes
        self.resumed: set[int] = set()
        self.touched: set[str] = set()

    def shot(self) -> Snapshot:
        """Return everything as it is."""
        return machine(
            list(self.nodes.values()),
            list(self.queue.values()),
            runs=list(self.runs.values()),
            resuming=list(self.wishes.values()),
            limit=self.limit,
            known_ever=self.known_ever,
        )

    def delta(self, number: int) -> Delta:
        """Return what is different from what was told, and all that the last plan has touched."""
        shot, told = self.shot(), self.told
        running = {view.alloc for view in shot.running}
        queue = {view.job for view in shot.waiting}
        self.told = shot
        return Delta(
            number,
            [v for v in shot.nodes if v.name in self.touched or v not in told.nodes],
            [v for v in shot.running if v.alloc in self.resumed or v not in told.running],
            [view.alloc for view in told.running if view.alloc not in running],
            [v for v in shot.waiting if v.job in self.started or v not in told.waiting],
            [v.job for v in told.waiting if v.job not in queue],
            shot.resuming if self.resumed or shot.resuming != told.resuming else None,
        )

    def carry_out(self, plan: Plan) -> None:
        """Do what the plan says, but for a line now and then; fail if it is not possible."""
        left = {view.name: view for view in self.shot().nodes}
        free = {name: (set(v.free_cpus), set(v.free_gpus)) for name, v in left.items()}
        memory = {name: view.free_memory for name, view in left.items()}
        self.started = {line.job for line in plan.lines if isinstance(line, Start)}
        self.resumed = {line.alloc for line in plan.lines if isinstance(line, Resume)}
        self.touched.clear()
        for line in plan.lines:
            places = (
                line.placements if isinstance(line, Start) else self.runs[line.alloc].placements
            )
            self.touched |= {place.node for place in places}
            for place in places:
                cpus, gpus = free[place.node]
                assert cpus.issuperset(place.cpus)
                cpus.difference_update(place.cpus)
                if isinstance(line, Start):
                    assert gpus.issuperset(place.gpus)
                    gpus.difference_update(place.gpus)
                    memory[place.node] -= place.memory
                    assert memory[place.node] >= 0 or not place.memory
            if self.random.random() < 0.9:
                self._do(line)

    def _do(self, line: Line) -> None:
        if not isinstance(line, Start):
            wish = self.wishes.pop(line.alloc)
            ends = self.now + wish.duration
            self.runs[line.alloc] = replace(self.runs[line.alloc], suspended=False, ends_at=ends)
            return
        entry = self.queue.pop(line.job)
        if entry.elements > 1:
            self.queue[line.job] = replace(entry, elements=entry.elements - 1, head=False)
        self.next += 1
        goes_on = None
        if self.random.random() < 0.2:
            goes_on = Rank(
                entry.priority,
                entry.submitted_at,
                entry.partition,
                entry.request,
                entry.duration,
            )
        self.runs[self.next] = RunningView(
            self.next,
            line.job,
            None,
            entry.user,
            line.placements,
            self.now + entry.duration,
            goes_on=goes_on,
            licences=entry.request.licences,
        )

    def happen(self) -> None:
        """Let time pass, and one thing or a few happen."""
        self.now += self.random.choice([0.0, 0.0, 0.5, 1.0, 2.0])
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 3])):
            self.random.choice(
                [self._end, self._end, self._submit, self._submit, self._cancel, self._change]
            )()

    def _end(self) -> None:
        if self.runs:
            number = self.random.choice(list(self.runs))
            del self.runs[number]
            self.wishes.pop(number, None)

    def _submit(self) -> None:
        self.next += 1
        request, duration = self.random.choice(self.kinds)
        self.queue[self.next] = WaitingView(
            self.next,
            self.random.choice([1, 1, 1, 3]),
            request,
            self.random.choice(["main", "main", "main", "other"]),
            self.random.choice(["ann", "bob"]),
            self.random.choice([50, 50, 50, 40, 60]),
            self.random.choice([self.now, 2.0]),
            duration,
        )

    def _cancel(self) -> None:
        if self.queue:
            del self.queue[self.random.choice(list(self.queue))]

    def _change(self) -> None:
        """Let a node go or come, a job be modified, a limit be changed, or a job be suspended."""
        what = self.random.randrange(6)
        able = [view for view in self.runs.values() if not view.suspended]
        if what == 0:
            name = self.random.choice(list(self.nodes))
            node_view = self.nodes[name]
            usable = not node_view.usable and not node_view.gone
            self.nodes[name] = replace(node_view, usable=usable)
        elif what == 5:
            name = self.random.choice(list(self.nodes))
            other = "main" if self.nodes[name].partition == "other" else "other"
            self.nodes[name] = replace(self.nodes[name], partition=other)
        elif what == 1 and self.queue:
            job = self.random.choice(list(self.queue))
            priority = self.random.choice([40, 50, 60])
            self.queue[job] = replace(self.queue[job], priority=priority, elements=2)
        elif able:
            view = self.random.choice(able)
            if what == 2:
                ends = self.now + self.random.choice([*DURATIONS, inf])
                view = replace(view, ends_at=ends)
            elif what == 3:
                view = replace(view, suspended=True, goes_on=None)
                if self.random.random() < 0.7:
                    self.wishes[view.alloc] = resume(view, self.random.choice(DURATIONS))
            elif view.goes_on is not None:
                view = replace(view, draining=True)
            self.runs[view.alloc] = view


@SEEDS
@given(seed=st.integers(0, 1 << 48))
@example(seed=6106)  # one that had stood still has another end than the plan that let it go on
def test_an_engine_told_of_changes_plans_what_a_fresh_one_does(seed: int) -> None:
    world = Machine(Random(seed))
    engines = [Engine(), Engine(many=1)]  # with lists, with arrays
    told: list[dict[int, Rule]] = [{}, {}]
    delta = whole(world.told)
    for step in range(1, STEPS):
        shot = world.shot()
        fresh = Engine()
        fresh.apply(whole(shot, delta.number))
        right = fresh.plan(world.now)
        for engine, rules in zip(engines, told, strict=True):
            engine.apply(delta)
            plan = engine.plan(world.now)
            assert (plan.lines, plan.yields) == (right.lines, right.yields)
            rules |= {job: wait.rule for job, wait in plan.waits.items()}
            expected = {job: wait.rule for job, wait in right.waits.items()}
            assert {job: rule for job, rule in rules.items() if job in expected} == expected
        world.carry_out(right)
        world.happen()
        delta = world.delta(step)


@SEEDS
@given(seed=st.integers(0, 1 << 48))
def test_what_is_tried_on_a_copy_changes_nothing(seed: int) -> None:
    shot = random_machine(Random(seed))
    engine, other = Engine(many=1), Engine()
    engine.apply(whole(shot))
    other.apply(whole(shot))
    tried = engine.copy().plan(NOW)
    assert tried == engine.copy().plan(NOW) == engine.plan(NOW) == other.copy().plan(NOW)


@SEEDS
@given(
    seed=st.integers(0, 1 << 48),
    starts=st.integers(1, 3),
    policy=st.sampled_from(["fcfs", "easy", "easy-sjbf", "reserved-3", "conservative"]),
)
def test_plans_that_stop_early_are_in_sum_the_plan_that_does_not(
    seed: int, starts: int, policy: str
) -> None:
    shot = random_machine(Random(seed))
    shot = replace(shot, rules=replace(shot.rules, default=PartitionRules(policy=policy)))
    whole_pass, in_parts = (
        Engine(many=1 + seed % 64, starts=most, tells=most) for most in (inf, starts)
    )
    whole_pass.apply(whole(shot))
    in_parts.apply(whole(shot))
    assert in_sum(in_parts) == in_sum(whole_pass)


def in_sum(engine: Engine) -> tuple[list[Line], dict[int, Rule], frozenset[int]]:
    """Return all that is planned until there is no more."""
    lines: list[Line] = []
    rules: dict[int, Rule] = {}
    while True:
        plan = engine.plan(NOW)
        lines += plan.lines
        rules |= {job: wait.rule for job, wait in plan.waits.items()}
        if not plan.lines and plan.wake != NOW:
            return lines, rules, plan.yields


@SEEDS
@given(seed=st.integers(0, 1 << 48))
def test_nothing_more_starts_on_a_machine_on_which_nothing_happens(seed: int) -> None:
    """Passes come to an end: what is left stays where it is."""
    shot = random_machine(Random(seed))
    engine = Engine()
    engine.apply(whole(shot))
    counts, passes = Counter[int](), 0
    while lines := engine.plan(NOW).lines:
        counts.update(line.job for line in lines if isinstance(line, Start))
        passes += 1
        assert passes < 100
    assert all(counts[entry.job] <= entry.elements for entry in shot.waiting)
