"""How soon people are answered while a large machine is planned again and again.

The nodes are made up by one process, which greets as all of their agents and runs nothing: jobs
start and end there without end, each end asks for a plan, and 100,000 others wait.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count

from bench.bench import Bench, Contender, say
from bench.load import frames, pour
from bench.machine import Machine
from bench.processes import Timed, Unavailable, timed
from bench.record import Sample
from bench.stats import median, quantile

ROW = "large"
P99 = "p99 ms"
MEDIAN = "median ms"
BARE = "bare Python"
SHAPES = 200
SECONDS = 20  # that a job runs
SLOW = 4  # explanations: one for so many other commands
COMMANDS = {
    "jobs": ["jobs", "--limit", "200"],
    "jobs of nobody": ["jobs", "--user", "nobody"],
    "explain": ["explain"],
    "submit": ["submit", "-c", "16", "--", "true"],
}


def measure(bench: Bench) -> None:
    """All commands in turn, on one machine."""
    sizes = bench.sizes
    with ExitStack() as last, bench.machine() as machine:
        crowd(machine, sizes.large_nodes, last)
        each = sizes.large_jobs // SHAPES
        for shape in range(SHAPES):
            requests = frames(each, env=b"", cpus=16, time_limit=60 * (shape + 1))
            pour(machine.state, requests, at_once=each)
        say(f"{ROW}: {each * SHAPES} jobs are submitted")
        newest = count(each * SHAPES, -1)  # `explain` asks of another job each time
        bench.interleave(
            ROW,
            [
                Contender(name, partial(_ask, machine, words, sizes.asked, newest))
                for name, words in COMMANDS.items()
            ]
            + [Contender(BARE, partial(_bare, sizes.asked))],
        )
        bench.record.add(ROW, "the machine", machine.resident_mb())
    for name in COMMANDS:
        aim = None if name == "explain" else 50.0
        bench.record.count(ROW, name, P99, aim=aim)
        bench.record.ratio(ROW, MEDIAN, (name, BARE), less=True)


def crowd(machine: Machine, nodes: int, last: ExitStack) -> None:
    """Let so many nodes greet that are none; the one that is takes no work.

    last: closed when the machine is down, for what runs there is ended by those who greeted.
    """
    words = ["ostler.testing.crowd", str(machine.state), str(nodes), str(SECONDS)]
    process = last.enter_context(
        subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True)
    )
    last.callback(process.kill)
    if process.stdout is None or not process.stdout.readline():
        raise Unavailable("the nodes did not come")
    names = [row["name"] for row in machine.json("nodes")["nodes"]]
    machine.ask("nodes", "drain", *(name for name in names if name[0] != "f"))


def _ask(machine: Machine, words: list[str], times: int, newest: Iterator[int]) -> Sample:
    before, took = machine.cpu(), []
    for _ in range(times // SLOW if words == ["explain"] else times):
        asked = [*words, str(next(newest))] if words == ["explain"] else words
        took.append(machine.timed(*asked))
    used = machine.cpu().since(before)
    return _summed(took) | {"manager busy %": 100 * used.manager / sum(t.seconds for t in took)}


def _bare(times: int) -> Sample:
    """What the host makes of a process that does nothing, in the same minutes."""
    return _summed([timed([sys.executable, "-SEI", "-c", "pass"]) for _ in range(times)])


def _summed(took: list[Timed]) -> dict[str, float]:
    wall = [1e3 * one.seconds for one in took]
    return {
        MEDIAN: median(wall),
        P99: quantile(wall, 0.99),
        "most ms": max(wall),
        "CPU ms": median([1e3 * one.cpu_seconds for one in took]),
    }
