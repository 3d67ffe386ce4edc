"""Which of those that wait make others give way: each in its turn, and none delays the head."""

from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from ostler.schedule import giving
from ostler.schedule.engine import Engine
from ostler.schedule.explain import explained
from ostler.schedule.pressure import gives_way
from ostler.schedule.rules import PartitionRules, Preemption, Rules
from ostler.schedule.snapshot import (
    Delta,
    Line,
    Preempt,
    RunningView,
    Snapshot,
    Start,
    WaitingView,
    whole,
)
from tests.schedule_kit import G, job, machine, node, running

NOW = 1_000.0
REQUEUE = PartitionRules(preemption=Preemption.REQUEUE, priority_gap=20)
SUSPEND = replace(REQUEUE, preemption=Preemption.SUSPEND)
EVERY = pytest.mark.parametrize("how", [Preemption.REQUEUE, Preemption.SUSPEND])


def ran(
    number: int, *cpus: int, ends_at: float = inf, priority: int = 10, **more: Any
) -> RunningView:
    on, memory = more.pop("on", "n1"), more.pop("memory", 0)
    view = replace(running(number, cpus, ends_at, on=on, memory=memory), started_at=0.0)
    return replace(view, again=True, halts=True, priority=priority, **more)


def urgent(number: int, cpus: int = 1, limit: float = inf, **more: Any) -> WaitingView:
    return job(number, cpus, limit, priority=more.pop("priority", 70), **more)


def shown(
    rules: PartitionRules, waiting: list[WaitingView], runs: list[RunningView], **more: Any
) -> Snapshot:
    """Return one node of four CPUs; more: of the machine."""
    return replace(machine([node()], waiting, runs=runs, **more), rules=Rules(rules))


def planned(
    rules: PartitionRules, waiting: list[WaitingView], runs: list[RunningView], **more: Any
) -> tuple[Engine, list[Line]]:
    engine = Engine()
    engine.apply(whole(shown(rules, waiting, runs, **more)))
    return engine, engine.plan(NOW).lines


def begun(lines: list[Line]) -> list[int]:
    return [line.job for line in lines if isinstance(line, Start)]


def given(lines: list[Line]) -> list[tuple[int, int]]:
    """Return what gives way, and to which job."""
    return sorted((line.alloc, line.job) for line in lines if isinstance(line, Preempt))


def cannot(why: str, second: WaitingView) -> dict[str, Any]:
    """Return a machine on which a first job waits whom no preemption helps, and the second one."""
    first = urgent(8, 4, priority=90)
    runs = [ran(1, 0), ran(2, 1, 2, 3, priority=80)]
    match why:
        case "larger than all that may be preempted":
            return {"waiting": [first, second], "runs": runs}
        case "it lacks a licence":
            first = replace(first, request=replace(first.request, cpus=1, licences={"solver": 1}))
            return {"waiting": [first, second], "runs": runs, "licences": {"solver": 0}}
        case "it is at a limit":
            first = replace(first, user="carl")
            return {"waiting": [first, second], "runs": runs, "limit": 3}
        case "what is in its way has not run for long enough":
            young = replace(ran(2, 1, 2, 3), started_at=NOW - 1.0)
            return {"waiting": [first, second], "runs": [ran(1, 0), young]}
    raise AssertionError(why)


@EVERY
@pytest.mark.parametrize(
    "why",
    [
        "larger than all that may be preempted",
        "it lacks a licence",
        "it is at a limit",
        "what is in its way has not run for long enough",
    ],
)
def test_whom_preemption_cannot_help_keeps_nobody_from_pressing(how: Preemption, why: str) -> None:
    """Job 1 of one CPU may give way; job 9, the second in the queue, asks for one."""
    rules = replace(REQUEUE, preemption=how, least_run=60.0)
    case = cannot(why, urgent(9))
    _, lines = planned(rules, case.pop("waiting"), case.pop("runs"), **case)
    assert given(lines) == [(1, 9)]
    assert begun(lines) == ([9] if how is Preemption.SUSPEND else [])


@EVERY
def test_each_of_many_has_its_own_victim_in_one_plan(how: Preemption) -> None:
    rules = replace(REQUEUE, preemption=how)
    waiting = [urgent(8), urgent(9), urgent(10, 1, 500.0), job(11, priority=25)]
    _, lines = planned(rules, waiting, [ran(n, n) for n in range(4)])
    if how is Preemption.SUSPEND:  # who starts is no head any more: the next plan finds another
        assert given(lines) == [(3, 8)]
    else:
        assert given(lines) == [(1, 10), (2, 9), (3, 8)]


@EVERY
@pytest.mark.parametrize(("limit", "presses"), [(900.0, True), (1_000.0, True), (1_001.0, False)])
def test_nobody_presses_who_would_delay_the_start_promised_to_the_head(
    how: Preemption, limit: float, *, presses: bool
) -> None:
    """Job 8 is promised all CPUs for 2,000, when job 2 ends, which gives way to none.

    What stands still goes on behind job 9, and keeps its memory until it ends.
    """
    rules = replace(REQUEUE, preemption=how)
    runs = [ran(1, 0, ends_at=2_000.0), ran(2, 1, 2, 3, ends_at=2_000.0, priority=80)]
    if how is Preemption.SUSPEND:
        runs[0] = replace(runs[0], ends_at=1_100.0)
        limit -= 100.0
    waiting = [urgent(8, 4, 600.0, memory=8 * G, priority=90), urgent(9, 1, limit)]
    engine, lines = planned(rules, waiting, runs)
    assert given(lines) == ([(1, 9)] if presses else [])
    assert engine.heads["main"].shadow == 2_000.0


@pytest.mark.parametrize(("cpus", "gives"), [(2, [(1, 9)]), (3, [])])
def test_what_the_head_does_not_count_on_may_be_taken_for_longer(
    cpus: int, gives: list[tuple[int, int]]
) -> None:
    """Job 8, which may preempt nobody, is promised the two CPUs of job 2, and nothing of job 1's."""
    runs = [ran(1, 0, 1, ends_at=5_000.0), ran(2, 2, 3, ends_at=2_000.0, priority=80)]
    first = replace(urgent(8, 2, 600.0, priority=20), boost=100)
    _, lines = planned(REQUEUE, [first, urgent(9, cpus)], runs)
    assert given(lines) == gives


def test_room_that_is_being_made_is_kept_until_all_of_it_is_there() -> None:
    """Job 9 needs what two have; small ones that would end soon do not get what comes first."""
    runs = [ran(1, 0, 1, ends_at=9_000.0), ran(2, 2, 3, ends_at=9_000.0)]
    engine, lines = planned(REQUEUE, [urgent(9, 4, 600.0), job(10, 1, 5.0, priority=15)], runs)
    assert given(lines) == [(1, 9), (2, 9)]
    leaving = [replace(run, leaving=True) for run in runs]
    one = shown(REQUEUE, [], leaving[1:])
    again = job(11, 2, 8_000.0, priority=10)  # what gave way waits again
    engine.apply(Delta(1, one.nodes, leaving[1:], [1], [again]))
    assert engine.plan(NOW + 1).lines == []
    engine.apply(Delta(2, shown(REQUEUE, [], []).nodes, over=[2]))
    assert begun(engine.plan(NOW + 2).lines) == [9]


def test_room_that_is_made_for_one_is_no_room_for_others_that_press() -> None:
    runs = [ran(1, 0, 1, 2), ran(2, 3)]
    engine, lines = planned(REQUEUE, [urgent(8, 2)], runs)
    assert given(lines) == [(1, 8)]
    leaving = replace(runs[0], leaving=True)
    engine.apply(Delta(1, running=[leaving], waiting=[urgent(9, 2), urgent(10, 1)]))
    assert given(engine.plan(NOW + 1).lines) == [(2, 9)]  # and one of those that come free
    engine.apply(Delta(2, running=[replace(runs[1], leaving=True)]))
    assert engine.plan(NOW + 2).lines == []
    engine.apply(Delta(3, shown(REQUEUE, [], []).nodes, over=[1, 2]))
    assert begun(engine.plan(NOW + 3).lines) == [8, 9]


def test_what_was_given_up_for_a_job_goes_to_it_and_not_back_to_who_is_older() -> None:
    """By age job 5, that gave way, is before job 9 in the queue: it would come and go for ever."""
    old = replace(job(5, 2, priority=10, at=0.0), boost=90)
    engine, lines = planned(REQUEUE, [urgent(9, 2)], [ran(5, 0, 1), ran(6, 2, 3, priority=80)])
    assert given(lines) == [(5, 9)]
    engine.apply(Delta(1, running=[replace(ran(5, 0, 1), leaving=True)]))
    assert engine.plan(NOW + 1).lines == []
    free = shown(REQUEUE, [], [ran(6, 2, 3, priority=80)])
    engine.apply(Delta(2, free.nodes, over=[5], waiting=[old]))
    assert begun(engine.plan(NOW + 2).lines) == [9]


def test_a_pass_asks_for_a_bounded_number_and_only_where_something_weaker_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def counting(*args: Any) -> Any:
        asked.append(args[1].job)
        return gives_way(*args)

    monkeypatch.setattr(giving, "gives_way", counting)
    runs = [ran(1, 0, priority=10), ran(2, 1, 2, 3, priority=90)]
    waiting = [urgent(number, 2, 100.0 + number, priority=70) for number in range(10, 40)]
    engine, lines = planned(REQUEUE, waiting, runs)
    assert (lines, len(asked)) == ([], giving.TRIES)
    engine.plan(NOW)
    engine.apply(Delta(1, waiting=[job(50, 2, priority=20)]))
    engine.plan(NOW)
    assert len(asked) <= 2 * giving.TRIES
    del asked[:]
    planned(REQUEUE, [job(number, 2, 100.0 + number, priority=29) for number in (1, 2)], runs)
    assert asked == []


def test_under_fcfs_nobody_presses_before_the_first() -> None:
    rules = replace(REQUEUE, policy="fcfs")
    runs = [ran(1, 0), ran(2, 1, 2, 3, priority=80)]
    _, lines = planned(rules, [urgent(8, 4, priority=90), urgent(9)], runs)
    assert lines == []


@pytest.mark.parametrize("policy", ["conservative", "reserved-4"])
def test_where_more_is_promised_the_next_presses_if_it_is_in_the_way_of_none(policy: str) -> None:
    rules = replace(REQUEUE, policy=policy)
    runs = [ran(1, 0, ends_at=2_000.0), ran(2, 1, 2, 3, ends_at=2_000.0, priority=80)]
    for limit, gives in ((1_000.0, [(1, 9)]), (1_001.0, [])):
        waiting = [urgent(8, 4, 600.0, priority=90), urgent(9, 1, limit)]
        _, lines = planned(rules, waiting, runs)
        assert given(lines) == gives


def test_memory_that_what_stands_still_keeps_is_none_for_who_presses() -> None:
    runs = [ran(1, 0, memory=6 * G), ran(2, 1, 2, 3, priority=80)]
    for memory, gives in ((2 * G, [(1, 9)]), (3 * G, [])):
        waiting = [urgent(8, 4, priority=90), urgent(9, memory=memory)]
        assert given(planned(SUSPEND, waiting, runs)[1]) == gives


@pytest.mark.parametrize(
    ("least_run", "told"),
    [
        (1_100.0, "what it may preempt has not run for long enough, and gives way in 1m 40s"),
        (0.0, "nothing that it may preempt makes room for it, unless that delays job 8"),
    ],
)
def test_explain_says_when_others_give_way_or_that_none_do(least_run: float, told: str) -> None:
    rules = replace(REQUEUE, least_run=least_run)
    runs = [ran(1, 0, ends_at=inf if least_run else 5_000.0), ran(2, 1, 2, 3, priority=80)]
    engine = Engine()
    engine.apply(whole(shown(rules, [urgent(8, 4, priority=90), urgent(9)], runs)))
    assert told in explained(engine, NOW, 9).reason


def test_what_ends_while_it_stands_still_gives_its_memory_and_no_cpus_of_others() -> None:
    big = urgent(9, 4, memory=4 * G)
    theirs = replace(ran(2, 0, 1, 2, 3, memory=6 * G), suspended=True, leaving=True)
    for gone in (theirs, replace(theirs, halted_at=NOW - 5.0)):  # by its owner, by a scheduler
        _, lines = planned(REQUEUE, [big], [ran(1, 0, 1, 2, 3), gone])
        assert given(lines) == [(1, 9)]


def test_a_licence_of_whom_room_is_made_for_is_not_counted_for_the_next_that_presses() -> None:
    first, second = (
        replace(each, request=replace(each.request, licences={"solver": 1}))
        for each in (urgent(8), urgent(9, 1, 500.0))
    )
    runs = [ran(n, n) for n in range(4)]
    _, lines = planned(REQUEUE, [first, second], runs, licences={"solver": 1})
    assert given(lines) == [(3, 8)]
    _, lines = planned(REQUEUE, [first, second], runs, licences={"solver": 2})
    assert given(lines) == [(2, 9), (3, 8)]
