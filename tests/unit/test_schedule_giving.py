"""Who gives way, and who joins a slice, where more than one start is promised."""

from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from ostler.schedule.engine import Engine
from ostler.schedule.explain import explained
from ostler.schedule.rules import PartitionRules, Preemption, Rules
from ostler.schedule.snapshot import (
    Delta,
    Line,
    Preempt,
    Resume,
    RunningView,
    Snapshot,
    Start,
    Suspend,
    WaitingView,
    whole,
)
from tests.schedule_kit import G, job, machine, node, resume, running

NOW = 1_000.0
GAP = PartitionRules("conservative", preemption=Preemption.REQUEUE, priority_gap=20, least_run=60.0)
PROMISING = pytest.mark.parametrize("policy", ["conservative", "reserved-2"])


def ran(number: int, *cpus: int, ends_at: float = 2_000.0, **more: Any) -> RunningView:
    view = running(number, cpus, ends_at)
    return replace(view, started_at=0.0, again=True, halts=True, **more)


def shown(
    rules: PartitionRules, waiting: list[WaitingView], runs: list[RunningView], **more: Any
) -> Snapshot:
    """Return one node of four CPUs."""
    return replace(machine([node()], waiting, runs=runs, **more), rules=Rules(rules))


def engine_of(rules: PartitionRules, waiting: list[WaitingView], runs: list[RunningView]) -> Engine:
    engine = Engine()
    engine.apply(whole(shown(rules, waiting, runs)))
    return engine


def starts(lines: list[Line]) -> list[int]:
    return [line.job for line in lines if isinstance(line, Start)]


def promised(engine: Engine) -> dict[int, float | None]:
    return {n: book.start_of(n) for book in engine.books.values() for n in book.jobs}


@PROMISING
def test_who_may_have_room_that_others_hold_gets_it_before_all_that_is_promised(
    policy: str,
) -> None:
    """Job 1 was promised all at 2,000. Job 9 needs what two have; job 1 is promised another start."""
    rules = replace(GAP, policy=policy)
    runs = [ran(5, 0, 1), ran(6, 2, 3)]
    engine = engine_of(rules, [job(1, 4, 600.0, priority=40)], runs)
    assert (engine.plan(NOW).lines, promised(engine)) == ([], {1: 2_000.0})
    engine.apply(Delta(1, waiting=[job(9, 3, 500.0, priority=70)]))
    assert engine.plan(NOW).lines == [
        Preempt(6, Preemption.REQUEUE, 9, -1),
        Preempt(5, Preemption.REQUEUE, 9, -1),
    ]
    engine.apply(Delta(2, running=[replace(run, leaving=True) for run in runs]))
    assert engine.plan(NOW + 1).lines == []
    assert promised(engine) == {9: 2_000.0, 1: 2_500.0}
    one = shown(rules, [], runs[:1])
    engine.apply(Delta(3, nodes=one.nodes, over=[6]))
    assert engine.plan(NOW + 2).lines == []
    engine.apply(Delta(4, nodes=shown(rules, [], []).nodes, over=[5]))
    assert starts(engine.plan(NOW + 3).lines) == [9]
    engine.plan(NOW + 3)
    assert promised(engine) == {1: 1_503.0}


@PROMISING
def test_who_is_suspended_lets_it_start_at_once_and_goes_on_before_what_only_waits(
    policy: str,
) -> None:
    rules = replace(GAP, policy=policy, preemption=Preemption.SUSPEND)
    runs = [ran(5, 0, 1, 2, 3, ends_at=1_900.0)]
    waiting = [job(1, 2, 600.0, priority=40), job(9, 3, 500.0, priority=70)]
    engine = engine_of(rules, waiting, runs)
    lines = engine.plan(NOW).lines
    assert lines[0] == Preempt(5, Preemption.SUSPEND, 9, -1)
    assert starts(lines) == [9]
    still = replace(runs[0], suspended=True, halted_at=NOW, ends_at=inf)
    begun = ran(20, 0, 1, 2, ends_at=1_500.0)
    begun = replace(begun, job=9, priority=70)
    wish = replace(resume(still, 900.0), yields=True)
    shot = shown(rules, waiting[:1], [still, begun], resuming=[wish])
    engine.apply(Delta(1, nodes=shot.nodes, running=shot.running, gone=[9], resuming=[wish]))
    assert engine.plan(NOW + 1).lines == []
    shot = shown(rules, waiting[:1], [still], resuming=[wish])
    engine.apply(Delta(2, nodes=shot.nodes, over=[20]))
    assert engine.plan(1_500.0).lines == [Resume(5)]
    engine.apply(Delta(3, running=[replace(runs[0], ends_at=2_400.0)], resuming=[]))
    assert engine.plan(1_501.0).lines == []
    assert promised(engine) == {1: 2_400.0}


def test_nobody_gives_way_to_a_job_that_would_be_in_the_way_of_one_before_it() -> None:
    """Job 8 is promised all CPUs for 2,000, when job 6 gives its licence back; job 9 comes behind."""
    runs = [ran(5, 0, 1, priority=30), ran(6, 2, 3, priority=60, licences={"solver": 1})]
    asks = replace(job(8, 4).request, licences={"solver": 1})
    first = replace(job(8, 4, 600.0, priority=70, at=0.0), request=asks)
    for limit, lines in ((1_500.0, []), (900.0, [Preempt(5, Preemption.REQUEUE, 9, -1)])):
        second = job(9, 2, limit, priority=70, at=1.0)
        engine = Engine()
        shot = shown(GAP, [first, second], runs)
        engine.apply(whole(replace(shot, licences={"solver": 1})))
        assert engine.plan(NOW).lines == lines


def test_what_a_job_could_take_if_it_ran_is_not_kept_for_one_that_waits() -> None:
    """Job 1 is promised all at 2,000; job 9 has room now, and is there for longer."""
    for priority, begun in ((70, [9]), (59, [])):
        engine = engine_of(GAP, [job(1, 4, 600.0, priority=40)], [ran(5, 0, 1, priority=90)])
        engine.plan(NOW)
        engine.apply(Delta(1, waiting=[job(9, 2, 5_000.0, priority=priority)]))
        assert starts(engine.plan(NOW).lines) == begun
        engine.plan(NOW)
        assert promised(engine)[1] == (NOW + 5_000.0 if begun else 2_000.0)


@PROMISING
def test_a_newcomer_joins_a_slice_where_it_is_in_the_way_of_no_promise(policy: str) -> None:
    """Job 1 takes a turn of job 5. Job 2 would have memory that job 3, before it, is promised for 2,000."""
    rules = PartitionRules(policy, time_slice=5.0)
    engine = engine_of(rules, [job(1, 4, 600.0)], [ran(5, 0, 1, 2, 3)])
    plan = engine.plan(NOW)
    assert plan.lines == [Suspend(5), *plan.lines[1:]]
    assert (starts(plan.lines), plan.turned) == ([1], ("main",))
    engine.plan(NOW)
    assert promised(engine) == {}
    other = replace(running(6, (), 1_200.0, memory=4 * G), halts=False)
    for limit, begun in ((900.0, [2]), (1_100.0, [])):
        waiting = [job(3, 1, 600.0, memory=6 * G, at=0.0), job(2, 1, limit, memory=4 * G)]
        engine = engine_of(rules, waiting, [ran(5, 0, 1, 2, 3), other])
        assert starts(engine.plan(NOW).lines) == begun


def test_an_expected_start_is_told_of_who_presses() -> None:
    engine = engine_of(GAP, [job(9, 3, 500.0, priority=70)], [ran(5, 0, 1), ran(6, 2, 3)])
    assert explained(engine, NOW, 9).expected_start == 2_000.0
