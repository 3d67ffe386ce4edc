"""Replay, beside a slow one that asks every question anew."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.schedule.counted import Rule, Work, replay
from ostler.schedule.policy import parse_policy
from tests.slow_counted import Hold, Job, free_at, slow_replay, slow_story

POLICIES = ["fcfs", "easy", "easy-sjbf", "conservative", "reserved-2", "reserved-3", "reserved-99"]
BOTH = pytest.mark.parametrize("rule", list(Rule))
EACH = pytest.mark.parametrize("policy", POLICIES)
MANY = 150  # random workloads for each policy and rule


def work_of(jobs: list[Job]) -> Work:
    return Work(*(list(column) for column in zip(*jobs, strict=True)))


@st.composite
def loads(draw: st.DrawFn) -> tuple[int, list[Job]]:
    """Return a small machine and jobs that come, end and are planned to end in the same seconds."""
    procs, longest = draw(st.integers(1, 6)), draw(st.sampled_from([2, 5, 12]))
    jobs = []
    for _ in range(draw(st.integers(1, 12))):
        estimate = draw(st.integers(1, longest))
        run = draw(st.integers(1, estimate))
        jobs.append(Job(draw(st.integers(0, 12)), run, draw(st.integers(1, procs)), estimate))
    return procs, sorted(jobs, key=lambda job: job.submit)


def random_load(random: Random) -> tuple[int, list[Job]]:
    """Return a larger one, up to a long queue."""
    procs = random.choice([1, 2, 3, 5, 10])
    span, longest = random.choice([3, 10, 40]), random.choice([2, 4, 10, 30])
    jobs = []
    for _ in range(random.randint(1, 24)):
        estimate = random.randint(1, longest)
        run = random.choice([estimate, random.randint(1, estimate)])
        size = procs if random.random() < 0.1 else random.randint(1, procs)
        jobs.append(Job(random.randint(0, span), run, size, estimate))
    return procs, sorted(jobs, key=lambda job: job.submit)


@EACH
@BOTH
@given(load=loads())
def test_each_start_is_the_one_that_the_definitions_give(
    policy: str, rule: Rule, load: tuple[int, list[Job]]
) -> None:
    procs, jobs = load
    starts = replay(work_of(jobs), procs, parse_policy(policy), rule)
    assert starts == slow_replay(jobs, procs, policy, rule)


@EACH
@BOTH
def test_each_start_of_many_random_loads_is_the_one_that_the_definitions_give(
    policy: str, rule: Rule
) -> None:
    for seed in range(MANY):
        procs, jobs = random_load(Random(f"{policy} {rule} {seed}"))
        starts = replay(work_of(jobs), procs, parse_policy(policy), rule)
        assert starts == slow_replay(jobs, procs, policy, rule), f"seed {seed}"


@EACH
@BOTH
def test_no_second_uses_more_than_there_is_and_nobody_starts_before_he_came(
    policy: str, rule: Rule
) -> None:
    for seed in range(MANY):
        procs, jobs = random_load(Random(f"use {policy} {rule} {seed}"))
        starts = replay(work_of(jobs), procs, parse_policy(policy), rule)
        assert all(start >= job.submit for start, job in zip(starts, jobs, strict=True))
        runs = [
            Hold(start, start + job.run, job.size) for start, job in zip(starts, jobs, strict=True)
        ]
        assert all(free_at(run.begin, procs, runs) >= 0 for run in runs), f"seed {seed}"


@BOTH
def test_one_reserved_is_easy(rule: Rule) -> None:
    for seed in range(MANY):
        procs, jobs = random_load(Random(f"reserved-1 {rule} {seed}"))
        easy, one = (
            replay(work_of(jobs), procs, parse_policy(name), rule)
            for name in ("easy", "reserved-1")
        )
        assert easy == one, f"seed {seed}"


@BOTH
def test_first_come_first_served_starts_in_order_of_arrival(rule: Rule) -> None:
    for seed in range(MANY):
        procs, jobs = random_load(Random(f"order {rule} {seed}"))
        starts = replay(work_of(jobs), procs, parse_policy("fcfs"), rule)
        assert all(one <= other for one, other in pairwise(starts)), f"seed {seed}"


@BOTH
@pytest.mark.parametrize("policy", ["easy", "easy-sjbf", "reserved-3", "conservative"])
def test_nobody_starts_later_than_he_was_ever_promised(policy: str, rule: Rule) -> None:
    """The head of the queue has promises; under conservative backfilling everybody has."""
    promised = 0
    for seed in range(MANY):
        procs, jobs = random_load(Random(f"promise {policy} {rule} {seed}"))
        starts = replay(work_of(jobs), procs, parse_policy(policy), rule)
        for job, promise in slow_story(jobs, procs, policy, rule).promises:
            promised += 1
            assert starts[job] <= promise, f"seed {seed}, job {job}"
    assert promised > MANY


@EACH
@BOTH
def test_progress_tells_of_all_jobs_in_the_end_and_changes_nothing(policy: str, rule: Rule) -> None:
    procs, jobs = random_load(Random(1))
    told: list[int] = []
    starts = replay(work_of(jobs), procs, parse_policy(policy), rule, told.append)
    assert starts == replay(work_of(jobs), procs, parse_policy(policy), rule)
    assert told[-1] == len(jobs)
    assert told == sorted(told)


@EACH
@BOTH
def test_no_work_is_no_starts(policy: str, rule: Rule) -> None:
    assert replay(Work([], [], [], []), 4, parse_policy(policy), rule) == []
