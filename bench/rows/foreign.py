"""What another resource manager costs those who do not use it, and how fast its nodes are loaded."""

import gc
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.bench import Bench, Contender
from bench.foreign_driver import Busy, waiting
from bench.machine import Machine
from bench.record import Sample
from bench.stats import median, quantile
from ostler.core.events import Administered, RmLoaded, RmMore
from ostler.core.machine import Machine as Core
from ostler.drivers.running import Running
from ostler.model.caller import Caller
from ostler.model.foreign import ForeignNode, Jobs, Nodes, NodeState
from ostler.model.record import Loaded
from ostler.model.site_changes import Change

DRIVERS = Path(__file__).resolve().parents[1] / "foreign_driver.py"
P95, P99, MOST, LOADED, LONGEST = "p95 ms", "p99 ms", "most ms", "loaded s", "longest turn, CPU ms"
HEALTHY = "it answers at once"
STATES = {HEALTHY: "0", "it takes 3 s a query": "3", "it hangs": "1000000"}
LOADS = ("new", "as before", "otherwise")  # a load, against what is known
ROOT = Caller(0, 0, "root", owner=True)
EMPTY = Loaded([], [], {}, [], [], {}, {}, 1, 1, 1)
JOBS = ("jobs",)
COMMANDS = (JOBS, ("run", "true"))


def commands(bench: Bench) -> None:
    """Everyday commands beside a resource manager that is healthy, slow or hangs.

    One machine for each, all up at the same time; the resource manager is asked as often as it can
    be, so that a load is under way nearly always.
    """
    row, sizes = "foreign", bench.sizes
    with ExitStack() as stack:
        contenders = []
        for state, seconds in STATES.items():
            machine = stack.enter_context(bench.machine())
            values = ("interval=1s", "deadline=10s", f"count={sizes.foreign_nodes}")
            machine.ask("rm", "add", "other", f"{DRIVERS}:Slow", *values, f"seconds={seconds}")
            contenders += [
                Contender(_name(words, state), partial(_ask, machine, words, sizes.asked))
                for words in COMMANDS
            ]
        bench.interleave(row, contenders)
    for words in COMMANDS:
        for state in STATES:
            name = _name(words, state)
            bench.record.count(row, name, P99, aim=100 if words == JOBS else None)
            if state != HEALTHY:
                bench.record.ratio(row, P99, (name, _name(words, HEALTHY)), less=True, aim=2)


def _name(words: Sequence[str], state: str) -> str:
    return f"{words[0]}, {state}"


def _ask(machine: Machine, words: Sequence[str], count: int) -> Sample:
    wall = [1e3 * machine.timed(*words).seconds for _ in range(count)]
    return {
        "median ms": median(wall),
        P95: quantile(wall, 0.95),
        P99: quantile(wall, 0.99),
        MOST: max(wall),
    }


def loads(bench: Bench) -> None:
    """A large load: how long a turn of the core it takes, and commands while it is taken in."""
    row, sizes = "foreign-loads", bench.sizes
    jobs, nodes = sizes.loaded_jobs, sizes.loaded_nodes
    told = {
        f"{jobs:,} jobs": (jobs, 0),
        f"{nodes:,} nodes": (1, nodes),
    }
    turns = [
        Contender(f"{name}, {state}", partial(_turns, state, *counts))
        for name, counts in told.items()
        for state in LOADS
    ]
    bench.interleave(row, turns)
    with ExitStack() as stack:
        commands = []
        for name, more in {"others each time": ("others=1",), "the same each time": ()}.items():
            machine = stack.enter_context(bench.machine())
            values = ("interval=1s", "deadline=60s", "count=10", f"jobs={jobs}", *more)
            machine.ask("rm", "add", "other", f"{DRIVERS}:Busy", *values)
            what = f"jobs, beside {jobs:,} of another, {name}"
            commands.append(Contender(what, partial(_ask, machine, JOBS, sizes.asked)))
        bench.interleave(row, commands)
    for contender in turns:
        bench.record.count(row, contender.name, LONGEST, aim=10)
    for contender in commands:
        bench.record.count(row, contender.name, P95, aim=200)


def _turns(state: str, jobs: int, nodes: int) -> Sample:
    """Take a load in and another one like it, as the manager does, without its writer."""
    machine = Core(EMPTY, epoch=1, now=0.0)
    change = Change("create", "rm", ("a",), {"driver": "bench"})
    machine.handle(0.0, Administered(0, ROOT, (change,)))
    one = RmLoaded("a", Busy.about, _nodes(nodes, 0), _jobs(jobs, "Priority"), 1.0, 0.1)
    other = state == LOADS[2]
    two = RmLoaded(
        "a",
        Busy.about,
        _nodes(nodes, int(other)),
        _jobs(jobs, "Resources" if other else "Priority"),
        9.0,
        0.1,
    )
    gc.collect()
    gc.freeze()
    gc.disable()
    first = _taken(machine, 2.0, one)
    found = first if state == LOADS[0] else _taken(machine, 10.0, two)
    gc.enable()
    gc.unfreeze()
    each = 1e6 * sum(found) / max(jobs, nodes)
    return {LONGEST: 1e3 * max(found), "turns": float(len(found)), "µs each": each}


def _nodes(count: int, used: int) -> Nodes:
    up = NodeState.UP
    return Nodes(tuple(ForeignNode(f"n{n}", up, 16, used_cpus=used) for n in range(count)))


def _jobs(count: int, reason: str) -> Jobs:
    return Jobs(tuple(waiting(n, reason) for n in range(count)))


def _taken(machine: Core, now: float, load: RmLoaded) -> list[float]:
    """Return the seconds of CPU of each turn."""
    began = time.thread_time()
    machine.handle(now, load)
    found = [time.thread_time() - began]
    while machine.wants_more:
        began = time.thread_time()
        machine.handle(now, RmMore())
        found.append(time.thread_time() - began)
    return found


def nodes(bench: Bench) -> None:
    """Nodes that are asked for one by one, by the number that is asked for at a time."""
    row, count = "foreign-nodes", bench.sizes.asked_nodes
    contenders = [
        Contender(f"{workers} at a time", partial(_load, count, workers))
        for workers in bench.sizes.workers
    ]
    bench.interleave(row, contenders)
    for contender in contenders:
        bench.record.count(row, contender.name, LOADED)


def _load(count: int, workers: int) -> Sample:
    """Load them all once, in processes as the manager's are."""
    kind = f"{DRIVERS}:OneByOne"
    with Running(kind, {"count": str(count)}, seconds=60.0, workers=workers) as driver:
        driver.about  # noqa: B018 - loaded before the clock starts
        began = time.perf_counter()
        found = len(driver.list_nodes().nodes)
        took = time.perf_counter() - began
    return {LOADED: took, "nodes": float(found), "nodes a second": found / took}
