"""Who gives way, as the engine says it and as trying it in the plainest way does."""

from math import inf
from random import Random

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.schedule.engine import Engine
from ostler.schedule.rules import PartitionRules, Preemption, Rules
from ostler.schedule.snapshot import (
    Delta,
    Preempt,
    ResumeView,
    RunningView,
    Snapshot,
    Start,
    WaitingView,
    whole,
)
from tests.random_machines import NOW, idle_again, random_machine
from tests.schedule_kit import machine
from tests.slow_giving import Giving, Kept

SEEDS = settings(phases=[Phase.explicit, Phase.generate])


def _rules(random: Random, tier: int) -> PartitionRules:
    return PartitionRules(
        preemption=random.choice([*Preemption]),
        priority_gap=random.choice([0, 1, 20, 20]),
        least_run=random.choice([0.0, 0.0, 10.0]),
        tier=random.choice([0, tier]),
    )


def _run(random: Random, view: RunningView) -> RunningView:
    halted = view.suspended and random.random() < 0.7
    return replace(
        view,
        halts=random.random() < 0.9,
        again=random.random() < 0.7,
        leaving=random.random() < 0.1,
        priority=random.choice([10, 30, 50]),
        started_at=NOW - random.choice([0.0, 5.0, 50.0]),
        halted_at=NOW - 1.0 if halted else None,
        licences=random.choice([{}, {}, {"solver": 1}]),
    )


def _machine(random: Random) -> Snapshot:
    """Return a machine on which nothing is counted, and nobody is to go on but who gave way."""
    shot = random_machine(random)
    runs = [_run(random, view) for view in shot.running]
    wishes = [
        ResumeView(run.alloc, run.job, run.placements, inf, yields=True)
        for run in runs
        if run.halted_at is not None and not run.leaving
    ]
    jobs = [
        replace(view, elements=1, blocked=None, priority=random.choice([30, 50, 70]))
        for view in shot.waiting
    ]
    found = machine(idle_again(shot.nodes), jobs, runs=runs, resuming=wishes)
    used = sum(run.licences.get("solver", 0) for run in runs)
    rules = Rules(
        _rules(random, 0),
        {"main": _rules(random, 1), "other": _rules(random, 2)},
    )
    return replace(found, rules=rules, licences={"solver": max(used, 2)})


def _carried_out(shot: Snapshot, lines: list[Preempt]) -> Delta:
    """Return what is told when these have been told to end."""
    told = {line.alloc for line in lines}
    return Delta(running=[replace(r, leaving=True) for r in shot.running if r.alloc in told])


def _first(shot: Snapshot, entry: WaitingView) -> tuple[Engine, Kept, Snapshot] | None:
    """Hold the engine against the slow form; return them if room is being made for the entry."""
    engine = Engine()
    engine.apply(whole(replace(shot, waiting=[entry])))
    plan = engine.plan(NOW)
    slow = Giving(shot, NOW, [])
    starts = [line for line in plan.lines if isinstance(line, Start)]
    gone = [line for line in plan.lines if isinstance(line, Preempt)]
    if slow.seats(entry, (), ending=False):
        assert starts
        assert not gone
        return None
    way = slow.way(entry)
    stands = {alloc for alloc in way or () if slow.runs[alloc].suspended}
    assert [line.alloc for line in gone] == [a for a in way or () if a not in stands]
    halted = slow.seats(entry, way or (), ending=False)
    assert bool(starts) == bool(way and halted)
    if starts or not way or stands or any(line.how is Preemption.SUSPEND for line in gone):
        return None
    if len(gone) < len(plan.lines):  # something went on
        return None
    seats = slow.seats(entry, slow.leaving | {*way})
    assert seats is not None
    delta = _carried_out(shot, gone)
    engine.apply(delta)
    told = {run.alloc: run for run in delta.running}
    return (
        engine,
        [(entry, seats)],
        replace(shot, running=[told.get(run.alloc, run) for run in shot.running]),
    )


@SEEDS
@example(118)  # somebody's own suspension ends, and others run on its CPUs
@example(377)  # what has given way by standing still ends
@given(st.integers(0, 1 << 32))
def test_who_gives_way_is_who_cannot_be_spared_in_the_order_of_the_rules(seed: int) -> None:
    random = Random(seed)
    shot = _machine(random)
    for entry in shot.waiting[:4]:
        _first(shot, entry)


@SEEDS
@given(st.integers(0, 1 << 32))
def test_room_that_is_made_for_one_is_not_counted_for_another(seed: int) -> None:
    random = Random(seed)
    shot = _machine(random)
    pairs = [(one, two) for one in shot.waiting[:3] for two in shot.waiting[:3] if one is not two]
    for one, two in pairs:
        first, second = replace(one, boost=100), replace(two, partition=one.partition)
        if first.request.licences and second.request.licences:
            continue  # of those that lack licences only the first presses
        if (found := _first(shot, first)) is None:
            continue
        engine, kept, then = found
        engine.apply(Delta(waiting=[second], known_ever=()))  # all is looked at
        lines = engine.plan(NOW).lines
        slow = Giving(then, NOW, kept)
        if slow.seats(second, (), ending=False):
            assert any(isinstance(line, Start) for line in lines)
            continue
        gone = [line.alloc for line in lines if isinstance(line, Preempt)]
        assert gone == [a for a in slow.way(second) or () if not slow.runs[a].suspended]
