"""Replay of workload traces: the loops alone, without reading and printing."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.bench import Bench, Contender
from bench.processes import Unavailable
from bench.record import Sample
from bench.traces import CURIE_PROCS, curie_like
from ostler.schedule.counted import Rule, Work, replay
from ostler.schedule.policy import POLICIES, Policy
from ostler.sim import compiled, swf

Form = Callable[[Work, int, Policy], int]  # returns how many jobs were replayed

KTH = Path(__file__).resolve().parents[2] / "tests" / "data" / "KTH-SP2-1996-2.swf.gz"
RATE = "jobs/s"
AIMS = {"easy": 100_000, "easy-sjbf": 100_000, "conservative": 20_000}
SEED = 1


def kth(bench: Bench) -> None:
    """Replay a year of the IBM SP2 of KTH: 28,481 jobs on 100 processors."""
    trace = swf.read(str(KTH))
    work = Work(trace.submits, trace.runs, trace.sizes, trace.estimates)
    _compare(bench, "replay", work, trace.procs)
    bench.record.ratio("replay", RATE, ("conservative", "conservative, Python"))
    for name, aim in AIMS.items():
        bench.record.count("replay", name, RATE, less=False, aim=aim)


def curie(bench: Bench) -> None:
    """Replay as many jobs on as many processors as CEA-Curie's: 300,000 on 80,640."""
    _compare(bench, "replay-curie", curie_like(SEED), CURIE_PROCS)


def _compare(bench: Bench, row: str, work: Work, procs: int) -> None:
    """Compare policies with the plainest, which does little more than a heap of ends.

    Those with many promises are replayed in both forms, the compiled one and that in Python.
    """
    contenders = []
    for name, policy in POLICIES.items():
        if policy.reserved in (0, 1):
            contenders.append((name, _in_python, policy))
        else:
            contenders.append((name, _compiled, policy))
            contenders.append((f"{name}, Python", _in_python, policy))
    bench.interleave(
        row,
        [
            Contender(name, partial(_once, form, work, procs, policy))
            for name, form, policy in contenders
        ],
    )
    for name in AIMS:
        bench.record.ratio(row, RATE, (name, "fcfs"))


def _in_python(work: Work, procs: int, policy: Policy) -> int:
    return len(replay(work, procs, policy, Rule.EVENT))


def _compiled(work: Work, procs: int, policy: Policy) -> int:
    starts = compiled.replay(work, procs, policy, Rule.EVENT, lambda _jobs: None)
    if starts is None:
        raise Unavailable("there was no C compiler when Ostler was installed")
    return len(starts)


def _once(form: Form, work: Work, procs: int, policy: Policy) -> Sample:
    began = time.perf_counter()
    jobs = form(work, procs, policy)
    seconds = time.perf_counter() - began
    return {RATE: jobs / seconds, "s": seconds}
