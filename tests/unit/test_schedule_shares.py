"""Use that is forgotten, and who has used least of its part."""

from itertools import pairwise
from math import log
from random import Random

import pytest

from ostler.model.resources import Placement
from ostler.schedule.rules import DAY, Member, Project, ShareRules
from ostler.schedule.shares import Account, Ledger, fair_tree, rate

HOUR = 3_600.0
PLAIN = ShareRules(half_life=HOUR)
ANN, BOB = ("bio", "ann"), ("bio", "bob")


def order(factors: dict[Account, float]) -> list[list[str]]:
    """Return the users, best first; those of one rank together."""
    ranks = sorted(set(factors.values()), reverse=True)
    return [sorted(user for (_, user), f in factors.items() if f == rank) for rank in ranks]


def test_use_halves_every_half_life() -> None:
    ledger = Ledger(PLAIN)
    ledger.start(1, ANN, 2.0, 0.0)
    ledger.stop(1, HOUR)
    # An hour of 2 a second, each second of it weighed by its age: 2 * (1 - 1/2) * 3600 / ln 2.
    once = 3_600 / log(2)
    assert [ledger.used(ANN, HOUR * k) for k in (1, 2, 3)] == pytest.approx(
        [once, once / 2, once / 4]
    )


def test_use_is_never_forgotten_without_a_half_life() -> None:
    ledger = Ledger(ShareRules(half_life=0))
    ledger.charge(ANN, 2.0, 0.0, 100.0)
    assert ledger.used(ANN, 1e9) == 200.0
    assert ledger.used(BOB, 1e9) == 0.0


def test_what_runs_counts_as_it_runs() -> None:
    ledger = Ledger(ShareRules(half_life=0))
    ledger.start(1, ANN, 3.0, 10.0)
    assert [ledger.used(ANN, at) for at in (10.0, 11.0, 20.0, 15.0)] == [0.0, 3.0, 30.0, 30.0]


def test_an_allocation_counts_once_however_often_it_is_told_of() -> None:
    ledger = Ledger(ShareRules(half_life=0))
    ledger.start(1, ANN, 1.0, 0.0)
    ledger.start(1, ANN, 1.0, 5.0)
    ledger.start(2, ANN, 0.5, 5.0)
    ledger.stop(1, 10.0)
    ledger.stop(1, 20.0)
    assert ledger.used(ANN, 20.0) == 10.0 + 7.5


def test_another_half_life_counts_from_now_on() -> None:
    ledger = Ledger(ShareRules(half_life=0))
    ledger.charge(ANN, 1.0, 0.0, 100.0)
    ledger.change(PLAIN, 1_000.0)
    assert ledger.used(ANN, 1_000.0 + HOUR) == 50.0


def test_reading_changes_nothing_and_pieces_add_up() -> None:
    chance = Random(1)
    for _ in range(100):
        watched, whole, again = Ledger(PLAIN), Ledger(PLAIN), Ledger(PLAIN)
        at = 1.7e9
        for _ in range(chance.randint(1, 5)):
            cost, begin = chance.choice([0.5, 4.0]), at
            watched.start(1, ANN, cost, begin)
            at += chance.uniform(0, 3 * HOUR)
            watched.used(ANN, chance.uniform(begin, at))
            watched.stop(1, at)
            whole.charge(ANN, cost, begin, at)
            middle = chance.uniform(begin, at)  # in any order, as rows of a table come
            again.charge(ANN, cost, middle, at)
            again.charge(ANN, cost, begin, middle)
            at += chance.choice([0.0, HOUR, DAY])
        used = [each.used(ANN, at) for each in (watched, whole, again)]
        assert used == pytest.approx([used[0]] * 3, rel=1e-6)


def test_a_second_costs_what_the_weights_say() -> None:
    places = [Placement("n1", 2, 0, (0, 1), 3 << 30, (0,)), Placement("n2", 1, 2, (0,))]
    assert rate(ShareRules(), places) == 3.0
    assert rate(ShareRules(cpu=1, memory=0.5, gpu=10), places) == 3 + 1.5 + 10


def test_who_has_used_less_ranks_higher() -> None:
    uses = {ANN: 10.0, BOB: 20.0, ("bio", "new"): 0.0, ("bio", "newer"): 0.0}
    assert fair_tree(PLAIN, uses) == {
        ("bio", "new"): 1.0,
        ("bio", "newer"): 1.0,
        ANN: 0.5,
        BOB: 0.25,
    }


def test_shares_say_how_much_is_little() -> None:
    rules = ShareRules(members=(Member("bio", "ann", 1), Member("bio", "bob", 3)))
    assert order(fair_tree(rules, {ANN: 10.0, BOB: 29.0})) == [["bob"], ["ann"]]
    assert order(fair_tree(rules, {ANN: 10.0, BOB: 30.0})) == [["ann", "bob"]]
    assert order(fair_tree(rules, {ANN: 10.0, BOB: 31.0})) == [["ann"], ["bob"]]


def test_all_of_a_better_project_come_before_all_of_a_worse_one() -> None:
    """Worked by hand.

    Under the machine: dept (2 shares, use 60) and lab (1 share, use 40): 2/3 : .6 beats 1/3 : .4.
    In dept: x (use 50) and y (use 10): y first. Heavy `dan` of dept still beats idle `eve` of lab.
    """
    rules = ShareRules(
        projects=(
            Project("dept", shares=2),
            Project("lab"),
            Project("x", "dept"),
            Project("y", "dept"),
        )
    )
    uses = {
        ("x", "dan"): 45.0,
        ("x", "cat"): 5.0,
        ("y", "ann"): 4.0,
        ("y", "bob"): 6.0,
        ("lab", "eve"): 0.0,
        ("lab", "fay"): 40.0,
    }
    assert order(fair_tree(rules, uses)) == [["ann"], ["bob"], ["cat"], ["dan"], ["eve"], ["fay"]]


def test_the_members_of_equal_projects_are_ranked_together() -> None:
    uses = {("x", "ann"): 8.0, ("x", "bob"): 2.0, ("y", "cat"): 5.0, ("y", "dan"): 5.0}
    assert order(fair_tree(PLAIN, uses)) == [["bob"], ["cat", "dan"], ["ann"]]


def test_members_of_equal_projects_are_measured_by_their_own_project() -> None:
    rules = ShareRules(projects=(Project("x", shares=2), Project("y")))
    uses = {("x", "ann"): 12.0, ("x", "bob"): 8.0, ("y", "cat"): 5.0, ("y", "dan"): 5.0}
    assert order(fair_tree(rules, uses)) == [["bob"], ["cat", "dan"], ["ann"]]


def test_without_shares_one_comes_last() -> None:
    rules = ShareRules(projects=(Project("guests", shares=0),))
    uses = {("guests", "gil"): 0.0, ANN: 1e9}
    assert order(fair_tree(rules, uses)) == [["ann"], ["gil"]]


def test_projects_in_a_circle_do_no_harm() -> None:
    rules = ShareRules(projects=(Project("a", "b"), Project("b", "c"), Project("c", "a")))
    uses = {("a", "ann"): 1.0, ("b", "bob"): 2.0, ("c", "cat"): 3.0, ("d", "dan"): 4.0}
    assert len(fair_tree(rules, uses)) == 4


def any_tree(chance: Random) -> tuple[ShareRules, dict[Account, float]]:
    names = [f"p{at}" for at in range(chance.randint(1, 6))]
    projects = tuple(
        Project(name, chance.choice(["", *names[:at]]), chance.randint(0, 3))
        for at, name in enumerate(names)
    )
    users = [(chance.choice(names), f"u{at}") for at in range(chance.randint(1, 9))]
    members = tuple(Member(*who, chance.randint(0, 3)) for who in users if chance.random() < 0.5)
    uses = {who: chance.choice([0.0, 1.0, 2.0, chance.uniform(0, 9)]) for who in users}
    return ShareRules(projects=projects, members=members), uses


def test_using_more_never_helps() -> None:
    chance = Random(2)
    for _ in range(500):
        rules, uses = any_tree(chance)
        before = fair_tree(rules, uses)
        assert set(before) == set(uses)
        assert all(0 < factor <= 1 for factor in before.values())
        who = chance.choice(list(uses))
        after = fair_tree(rules, uses | {who: uses[who] + chance.choice([1.0, 100.0])})
        for other in uses:  # nobody whom it did not lead is led by it
            if before[who] < before[other]:
                assert after[who] <= after[other]


def test_time_alone_changes_no_rank() -> None:
    chance = Random(3)
    for _ in range(50):
        rules, uses = any_tree(chance)
        ledger = Ledger(rules)
        for who, amount in uses.items():
            ledger.charge(who, amount, 0.0, HOUR)
        factors = [ledger.factors([], HOUR + DAY * day) for day in range(20)]
        assert all(old == new for old, new in pairwise(factors))


def test_who_only_waits_is_ranked_too() -> None:
    ledger = Ledger(PLAIN)
    ledger.charge(ANN, 1.0, 0.0, 10.0)
    assert ledger.factors([BOB], 20.0) == {BOB: 1.0, ANN: 0.5}
