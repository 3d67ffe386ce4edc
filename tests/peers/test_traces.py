"""Replays of whole logs that are too large to be kept here, beside the results of others.

OSTLER_TRACES names a folder with the logs KTH-SP2-1996-2 and CTC-SP2-1996-3.1-cln of the Parallel
Workloads Archive, and waits of KTH's jobs computed by other programs below `golden`.
"""

import csv
import gzip
import os
from collections.abc import Callable
from itertools import starmap
from pathlib import Path

import pytest

from ostler.schedule.counted import Rule, Work, replay
from ostler.schedule.policy import Policy, parse_policy
from ostler.sim import compiled, swf
from ostler.sim.metrics import bounded_slowdown

Form = Callable[[Work, int, Policy, Rule], list[int]]

TRACES = Path(os.environ.get("OSTLER_TRACES", "nowhere"))
KTH, CTC = "KTH-SP2-1996-2.swf.gz", "CTC-SP2-1996-3.1-cln.swf.gz"
CTC_MEANS = {  # wait, bounded slowdown
    ("fcfs", Rule.EVENT): "655557.119 3651.566169",
    ("fcfs", Rule.BATCH): "655557.119 3651.566169",
    ("easy", Rule.EVENT): "14272.595 49.571290",
    ("easy", Rule.BATCH): "13943.007 48.836986",
    ("easy-sjbf", Rule.EVENT): "11768.966 30.041070",
    ("easy-sjbf", Rule.BATCH): "11817.730 30.104668",
    ("conservative", Rule.EVENT): "16753.122 53.110473",
    ("conservative", Rule.BATCH): "17642.028 55.927203",
}


def in_compiled_form(work: Work, procs: int, policy: Policy, rule: Rule) -> list[int]:
    starts = compiled.replay(work, procs, policy, rule, lambda _jobs: None)
    if starts is None:
        pytest.skip("NOT TESTED: there is no compiled form of this replay")
    return list(starts)


def waits_of(name: str, policy: str, rule: Rule, form: Form) -> tuple[swf.Trace, list[int]]:
    path = TRACES / name
    if not path.exists():
        pytest.skip(f"NOT TESTED: the log {name} is not in OSTLER_TRACES ({TRACES})")
    trace = swf.read(str(path))
    work = Work(trace.submits, trace.runs, trace.sizes, trace.estimates)
    starts = form(work, trace.procs, parse_policy(policy), rule)
    return trace, [start - submit for start, submit in zip(starts, trace.submits, strict=True)]


@pytest.mark.parametrize(("policy", "rule"), CTC_MEANS)
def test_a_replay_of_ctc_gives_the_published_means(policy: str, rule: Rule) -> None:
    assert means_of_ctc(policy, rule, replay) == CTC_MEANS[policy, rule]


@pytest.mark.parametrize("rule", list(Rule))
def test_the_compiled_form_gives_the_published_means_of_ctc(rule: Rule) -> None:
    means = means_of_ctc("conservative", rule, in_compiled_form)
    assert means == CTC_MEANS["conservative", rule]


def means_of_ctc(policy: str, rule: Rule, form: Form) -> str:
    trace, waits = waits_of(CTC, policy, rule, form)
    slowdowns = starmap(bounded_slowdown, zip(waits, trace.runs, strict=True))
    assert len(waits) == 77_199
    return f"{sum(waits) / len(waits):.3f} {sum(slowdowns) / len(waits):.6f}"


@pytest.mark.parametrize(
    ("policy", "form"),
    [("easy", replay), ("conservative", replay), ("conservative", in_compiled_form)],
)
def test_each_wait_of_kth_is_that_of_the_other_program(policy: str, form: Form) -> None:
    trace, waits = waits_of(KTH, policy, Rule.EVENT, form)
    with gzip.open(TRACES / "golden" / f"KTH-SP2-event-{policy}.csv.gz", "rt") as file:
        rows = [(int(row["job"]), int(row["wait"])) for row in csv.DictReader(file)]
    assert list(zip(trace.numbers, waits, strict=True)) == rows
