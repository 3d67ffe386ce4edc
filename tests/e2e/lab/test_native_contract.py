"""Ostler's own agents keep what every driver of another resource manager is held to."""

import pytest

from ostler.testing.conformance import CASES, Verdict, check
from ostler.testing.conformance.native import LabBench

NOT_OF_OURS = {  # and why the bench cannot try it
    "says-when-a-list-is-partial",  # the manager answers for all, or not at all
    "does-not-guess-at-a-job",  # its words are ours
    "does-not-guess-at-a-node",
    "answers-for-many-nodes-at-once",  # nodes are not asked for one by one
    "ends-nothing-by-absence",  # it loses no job
    "tells-a-reused-id-from-the-old-one",  # and uses no id twice
    "runs-once-what-was-forgotten",  # what they are told is in a journal
    "runs-what-was-forgotten-before-it-began",
    "writes-checkpoints",
}
OUTAGES = {  # a second each, for hosts that boot again: `ostler rm check native`, which CI runs
    "sees-a-node-fail",
    "refuses-a-node-that-is-down",
    "claims-no-start-while-nobody-answers",
    "lists-nothing-while-nobody-answers",
    "claims-no-cancel-while-nobody-answers",
}


@pytest.mark.e2e
def test_our_own_agents_keep_the_contract_of_drivers() -> None:
    """R-MAU-6, R-MAU-12, R-MAU-13."""
    bench = LabBench()
    try:
        found = list(check(bench, [name for name in CASES if name not in OUTAGES]))
    finally:
        bench.close()
    assert [each for each in found if each.verdict is Verdict.FAILED] == []
    assert {each.case for each in found if each.verdict is Verdict.SKIPPED} == NOT_OF_OURS
