"""From the submission to the job's body, which reads the clock first thing."""

import os
import random
import time
from collections.abc import Callable

import ostler
from bench.bench import Bench, Contender
from bench.machine import Machine
from bench.native import Stamp
from bench.record import Sample
from bench.stats import median, quantile

MEDIAN = "median ms"
# Seconds between samples, so that each finds a machine that is idle. HyperQueue plans no more than
# once in some 20 ms: with shorter rests it would look four times as slow.
REST = 0.1


def measure(bench: Bench) -> None:
    """One job at a time; all daemons are up, all clients connected where they can be."""
    row, bodies, few = "latency", bench.sizes.bodies, bench.sizes.bodies_slurm
    with Stamp(bench.new_folder("stamp")) as stamp, bench.machine() as machine:
        bench.interleave(
            row,
            [
                Contender("ours, client", lambda: _client(machine, stamp, bodies)),
                Contender("posix_spawn", lambda: _sample(stamp, bodies, lambda: _spawn(stamp))),
                Contender("HyperQueue, client", lambda: _hyperqueue(bench, stamp, bodies)),
                Contender("srun", lambda: _srun(bench, stamp, bodies)),
                Contender("sbatch", lambda: _sbatch(bench, stamp, few)),
            ],
        )
    for other, aim in {
        "posix_spawn": None,
        "HyperQueue, client": 0.6,
        "srun": None,
        "sbatch": 0.2,
    }.items():
        bench.record.ratio(row, MEDIAN, ("ours, client", other), less=True, aim=aim)


def _sample(stamp: Stamp, count: int, submit: Callable[[], int]) -> Sample:
    """Time bodies one after another. submit: returns CLOCK_MONOTONIC, in ns, just before."""
    found = []
    for _ in range(count):
        at = submit()
        found.append((stamp.read() - at) / 1e6)
        time.sleep(REST)
    return {MEDIAN: median(found), "p90 ms": quantile(found, 0.9)}


def _client(machine: Machine, stamp: Stamp, count: int) -> Sample:
    with ostler.connect(str(machine.state)) as client:

        def submit() -> int:
            at = time.monotonic_ns()
            client.submit(stamp.argv, output="/dev/null")
            return at

        return _sample(stamp, count, submit)


def _spawn(stamp: Stamp) -> int:
    at = time.monotonic_ns()
    pid = os.posix_spawn(stamp.argv[0], stamp.argv, os.environ)
    os.waitpid(pid, 0)  # the body's clock is in the FIFO by then
    return at


def _hyperqueue(bench: Bench, stamp: Stamp, count: int) -> Sample:
    peer = bench.peers.hyperqueue()
    return _sample(stamp, count, lambda: peer.body(stamp.argv))


def _srun(bench: Bench, stamp: Stamp, count: int) -> Sample:
    slurm = bench.peers.slurm()

    def submit() -> int:
        at = time.monotonic_ns()
        slurm.timed("srun", "-Q", *stamp.argv)
        return at

    return _sample(stamp, count, submit)


def _sbatch(bench: Bench, stamp: Stamp, count: int) -> Sample:
    slurm = bench.peers.slurm()
    chance = random.Random(count)

    def submit() -> int:
        # Its loop turns once a second: without a pause of chance all samples meet it alike.
        time.sleep(chance.random())
        at = time.monotonic_ns()
        slurm.submit(str(stamp.script))
        return at

    return _sample(stamp, count, submit)
