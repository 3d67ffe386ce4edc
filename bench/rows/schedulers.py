"""How long anybody waits for an answer while a scheduler of others plans a queue that is long."""

import time
from contextlib import ExitStack
from functools import partial

from bench.bench import Bench, Contender
from bench.load import fill
from bench.machine import Machine
from bench.record import Sample
from bench.stats import median, quantile
from ostler.client import link

ROW = "schedulers"
P99, MOST = "p99 ms", "most ms"
NOBODY = "nobody else plans"
SETTINGS = {"it decides": "scheduler=other", "in shadow": "shadow=other"}
SECONDS = 20.0
BETWEEN = 0.005  # seconds from an answer to the next question
EVERY = 100  # questions after which a job is submitted, so that there is something to plan
PROGRAM = """
import json, sys
for count, line in enumerate(sys.stdin):
    told = json.loads(line)
    waits = {view["job"]: {"why": f"not in round {count}"} for view in told["snapshot"]["waiting"]}
    answer = {"type": "proposal", "number": told["number"], "waits": waits}
    print(json.dumps(answer), flush=True)
"""


def measure(bench: Bench) -> None:
    """One machine for each; the other scheduler tells of each job another reason at each plan."""
    sizes = bench.sizes
    with ExitStack() as stack:
        contenders = []
        for name, setting in {NOBODY: "", **SETTINGS}.items():
            machine = stack.enter_context(bench.machine("--cpus", str(bench.cpus + 1)))
            machine.submit("-o", "/dev/null", "--", "sleep", "infinity")
            fill(machine.state, sizes.long_queue, cpus=bench.cpus + 1)
            contenders.append(Contender(name, partial(_ask, machine, setting)))
        bench.interleave(ROW, contenders)
    for name in SETTINGS:
        bench.record.count(ROW, name, P99, aim=100)


def _ask(machine: Machine, setting: str) -> Sample:
    """Have it plan from now on, ask one question after another, and have nobody plan."""
    if setting:
        program = machine.folder / "plan.py"
        program.write_text(PROGRAM)
        words = ("deadline=60s", "memory=4G")
        machine.ask("scheduler", "add", "other", f"/usr/bin/env python3 {program}", *words)
        machine.ask("partitions", "set", "main", setting)
    took: list[float] = []
    rows: list[dict[str, float]] = []
    manager = link.Link(str(machine.state))
    began = time.perf_counter()
    while time.perf_counter() < began + SECONDS:
        if len(took) % EVERY == 0:
            fill(machine.state, 1, cpus=2)
        asked = time.perf_counter()
        rows = manager.call("read", what="schedulers")["schedulers"]
        took.append(1e3 * (time.perf_counter() - asked))
        time.sleep(BETWEEN)
    manager.close()
    plans = rows[-1]["plans"] if setting else 0.0
    if setting:
        machine.ask("partitions", "set", "main", "scheduler=none", "shadow=none")
        machine.ask("scheduler", "remove", "other")
    return {
        "median ms": median(took),
        P99: quantile(took, 0.99),
        MOST: max(took),
        "plans": plans,
    }
