"""Which job comes first, by which factors, and how long that lasts."""

from collections.abc import Sequence
from math import inf
from random import Random

import pytest
from msgspec.structs import replace

from ostler.schedule import priority_arrays
from ostler.schedule.priority import STEP, Scorer, ordered
from ostler.schedule.rules import DAY, PartitionRules, Rules, Weights
from ostler.schedule.snapshot import WaitingView
from tests.schedule_kit import job

NOW = 1_000_000.0
AGED = Weights(age=1_000, max_age=DAY)


def first(jobs: Sequence[WaitingView], weights: Weights, now: float = NOW) -> list[int]:
    rules = Rules(weights=weights, partitions={"fast": PartitionRules(factor=0.5)})
    scorer = Scorer(rules, now, 16, lambda project, user: 1.0 if user == "ann" else 0.25)
    found = ordered(jobs, scorer)
    assert priority_arrays.ordered(jobs, scorer) == found
    return [jobs[place].job for place in found.at]


def any_job(chance: Random, number: int) -> WaitingView:
    return replace(
        job(
            number,
            chance.randint(1, 20),
            priority=chance.choice([0, 50, 50, 51, 100]),
            at=NOW - chance.choice([0, 0.5, 10, 3_600, DAY, 3 * DAY]) - chance.randint(0, 99),
            user=chance.choice(["ann", "bob"]),
            partition=chance.choice(["main", "fast"]),
            head=chance.random() < 0.1,
        ),
        boost=chance.choice([0, 0, 0, 1]),
    )


def test_as_shipped_only_the_users_word_counts_then_returned_then_age_then_number() -> None:
    chance = Random(1)
    for _ in range(200):
        jobs = [any_job(chance, number) for number in range(chance.randint(0, 12))]
        jobs = [replace(each, boost=0) for each in jobs]
        jobs.sort(key=lambda v: (-v.priority, not v.head, v.submitted_at, v.job))
        expected = [each.job for each in jobs]
        chance.shuffle(jobs)
        assert first(jobs, Weights()) == expected


@pytest.mark.parametrize(
    ("better", "weights"),
    [
        (job(1, priority=51), Weights()),
        (replace(job(1), boost=1), Weights()),
        (job(1, cpus=2), Weights(size=1)),
        (job(2, at=1.0), Weights(age=1)),
        (job(1, partition="fast"), Weights(partition=1)),
    ],
)
def test_each_factor_puts_a_job_first(better: WaitingView, weights: Weights) -> None:
    other = job(3, at=0.0 if better.job == 1 else NOW - 60)
    assert first([other, better], weights) == [better.job, 3]


def test_small_jobs_may_be_favoured_instead() -> None:
    jobs = [job(1, cpus=8), job(2, cpus=1)]
    assert first(jobs, Weights(size=10, small_first=True)) == [2, 1]


def test_who_has_used_less_of_its_share_comes_first() -> None:
    jobs = [job(1, user="bob"), job(2, user="ann")]
    assert first(jobs, Weights(share=1)) == [2, 1]


def test_the_parts_add_up_to_the_score() -> None:
    rules = Rules(weights=Weights(age=70, size=8, share=10, boost=1_000, max_age=7 * DAY))
    scorer = Scorer(rules, NOW, 4, lambda project, user: 0.3)
    one = replace(job(1, at=NOW - NOW % STEP - DAY, priority=29), boost=2)
    parts = scorer.parts(one, scorer.moment)
    assert parts == pytest.approx(
        {"priority": 29, "age": 10, "size": 2, "share": 3, "partition": 0, "boost": 20}, abs=1e-3
    )
    assert sum(parts.values()) == pytest.approx(scorer.score(one) / 1e9)


def test_without_age_the_order_lasts() -> None:
    assert ordered([job(1), job(2)], Scorer(Rules(), NOW)).valid_until == inf


def test_a_younger_job_that_leads_is_never_passed() -> None:
    old, young = job(1, at=NOW - 100), job(2, priority=52, at=NOW)
    weights = replace(AGED, priority=100)
    scorer = Scorer(Rules(weights=weights), NOW)
    assert first([old, young], weights) == [2, 1]
    assert ordered([old, young], scorer).valid_until == inf


def test_a_job_whose_age_counts_no_more_is_passed_by_a_younger_one_that_is_worth_more() -> None:
    born = NOW - NOW % STEP
    old, young = job(1, at=born - 3_600), job(2, priority=51, at=born)
    rules = Rules(weights=AGED)
    found = ordered([old, young], Scorer(rules, born))
    assert found.at == [0, 1]
    # A point is 86.4 s of age: the younger one is even when it lacks so much of a day.
    assert found.valid_until - STEP < born + DAY - 86.4 < found.valid_until
    assert first([old, young], AGED, found.valid_until - 1) == [1, 2]
    assert first([old, young], AGED, found.valid_until) == [2, 1]


def test_an_order_lasts_just_as_long_as_it_says() -> None:
    chance = Random(2)
    changed = 0
    for _ in range(300):
        jobs = [any_job(chance, number) for number in range(chance.randint(2, 6))]
        weights = Weights(age=chance.choice([1, 10, 1_000]), max_age=chance.choice([600, DAY]))
        rules = Rules(weights=weights)
        found = ordered(jobs, Scorer(rules, NOW))
        assert priority_arrays.ordered(jobs, Scorer(rules, NOW)) == found
        end = found.valid_until
        for now in (NOW, (NOW + end) / 2, end - 1):
            if now < inf:
                assert ordered(jobs, Scorer(rules, now)).at == found.at
        if end < inf:
            changed += 1
            assert ordered(jobs, Scorer(rules, end)).at != found.at
        else:
            assert ordered(jobs, Scorer(rules, NOW + 10 * DAY)).at == found.at
    assert changed > 20


def test_a_later_job_finds_its_place_by_keys_made_before_it_came() -> None:
    chance = Random(3)
    for _ in range(200):
        jobs = [any_job(chance, number) for number in range(6)]
        scorer = Scorer(Rules(weights=AGED), NOW)
        newer = replace(any_job(chance, 9), submitted_at=NOW + 7)
        both = ordered([*jobs, newer], scorer)
        later = ordered([*jobs, newer], Scorer(Rules(weights=AGED), NOW + 600))
        if both.valid_until > NOW + 600:
            assert both.at == later.at
