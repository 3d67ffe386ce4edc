"""What a machine costs while it does nothing: memory for its jobs, CPU for its being there."""

import time

from bench.bench import Bench
from bench.load import fill
from bench.machine import Machine
from bench.processes import Unavailable, scheduled
from bench.record import Sample
from bench.rows.submissions import busy

GROWTH = "manager grows by MB"
CPU = "CPU ms/s"
WAKES = "wakes/s"


def memory(bench: Bench) -> None:
    """Resident size against waiting jobs: counts, so one look at each is enough."""
    row = "memory"
    with bench.machine() as machine:
        busy(machine)
        empty = machine.resident_mb()
        bench.record.add(row, "0 jobs", empty)
        there = 0
        for count in bench.sizes.behind:
            fill(machine.state, count - there)
            there = count
            _look(bench, machine, f"{count:,} jobs", empty["manager MB"])
    array = f"array of {bench.sizes.great_array:,}"
    for _ in range(bench.sizes.rounds):
        with bench.machine() as machine:
            busy(machine)
            before = machine.resident_mb()["manager MB"]
            words = ("--array", f"0-{bench.sizes.great_array - 1}", "-o", "/dev/null")
            took = machine.timed("submit", *words, "--", "/bin/true")
            sample = {"submission ms": 1e3 * took.seconds}
            _look(bench, machine, array, before, sample)
    bench.record.count(row, array, GROWTH, aim=50)
    bench.record.count(row, array, "submission ms", aim=100)
    bench.record.count(row, f"{bench.sizes.behind[-1]:,} jobs", GROWTH)


def _look(
    bench: Bench, machine: Machine, name: str, before: float, more: Sample | None = None
) -> None:
    now = machine.resident_mb()
    growth = {GROWTH: now["manager MB"] - before}
    bench.record.add("memory", name, {**now, **growth, **(more or {})})


def idle(bench: Bench) -> None:
    """Nothing runs and nobody asks; everybody's daemons are looked at in the same seconds."""
    row = "idle"
    with bench.machine() as machine:
        roots = {"ours": [machine.root]}
        for name, peer in (("HyperQueue", bench.peers.hyperqueue), ("Slurm", bench.peers.slurm)):
            try:
                roots[name] = peer().roots
            except Unavailable as error:
                bench.record.drop(row, name, str(error))
        for _ in range(bench.sizes.rounds):
            for name, sample in _doing_nothing(roots, bench.sizes.idle_seconds).items():
                bench.record.add(row, name, sample)
    bench.record.count(row, "ours", CPU)
    bench.record.count(row, "ours", WAKES)


def _doing_nothing(roots: dict[str, list[int]], seconds: float) -> dict[str, Sample]:
    before = {name: scheduled(*pids) for name, pids in roots.items()}
    time.sleep(seconds)
    after = {name: scheduled(*pids) for name, pids in roots.items()}
    return {
        name: {
            CPU: 1e3 * (after[name][0] - before[name][0]) / seconds,
            WAKES: (after[name][1] - before[name][1]) / seconds,
        }
        for name in roots
    }
