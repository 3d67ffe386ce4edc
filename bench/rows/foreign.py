"""What another resource manager costs those who do not use it, and how fast its nodes are loaded."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.bench import Bench, Contender
from bench.machine import Machine
from bench.record import Sample
from bench.stats import median, quantile
from ostler.drivers.running import Running

DRIVERS = Path(__file__).resolve().parents[1] / "foreign_driver.py"
P99, MOST, LOADED = "p99 ms", "most ms", "loaded s"
HEALTHY = "it answers at once"
STATES = {HEALTHY: "0", "it takes 3 s a query": "3", "it hangs": "1000000"}
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
    return {"median ms": median(wall), P99: quantile(wall, 0.99), MOST: max(wall)}


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
