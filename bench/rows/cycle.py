"""What a planning cycle of a large machine costs, and how that grows with nodes and jobs.

The scheduler alone, in this process: no manager, no agents. The machine is made up, always the same
for its size: nodes of 16 CPUs, a tenth of them with 4 GPUs, 30 features; 10 waiting jobs of 200
shapes and 0.8 running ones to a node. Once more with a most of CPUs for each of 100 users: then two
users' jobs are not alike, and there are 20,000 kinds of them.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from random import Random

from msgspec.structs import replace

from bench.bench import Bench, brief, say
from bench.record import Sample
from bench.stats import median
from ostler.model.resources import NodeFacts, Placement, Request
from ostler.schedule.engine import Engine
from ostler.schedule.rules import Rules
from ostler.schedule.snapshot import (
    Delta,
    NodeView,
    Plan,
    RunningView,
    Snapshot,
    Start,
    WaitingView,
    whole,
)

ROW = "cycle"
FULL, END, SUBMISSION = "full cycle ms", "one end ms", "one submission ms"
CPUS = 16
GPUS = 4
MEMORY = 64 << 30
FEATURES = tuple(f"f{number}" for number in range(30))
SHAPES = 200
EVENTS = 40  # of each kind in a round
KINDS = {"": Rules(), ", CPUs limited by user": Rules(max_cpus_per_user=600)}


class Large:
    """A machine, and what is free on it."""

    def __init__(self, nodes: int) -> None:
        self.random = random = Random(1)
        kinds = [tuple(sorted(random.sample(FEATURES, 4))) for _ in range(40)]
        self.facts = {
            f"n{at}": NodeFacts(
                tuple(range(CPUS)),
                MEMORY,
                tuple(range(GPUS)) if at % 10 == 0 else (),
                features=random.choice(kinds),
            )
            for at in range(nodes)
        }
        self.cpus = {name: set(facts.cpus) for name, facts in self.facts.items()}
        self.gpus = {name: set(facts.gpus) for name, facts in self.facts.items()}
        self.memory = dict.fromkeys(self.facts, MEMORY)
        self.runs: dict[int, RunningView] = {}
        self.queue: dict[int, WaitingView] = {}
        self.next = 10 * nodes
        for name in random.sample(list(self.facts), 8 * nodes // 10):
            count = random.choice([CPUS, CPUS, CPUS, 12, 8])
            place = Placement(name, 1, 0, tuple(range(count)), count << 31)
            self._run(0, "user", (place,), float(random.randint(100, 86_400)))
        shapes = [self._shape() for _ in range(SHAPES)]
        for number in range(1, 10 * nodes + 1):
            request, limit = random.choice(shapes)
            self.queue[number] = self._job(number, request, limit)

    def _shape(self) -> tuple[Request, float]:
        random = self.random
        request = Request(
            random.choice([1, 1, 1, 1, 2, 4, 16, 64]),
            random.choice([1, 2, 4, 8, 16]),
            random.randint(1, 30) << 28,
            random.choice([0] * 9 + [1]),
            constraint=random.choice(["", "", "", *FEATURES[:3]]),
        )
        return request, random.choice([600.0, 3_600.0, 7_200.0, 86_400.0])

    def _job(self, number: int, request: Request, limit: float) -> WaitingView:
        user, known = f"user{number % 100}", (request, request.shape)
        return WaitingView(number, 1, request, "main", user, 50, float(number), limit, known=known)

    def _run(self, job: int, user: str, places: tuple[Placement, ...], ends: float) -> RunningView:
        for place in places:
            self.cpus[place.node] -= set(place.cpus)
            self.gpus[place.node] -= set(place.gpus)
            self.memory[place.node] -= place.memory
        self.next += 1
        view = RunningView(self.next, job or self.next, None, user, places, ends)
        self.runs[view.alloc] = view
        return view

    def node(self, name: str) -> NodeView:
        """Return a node as it is."""
        return NodeView(
            name,
            self.facts[name],
            "main",
            usable=True,
            gone=False,
            why_not="",
            free_cpus=tuple(sorted(self.cpus[name])),
            free_memory=self.memory[name],
            free_gpus=tuple(sorted(self.gpus[name])),
            free_generic={},
        )

    def snapshot(self) -> Snapshot:
        """Return everything."""
        nodes = [self.node(name) for name in self.facts]
        return Snapshot(nodes, list(self.runs.values()), list(self.queue.values()), [], {})

    def all(self, rules: Rules) -> Delta:
        """Return everything, to be told."""
        delta = whole(self.snapshot())
        delta.rules = rules
        return delta

    def carry_out(self, plan: Plan, now: float) -> Delta:
        """Do what is planned; return what that changes."""
        delta = Delta()
        for line in plan.lines:
            if isinstance(line, Start):
                entry = self.queue.pop(line.job)
                ends = now + entry.duration
                delta.running.append(self._run(line.job, entry.user, line.placements, ends))
                delta.gone.append(line.job)
        names = {place.node for view in delta.running for place in view.placements}
        delta.nodes = [self.node(name) for name in sorted(names)]
        return delta

    def end(self) -> Delta:
        """Let one allocation end."""
        view = self.runs.pop(self.random.choice(list(self.runs)))
        for place in view.placements:
            self.cpus[place.node] |= set(place.cpus)
            self.gpus[place.node] |= set(place.gpus)
            self.memory[place.node] += place.memory
        nodes = [self.node(place.node) for place in view.placements]
        return Delta(nodes=nodes, over=[view.alloc])

    def submit(self) -> Delta:
        """Let one more job like the others wait."""
        self.next += 1
        like = self.random.choice(list(self.queue.values()))
        view = replace(like, job=self.next, submitted_at=float(self.next))
        self.queue[view.job] = view
        return Delta(waiting=[view])


def measure(bench: Bench) -> None:
    """One size after the other; all of it is this process's own work."""
    sizes = bench.sizes.cycle_nodes
    for label, rules in KINDS.items():
        names = [f"{nodes:,} nodes{label}" for nodes in sizes]
        for nodes, name in zip(sizes, names, strict=True):
            for turn in range(bench.sizes.rounds):
                sample = once(nodes, rules)
                bench.record.add(ROW, name, sample)
                say(f"{ROW} {turn + 1}/{bench.sizes.rounds}: {name}: {brief(sample)}")
        bench.record.count(ROW, names[-1], FULL, aim=100)
        bench.record.count(ROW, names[-1], END, aim=None if label else 5)
        bench.record.count(ROW, names[-1], SUBMISSION, aim=5)
        for less, more in pairwise(names):
            bench.record.ratio(ROW, FULL, (more, less), less=True)
            bench.record.ratio(ROW, END, (more, less), less=True)


def once(nodes: int, rules: Rules) -> Sample:
    """Return what cycles of one machine cost, in the middle."""
    large = Large(nodes)
    engine, now = Engine(), 0.0
    sample = {"told of all ms": _took(lambda: engine.apply(large.all(rules)))}
    plan, sample["first cycle ms"] = _plan(engine, Delta(), now)
    sample["first starts"] = len(plan.lines)
    while plan.lines:
        plan, _ = _plan(engine, large.carry_out(plan, now), now)
    again = Engine()  # shown the full machine, on which nothing more can start
    again.apply(large.all(rules))
    _, sample["cycle of a new engine ms"] = _plan(again, Delta(), now)
    kinds: dict[str, Callable[[], Delta]] = {
        END: large.end,
        SUBMISSION: large.submit,
        FULL: lambda: Delta(nodes=[_other(large)]),
    }
    for measure_name, event in kinds.items():
        took = []
        for _ in range(EVENTS):
            now += 1.0
            plan, one = _plan(engine, event(), now)
            took.append(one)
            while plan.lines:
                plan, _ = _plan(engine, large.carry_out(plan, now), now)
        sample[measure_name] = median(took)
    sample["copy ms"] = median([_took(engine.copy) for _ in range(5)])
    return sample


def _other(large: Large) -> NodeView:
    """Return a node that has a little less memory than before: everything is looked at anew."""
    name = large.random.choice(list(large.facts))
    large.memory[name] -= 1
    return large.node(name)


def _plan(engine: Engine, delta: Delta, now: float) -> tuple[Plan, float]:
    begun = time.perf_counter()
    engine.apply(delta)
    plan = engine.plan(now)
    return plan, 1e3 * (time.perf_counter() - begun)


def _took(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begun)
