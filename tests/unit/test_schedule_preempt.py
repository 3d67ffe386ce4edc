"""Who gives way, and that nobody does in vain."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import inf
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from ostler.model.resources import Request
from ostler.schedule import engine
from ostler.schedule.engine import Engine
from ostler.schedule.givers import Givers
from ostler.schedule.preempt import Needy, Running, in_order, line, may_preempt, needed
from ostler.schedule.rules import PartitionRules, Preemption, Rules
from ostler.schedule.snapshot import (
    Delta,
    Line,
    Preempt,
    Rank,
    RunningView,
    Start,
    WaitingView,
    whole,
)
from tests.schedule_kit import job, machine, node, resume, running

NOW = 1_000.0
N1, N2 = frozenset({"n1"}), frozenset({"n1", "n2"})
RULES = Rules(
    partitions={
        "low": PartitionRules(preemption=Preemption.CANCEL, tier=1, preempt_grace=5),
        "main": PartitionRules(preemption=Preemption.SUSPEND, tier=2, priority_gap=20),
        "long": PartitionRules(preemption=Preemption.REQUEUE, tier=1, least_run=600.0),
        "safe": PartitionRules(tier=1),
        "top": PartitionRules(tier=3),
    }
)


def runs(
    number: int, partition: str = "low", priority: int = 50, at: float = 0.0, **more: bool
) -> Running:
    return Running(number, partition, priority, at, N1, **{"halts": True, **more})


Fits = Callable[[Sequence[Running]], bool]


class Tried:
    """Room by a rule: whether the job fits once these are gone. It counts how often it is asked."""

    def __init__(self, rule: Fits) -> None:
        self.rule = rule
        self.gone: list[Running] = []
        self.asked = 0

    def give(self, each: Running) -> None:
        self.gone.append(each)

    def keep(self, each: Running) -> None:
        self.gone.remove(each)

    def fits(self) -> bool:
        self.asked += 1
        return self.rule(self.gone)


def count(need: int, sizes: dict[int, int] | None = None) -> Tried:
    """Return whether so many CPUs come free; each gives one, or what is said."""
    gives = sizes or {}
    return Tried(lambda gone: sum(gives.get(each.alloc, 1) for each in gone) >= need)


def preempt(
    rules: Rules,
    job: Needy,
    running: Sequence[Running],
    useful: frozenset[str],
    after: Tried,
    now: float,
) -> list[Running]:
    """Return who gives way where all is gone that leaves already."""
    givers = Givers()
    for each in running:
        givers.put(each.alloc, each, rules)
    for each in givers.leaving.values():
        after.give(each)
    line_up = in_order(rules, givers.below(rules, job, now), useful.__contains__, lambda _: False)
    return needed(line_up, after)


def victims(job: Needy, running: Sequence[Running], after: Tried) -> list[int]:
    return [each.alloc for each in preempt(RULES, job, running, N1, after, NOW)]


@pytest.mark.parametrize(
    ("partition", "priority", "other", "may"),
    [
        ("main", 50, runs(1), True),
        ("main", 0, runs(1, priority=100), True),
        ("low", 100, runs(1, priority=0), False),
        ("main", 50, runs(1, "safe"), False),
        ("top", 50, runs(1, "main"), True),
        ("main", 70, runs(1, "main"), True),
        ("main", 69, runs(1, "main"), False),
        ("low", 100, runs(1, "main", 0), False),
        ("main", 50, runs(1, "long", again=True), True),
        ("main", 50, runs(1, "long"), False),
        ("main", 50, runs(1, "long", at=NOW - 599, again=True), False),
        ("main", 50, runs(1, "long", at=NOW - 600, again=True), True),
        ("main", 50, runs(1, suspended=True), False),
        ("top", 50, runs(1, "main", halts=False), False),
        ("main", 50, runs(1, "long", at=NOW, stands=True), True),
        ("low", 100, runs(1, stands=True), False),
        ("main", 50, runs(1, leaving=True), False),
    ],
)
def test_who_may_preempt_whom(partition: str, priority: int, other: Running, *, may: bool) -> None:
    assert may_preempt(RULES, Needy(9, partition, priority), other, NOW) == may


def test_nobody_takes_the_place_back_from_whom_it_gave_way_to() -> None:
    """So two jobs cannot requeue each other for ever, nor three in a ring: who may is above."""
    ranks = [(part, priority) for part in RULES.partitions for priority in (0, 40, 50, 70, 100)]
    for part, priority in ranks:
        for other, low in ranks:
            if may_preempt(RULES, Needy(9, part, priority), runs(1, other, low, again=True), NOW):
                above = RULES.of(part).tier, priority
                assert above > (RULES.of(other).tier, low)


JOB = Needy(9, "main", 90)


@pytest.mark.parametrize(
    ("running", "first"),
    [
        ([runs(1, priority=40), runs(2, priority=30), runs(3, priority=50)], 2),
        ([runs(1, at=5.0), runs(2, at=7.0), runs(3, at=6.0)], 2),
        ([runs(1, priority=40, at=1.0), runs(2, priority=50, at=9.0)], 1),
        ([runs(1, "main", 10), runs(2, priority=60)], 2),
        ([Running(1, "low", 50, 0.0, N2), Running(2, "low", 50, 0.0, N1)], 2),
    ],
)
def test_the_lowest_then_the_youngest_then_who_frees_least_for_nothing(
    running: list[Running], first: int
) -> None:
    assert victims(JOB, running, count(1)) == [first]


def test_nobody_gives_way_in_vain() -> None:
    running = [runs(1), runs(2), runs(3, "safe")]
    assert victims(JOB, running, count(3)) == []
    assert sorted(victims(JOB, running, count(2))) == [1, 2]
    assert victims(JOB, [Running(1, "low", 50, 0.0, frozenset({"n2"}))], count(1)) == []


def test_who_turns_out_not_to_be_needed_is_left_alone() -> None:
    running = [runs(1, priority=10), runs(2, priority=20), runs(3, priority=30)]
    assert victims(JOB, running, count(4, {3: 4})) == [3]


def test_a_job_that_fits_once_others_have_left_preempts_nobody() -> None:
    running = [runs(1), runs(2, leaving=True)]
    assert victims(JOB, running, count(0)) == []
    assert victims(JOB, running, count(1)) == []
    assert victims(JOB, running, count(2)) == [1]


def test_how_is_what_the_partition_of_the_victim_says() -> None:
    running = [runs(1), runs(2, "main"), runs(3, "long", again=True)]
    found = preempt(RULES, JOB, running, N1, count(3), NOW)
    assert [line(RULES, each, 9) for each in found] == [
        Preempt(3, Preemption.REQUEUE, 9, -1),
        Preempt(1, Preemption.CANCEL, 9, 5),
        Preempt(2, Preemption.SUSPEND, 9, -1),
    ]


def test_victims_suffice_and_none_could_be_spared() -> None:
    chance = Random(1)
    found = 0
    for _ in range(500):
        nodes = [f"n{at}" for at in range(4)]
        running = [
            Running(
                number,
                chance.choice(["low", "main", "long", "safe"]),
                chance.choice([10, 50, 80]),
                chance.uniform(0, NOW),
                frozenset(chance.sample(nodes, chance.randint(1, 3))),
                again=chance.random() < 0.7,
                leaving=chance.random() < 0.1,
                halts=chance.random() < 0.8,
                stands=chance.random() < 0.1,
            )
            for number in range(chance.randint(0, 9))
        ]
        need = {node: chance.randint(0, 2) for node in nodes}

        def fits(gone: Sequence[Running], need: dict[str, int] = need) -> bool:
            return all(
                sum(node in each.nodes for each in gone) >= count for node, count in need.items()
            )

        useful = frozenset(node for node in nodes if need[node])
        after = Tried(fits)
        chosen = preempt(RULES, JOB, running, useful, after, NOW)
        leaving = [each for each in running if each.leaving]
        able = [each for each in running if may_preempt(RULES, JOB, each, NOW)]
        assert all(each in able for each in chosen)
        if not chosen:
            assert fits(leaving) or not fits([*leaving, *able])
            continue
        found += 1
        assert fits([*leaving, *chosen])
        assert sorted(each.alloc for each in after.gone) == sorted(
            each.alloc for each in [*leaving, *chosen]
        )
        for rest in combinations(chosen, len(chosen) - 1):
            assert not fits([*leaving, *rest])
    assert found > 50


def test_few_questions_find_a_few_victims_among_many() -> None:
    running = [runs(number, at=number / 10) for number in range(8_000)]
    after = count(3)
    assert sorted(victims(JOB, running, after)) == [7_997, 7_998, 7_999]
    assert after.asked < 10


def test_many_victims_are_found_with_two_questions_each() -> None:
    running = [runs(number, at=number / 10) for number in range(2_000)]
    after = count(1_000)
    assert len(victims(JOB, running, after)) == 1_000
    assert after.asked <= 2_000


def pressed(
    waiting: Sequence[WaitingView],
    runs: Sequence[RunningView],
    rules: PartitionRules,
    cpus: int = 4,
) -> tuple[Engine, list[Line]]:
    """Return an engine, and its plan for one node at second 1,000."""
    shot = replace(machine([node(cpus=cpus)], waiting, runs=runs), rules=Rules(rules))
    engine = Engine()
    engine.apply(whole(shot))
    return engine, engine.plan(NOW).lines


GAP = PartitionRules(preemption=Preemption.REQUEUE, priority_gap=20, least_run=60.0)


def ran(number: int, *cpus: int, at: float = 0.0, on: str = "n1", **more: Any) -> RunningView:
    return replace(running(number, cpus, on=on), started_at=at, again=True, **more)


def test_a_plan_makes_room_for_who_waits_first() -> None:
    runs = [ran(1, 0, 1), ran(2, 2, at=900.0), ran(3, 3, at=800.0)]
    engine, lines = pressed([job(9, cpus=2, priority=70)], runs, GAP)
    assert lines == [
        Preempt(2, Preemption.REQUEUE, 9, -1),
        Preempt(3, Preemption.REQUEUE, 9, -1),
    ]
    assert engine.plan(NOW).lines == []
    leaving = [replace(run, leaving=run.alloc != 1) for run in runs]
    engine.apply(Delta(1, running=leaving))
    assert engine.plan(NOW).lines == []
    free = machine([node()], runs=runs[:1])
    engine.apply(Delta(2, nodes=free.nodes, over=[2, 3]))
    assert [line.job for line in engine.plan(NOW).lines if isinstance(line, Start)] == [9]


@pytest.mark.parametrize(
    ("waiting", "rules", "count"),
    [
        (job(9, priority=70), GAP, 1),
        (job(9, priority=69), GAP, 0),
        (job(9, priority=70), PartitionRules(), 0),
        (job(9, priority=70), replace(GAP, least_run=1_001.0), 0),
        (job(9, cpus=5, priority=70), GAP, 0),
        (job(9, cpus=4, priority=70), GAP, 2),
        (job(9, memory=8 << 30, priority=70), GAP, 2),
        (job(9, memory=8 << 30, priority=70), replace(GAP, preemption=Preemption.SUSPEND), 0),
        (job(9, memory=4 << 30, priority=70), replace(GAP, preemption=Preemption.SUSPEND), 1),
    ],
)
def test_a_plan_preempts_as_the_partition_says(
    waiting: WaitingView, rules: PartitionRules, count: int
) -> None:
    runs = [
        replace(running(n, [2 * n, 2 * n + 1], memory=2 << 30), again=True, halts=True)
        for n in (0, 1)
    ]
    _, lines = pressed([waiting], runs, rules)
    assert len([line for line in lines if isinstance(line, Preempt)]) == count
    starts = [line.job for line in lines if isinstance(line, Start)]
    assert starts == ([9] if count and rules.preemption is Preemption.SUSPEND else [])


def licensed(view: RunningView, count: int = 1) -> RunningView:
    return replace(view, licences={"matlab": count})


@pytest.mark.parametrize(
    ("how", "given"),
    [(Preemption.REQUEUE, [2]), (Preemption.CANCEL, [2]), (Preemption.SUSPEND, [])],
)
def test_who_lacks_only_licences_gets_them_from_who_gives_them_back(
    how: Preemption, given: list[int]
) -> None:
    """Suspended jobs keep theirs; of those with licences the youngest gives way, elsewhere too."""
    rules = Rules(PartitionRules(preemption=how, priority_gap=20))
    wants = job(9, priority=70, nodelist=("n1",))
    wants = replace(wants, request=replace(wants.request, licences={"matlab": 1}))
    runs = [
        licensed(ran(1, 0, on="n1")),
        licensed(ran(2, 0, on="n2", at=900.0)),
        ran(3, 1, on="n2", at=950.0),  # which has none
    ]
    runs = [replace(view, halts=True) for view in runs]
    shot = machine([node("n1"), node("n2")], [wants], runs=runs, licences={"matlab": 2})
    engine = Engine()
    engine.apply(whole(replace(shot, rules=rules)))
    lines = engine.plan(NOW).lines
    assert [line.alloc for line in lines if isinstance(line, Preempt)] == given
    again = engine.plan(NOW).lines
    assert not again  # nobody else while that one ends


def test_who_lacks_licences_and_room_gets_both_or_nobody_gives_way() -> None:
    rules = Rules(PartitionRules(preemption=Preemption.REQUEUE, priority_gap=20))
    wants = job(9, cpus=3, priority=70)
    wants = replace(wants, request=replace(wants.request, licences={"matlab": 2}))
    for safe, given in ((50, [1, 2, 3]), (60, [])):
        runs = [
            licensed(ran(1, 0)),
            replace(licensed(ran(2, 1)), priority=safe),
            ran(3, 2, 3),
        ]
        shot = machine([node("n1")], [wants], runs=runs, licences={"matlab": 2})
        engine = Engine()
        engine.apply(whole(replace(shot, rules=rules)))
        lines = engine.plan(NOW).lines
        assert sorted(line.alloc for line in lines if isinstance(line, Preempt)) == given


@pytest.mark.parametrize(("priority", "yields"), [(80, False), (50, True)])
def test_a_slot_is_not_wanted_back_by_what_stands_by_because_of_its_job(
    priority: int, *, yields: bool
) -> None:
    """It would be given its CPUs and asked for them again, for ever."""
    asks = Rank(priority, 0.0, "main", Request(), inf)
    slot = replace(running(1, [0], element=0), goes_on=asks, priority=priority)
    halted = running(2, [0, 1], suspended=True)
    halted = replace(halted, halted_at=5.0, priority=50)
    back = replace(resume(halted), yields=True)
    shot = machine([node(cpus=2)], runs=[slot, halted], resuming=[back])
    gives = PartitionRules(priority_gap=20, preemption=Preemption.SUSPEND)
    shot.rules = Rules(default=gives)
    assert bool(engine.plan(shot, 10.0).yields) is yields
