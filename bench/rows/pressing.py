"""What it costs to find who gives way on a large machine, and how that grows with its nodes.

The scheduler alone, in this process. Every node is full with four jobs that may be stopped and run
again, and jobs that matter more come: a small one, and one that needs a tenth of all nodes.
"""

import time
from itertools import pairwise

from msgspec.structs import replace

from bench.bench import Bench, brief, say
from bench.record import Sample
from ostler.model.resources import NodeFacts, Placement, Request
from ostler.schedule.engine import Engine
from ostler.schedule.rules import PartitionRules, Preemption, Rules
from ostler.schedule.snapshot import Delta, NodeView, Preempt, RunningView, WaitingView

ROW = "pressing"
SMALL, LARGE = "small job ms", "a tenth of all nodes ms"
CPUS, JOBS = 16, 4  # of a node
NOW = 1_000.0
RULES = Rules(PartitionRules(preemption=Preemption.REQUEUE, priority_gap=20))


def measure(bench: Bench) -> None:
    """One size after the other."""
    sizes = bench.sizes.cycle_nodes
    names = [f"{nodes:,} nodes" for nodes in sizes]
    for nodes, name in zip(sizes, names, strict=True):
        for turn in range(bench.sizes.rounds):
            sample = once(nodes)
            bench.record.add(ROW, name, sample)
            say(f"{ROW} {turn + 1}/{bench.sizes.rounds}: {name}: {brief(sample)}")
    bench.record.count(ROW, names[-1], SMALL, aim=5)
    bench.record.count(ROW, names[-1], LARGE, aim=1_000)
    for less, more in pairwise(names):
        bench.record.ratio(ROW, SMALL, (more, less), less=True)
        bench.record.ratio(ROW, LARGE, (more, less), less=True)


def once(nodes: int) -> Sample:
    """Return what the plans of one machine cost."""
    engine = Engine()
    views = [_node(f"n{at}") for at in range(nodes)]
    runs = [_running(at, part) for at in range(nodes) for part in range(JOBS)]
    engine.apply(Delta(0, views, runs, [], [], [], None, None, RULES, reset=True))
    engine.plan(NOW)
    first, _ = _pressed(engine, _waiting(1, 1, CPUS // JOBS), NOW + 1)
    small, _ = _pressed(engine, _waiting(2, 1, CPUS // JOBS), NOW + 2)
    large, given = _pressed(engine, _waiting(3, nodes // 10, CPUS), NOW + 3)
    return {"the first ms": first, SMALL: small, LARGE: large, "victims": given}


def _pressed(engine: Engine, job: WaitingView, now: float) -> tuple[float, int]:
    """Return what the plan after an arrival takes, and how many give way."""
    begun = time.perf_counter()
    engine.apply(Delta(waiting=[job]))
    plan = engine.plan(now)
    took = 1e3 * (time.perf_counter() - begun)
    return took, sum(isinstance(line, Preempt) for line in plan.lines)


def _node(name: str) -> NodeView:
    facts = NodeFacts(tuple(range(CPUS)), 64 << 30)
    return NodeView(
        name,
        facts,
        "main",
        usable=True,
        gone=False,
        why_not="",
        free_cpus=(),
        free_memory=0,
        free_gpus=(),
        free_generic={},
    )


def _running(at: int, part: int) -> RunningView:
    number, each = 10 + JOBS * at + part, CPUS // JOBS
    cpus = tuple(range(part * each, (part + 1) * each))
    place = Placement(f"n{at}", 1, 0, cpus, 16 << 30)
    run = RunningView(number, number, None, "user", (place,), 5_000.0 + number % 997)
    begun, priority = float(31 * number % 700), 10 + number % 3
    return replace(run, started_at=begun, again=True, priority=priority)


def _waiting(number: int, tasks: int, cpus: int) -> WaitingView:
    request = Request(tasks, cpus)
    return WaitingView(number, 1, request, "main", "other", 70, float(number), 3_600.0)
