"""What `explain` says where more than one start is promised: it is what was promised."""

import pytest
from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.explain import explained
from ostler.schedule.rules import PartitionRules, Rules
from ostler.schedule.snapshot import Explanation, Snapshot, Start, whole
from tests.schedule_kit import job, machine, node, running

NOW = 10.0
# 2 of 4 CPUs are free until 100; then all of them for 50 s, which job 1 needs.
HALF = machine(
    [node(cpus=4)],
    [job(1, 4, 50.0), job(2, 2, 1000.0), job(3, 2, 300.0), job(4, 1, 300.0, elements=2)],
    runs=[running(9, (0, 1), 100.0)],
)


def engine_under(policy: str, snapshot: Snapshot = HALF) -> Engine:
    engine = Engine()
    rules = replace(whole(snapshot).rules or Rules(), default=PartitionRules(policy))
    engine.apply(replace(whole(snapshot), rules=rules))
    return engine


def told(policy: str, number: int) -> Explanation:
    return explained(engine_under(policy), NOW, number)


@pytest.mark.parametrize("policy", ["conservative", "reserved-3"])
def test_a_job_that_would_delay_a_promise_is_told_whose_and_when_its_own_turn_is(
    policy: str,
) -> None:
    found = told(policy, 2)
    assert (found.rule, found.blockers, found.expected_start) == (Rule.BEHIND, ["1"], 150.0)
    assert "would delay job 1, which is ahead of it and should start in 1m 30s" in found.reason
    assert found.to_start_now.startswith("a time limit of at most 1m 30s would let it backfill")


def test_a_promise_is_the_expected_start_and_supposes_nothing_of_newcomers() -> None:
    found = told("conservative", 1)
    assert (found.rule, found.expected_start, found.expected_nodes) == (
        Rule.RESOURCES,
        100.0,
        ["n1"],
    )
    assert found.assumption == "if all that runs keeps to its time limit"
    assert told("reserved-3", 2).assumption.endswith("and none comes before it")


def test_whom_nothing_is_promised_is_told_what_a_plan_foresees() -> None:
    """Two starts are promised, to jobs 1 and 2; job 3 starts beside job 2, job 4 after job 3."""
    assert [told("reserved-2", number).expected_start for number in (2, 3, 4)] == [
        150.0,
        150.0,
        450.0,
    ]


@pytest.mark.parametrize("policy", ["conservative", "reserved-2"])
def test_a_remedy_delays_no_promise(policy: str) -> None:
    """With one CPU of the two that are free, job 2 would still be in the way of job 1."""
    engine = engine_under(policy)
    engine.apply(replace(whole(HALF), rules=None, waiting=[job(2, 3, 1000.0)], reset=False))
    found = explained(engine.copy(), NOW, 2)
    assert "ask for" not in found.to_start_now
    limit = job(2, 2, 90.0)
    engine.apply(replace(whole(HALF), rules=None, waiting=[limit], reset=False))
    assert [line.job for line in engine.plan(NOW).lines if isinstance(line, Start)] == [2]


def test_no_smaller_request_is_told_whose_place_another_would_have_first() -> None:
    """Asked for anew, job 12 gives up its promise, and job 13 has what is free now."""
    runs = [running(7, [0], 20.0), running(8, [1, 2], 60.0)]
    shot = machine([node()], [job(12, 2, 20.0), job(13, 1, 60.0)], runs=runs)
    smaller = {}
    for policy in ("easy", "conservative"):
        engine = engine_under(policy, shot)
        engine.plan(NOW)
        smaller[policy] = "ask for 1 CPU" in explained(engine, NOW, 12).to_start_now
    assert smaller == {"easy": True, "conservative": False}
