"""Replay of workload traces: the loops alone, without reading and printing."""

import time
from functools import partial
from pathlib import Path

from bench.bench import Bench, Contender
from bench.record import Sample
from bench.traces import CURIE_PROCS, curie_like
from ostler.schedule.counted import Rule, Work, replay
from ostler.schedule.policy import POLICIES, Policy
from ostler.sim import swf

KTH = Path(__file__).resolve().parents[2] / "tests" / "data" / "KTH-SP2-1996-2.swf.gz"
RATE = "jobs/s"
AIMS = {"easy": 100_000, "easy-sjbf": 100_000, "conservative": 20_000}
SEED = 1


def kth(bench: Bench) -> None:
    """Replay a year of the IBM SP2 of KTH: 28,481 jobs on 100 processors."""
    trace = swf.read(str(KTH))
    work = Work(trace.submits, trace.runs, trace.sizes, trace.estimates)
    _compare(bench, "replay", work, trace.procs)
    for name, aim in AIMS.items():
        bench.record.count("replay", name, RATE, less=False, aim=aim)


def curie(bench: Bench) -> None:
    """Replay as many jobs on as many processors as CEA-Curie's: 300,000 on 80,640."""
    _compare(bench, "replay-curie", curie_like(SEED), CURIE_PROCS)


def _compare(bench: Bench, row: str, work: Work, procs: int) -> None:
    """Compare policies with the plainest, which does little more than a heap of ends."""
    bench.interleave(
        row,
        [Contender(name, partial(_once, work, procs, policy)) for name, policy in POLICIES.items()],
    )
    for name in AIMS:
        bench.record.ratio(row, RATE, (name, "fcfs"))


def _once(work: Work, procs: int, policy: Policy) -> Sample:
    began = time.perf_counter()
    starts = replay(work, procs, policy, Rule.EVENT)
    seconds = time.perf_counter() - began
    return {RATE: len(starts) / seconds, "s": seconds}
