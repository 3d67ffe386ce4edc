"""Replay on counted processors: stories of a few jobs, by hand."""

import csv
import gzip
from pathlib import Path

import pytest

from ostler.schedule.counted import Rule, Work, replay
from ostler.schedule.policy import parse_policy
from ostler.sim import swf

DATA = Path(__file__).resolve().parents[1] / "data"
JobSpec = tuple[int, int, int, int]  # submit, run, size, estimate


def starts(jobs: list[JobSpec], procs: int, policy: str, rule: Rule = Rule.EVENT) -> list[int]:
    columns = [list(column) for column in zip(*jobs, strict=True)]
    return replay(Work(*columns), procs, parse_policy(policy), rule)


def test_first_come_first_served_lets_nobody_pass() -> None:
    jobs = [(0, 10, 1, 10), (1, 1, 2, 1), (2, 1, 1, 1)]
    assert starts(jobs, 2, "fcfs") == [0, 10, 11]


@pytest.mark.parametrize(
    ("estimate", "start"),
    [
        (8, 2),  # ends exactly as the head is promised its start
        (9, 11),
    ],
)
def test_who_ends_by_the_shadow_passes_the_head(estimate: int, start: int) -> None:
    jobs = [(0, 10, 1, 10), (1, 1, 2, 1), (2, estimate, 1, estimate)]
    assert starts(jobs, 2, "easy") == [0, 10, start]


def test_what_the_head_leaves_over_is_given_once() -> None:
    jobs = [(0, 10, 2, 10), (1, 5, 3, 5), (2, 20, 1, 20), (3, 20, 1, 20)]
    assert starts(jobs, 4, "easy") == [0, 10, 2, 15]


def test_an_early_end_leaves_more_over_for_who_had_room_already() -> None:
    """The fourth fits from the beginning; only when the second ends is it no longer in the way."""
    jobs = [(0, 20, 5, 20), (0, 5, 3, 30), (1, 5, 6, 5), (2, 40, 2, 40)]
    for policy in ("easy", "easy-sjbf", "reserved-1", "reserved-2"):
        assert starts(jobs, 10, policy) == [0, 0, 20, 5], policy


def test_a_pass_tries_by_arrival_or_shortest_first() -> None:
    jobs = [(0, 3, 1, 3), (0, 10, 1, 10), (1, 1, 2, 1), (1, 7, 1, 7), (2, 4, 1, 4)]
    assert starts(jobs, 2, "easy") == [0, 0, 10, 3, 11]
    assert starts(jobs, 2, "easy-sjbf") == [0, 0, 10, 11, 3]


def test_the_second_that_does_not_fit_is_protected_where_two_are() -> None:
    jobs = [(0, 10, 2, 10), (1, 5, 2, 5), (2, 5, 3, 5), (3, 20, 1, 20)]
    assert starts(jobs, 3, "easy") == [0, 10, 23, 3]
    assert starts(jobs, 3, "reserved-2") == [0, 10, 15, 20]


def test_a_submission_sees_a_planned_end_of_its_second_but_no_early_one() -> None:
    """One of two ends as planned in second 5, the other early; the head wants both processors."""
    jobs = [(0, 5, 1, 5), (0, 5, 1, 10), (1, 5, 2, 5), (5, 3, 1, 3)]
    assert starts(jobs, 2, "easy", Rule.EVENT) == [0, 0, 8, 5]
    assert starts(jobs, 2, "easy", Rule.BATCH) == [0, 0, 5, 10]


def test_an_end_on_time_is_followed_by_a_sweep() -> None:
    """The third moves to 8 as the first ends early, and to 7 as the fourth ends in second 5."""
    jobs = [(0, 4, 3, 7), (0, 3, 1, 3), (1, 5, 3, 6), (3, 1, 1, 1)]
    assert starts(jobs, 3, "conservative") == [0, 4, 7, 4]


def test_ends_of_one_second_come_in_the_order_of_starts() -> None:
    """The second job started after the third, so its early end in second 5 comes after that one's."""
    jobs = [(2, 2, 3, 2), (3, 1, 3, 3), (3, 2, 1, 7), (4, 3, 4, 8), (5, 4, 1, 4)]
    assert starts(jobs, 4, "conservative") == [2, 4, 3, 5, 8]


def test_a_sweep_is_not_repeated() -> None:
    """What the last one gives up comes too late for the third, which was lifted before it."""
    jobs = [(0, 2, 2, 3), (1, 3, 1, 4), (2, 3, 2, 3), (2, 4, 1, 4), (5, 1, 2, 1)]
    assert starts(jobs, 2, "conservative") == [0, 2, 7, 2, 6]


def test_a_conservative_newcomer_moves_nobody() -> None:
    jobs = [(0, 10, 1, 10), (1, 5, 2, 5), (2, 8, 1, 8), (3, 9, 1, 9)]
    assert starts(jobs, 2, "conservative") == [0, 10, 2, 15]


@pytest.mark.parametrize("policy", ["fcfs", "easy", "easy-sjbf", "reserved-2", "conservative"])
@pytest.mark.parametrize("rule", list(Rule))
def test_jobs_as_large_as_the_machine_run_one_after_another(policy: str, rule: Rule) -> None:
    jobs = [(0, 3, 4, 5), (0, 1, 4, 1), (3, 2, 4, 2)]
    assert starts(jobs, 4, policy, rule) == [0, 3, 4]


@pytest.mark.parametrize("policy", ["fcfs", "easy", "easy-sjbf", "reserved-2", "conservative"])
def test_seconds_may_be_far_apart(policy: str) -> None:
    far = 1 << 40
    jobs = [(0, far, 1, far), (far - 1, 1, 1, far), (3 * far, 1, 1, 1)]
    assert starts(jobs, 1, policy) == [0, far, 3 * far]


def test_the_first_jobs_of_a_log_start_as_a_slow_replay_says() -> None:
    """The waits were computed by tests/slow_counted.py; at full length that takes minutes."""
    trace = swf.read(str(DATA / "CTC-SP2-1996-3.1-cln-first-3000.swf.gz"))
    work = Work(trace.submits, trace.runs, trace.sizes, trace.estimates)
    with gzip.open(DATA / "CTC-SP2-first-3000-waits.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["job"]) for row in rows] == list(trace.numbers)
    for name in rows[0].keys() - {"job"}:
        policy, rule = name.split()
        found = replay(work, trace.procs, parse_policy(policy), Rule(rule))
        waits = [start - submit for start, submit in zip(found, trace.submits, strict=True)]
        assert waits == [int(row[name]) for row in rows], name
