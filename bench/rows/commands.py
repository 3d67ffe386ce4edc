"""Whole commands as processes: `ostler submit`, and `ostler run true` a thousand times."""

import sys
from collections.abc import Callable

from bench.bench import Bench, Contender
from bench.processes import Timed, timed
from bench.record import Sample
from bench.stats import median, quantile

MEDIAN = "median ms"
CPU = "CPU ms"
P99 = "p99 ms"
ENOUGH = 100  # processes, for a 99th percentile to mean something
TRUE = "/bin/true"


def submit(bench: Bench) -> None:
    """Submit jobs that are held, so that none runs beside the next command."""
    row, count = "submit", bench.sizes.commands
    with bench.machine() as machine:
        bench.interleave(
            row,
            [
                Contender(
                    "ours",
                    lambda: _many(
                        count,
                        lambda: machine.timed("submit", "--hold", "-o", "/dev/null", "--", TRUE),
                    ),
                ),
                Contender("bare Python", lambda: _many(count, _bare)),
                Contender("sbatch", lambda: _many(count, _sbatch(bench))),
                Contender("HyperQueue", lambda: _many(count, _hyperqueue(bench))),
            ],
        )
    for measure in (MEDIAN, CPU):
        bench.record.ratio(row, measure, ("ours", "bare Python"), less=True, aim=2)
    for other in ("sbatch", "HyperQueue"):
        bench.record.ratio(row, MEDIAN, ("ours", other), less=True)


def run(bench: Bench) -> None:
    """Run `true` so often, one after another, and wait for each."""
    row, count = "run-latency", bench.sizes.runs
    with bench.machine() as machine:
        bench.interleave(
            row,
            [
                Contender("ours", lambda: _many(count, lambda: machine.timed("run", "true"))),
                Contender("posix_spawn", lambda: _many(count, lambda: timed([TRUE]))),
                Contender("bare Python", lambda: _many(count, _bare)),
                Contender("srun", lambda: _many(bench.sizes.bodies, _srun(bench))),
            ],
        )
    for other in ("bare Python", "srun"):
        bench.record.ratio(row, MEDIAN, ("ours", other), less=True)
    bench.record.count(row, "ours", P99)


def _many(count: int, once: Callable[[], Timed]) -> Sample:
    took = [once() for _ in range(count)]
    wall = [1e3 * one.seconds for one in took]
    sample = {MEDIAN: median(wall), CPU: 1e3 * sum(one.cpu_seconds for one in took) / count}
    if count >= ENOUGH:
        sample |= {"p90 ms": quantile(wall, 0.9), P99: quantile(wall, 0.99), "most ms": max(wall)}
    return sample


def _bare() -> Timed:
    """Start the interpreter that our command starts, as our command does, for nothing."""
    return timed([sys.executable, "-SEI", "-c", "pass"])


def _sbatch(bench: Bench) -> Callable[[], Timed]:
    slurm = bench.peers.slurm()
    return lambda: slurm.timed("sbatch", "-H", "-o", "/dev/null", "--wrap", TRUE)


def _srun(bench: Bench) -> Callable[[], Timed]:
    slurm = bench.peers.slurm()
    return lambda: slurm.timed("srun", "-Q", TRUE)


def _hyperqueue(bench: Bench) -> Callable[[], Timed]:
    words = bench.peers.hyperqueue().submit_words()
    return lambda: timed(words)
