"""When pools grow and shrink, by a rule without clock or chance."""

from typing import Any

import pytest

from ostler.core.pool import (
    STEADY,
    WORTH,
    Demand,
    Pilot,
    Step,
    demand,
    margin,
    node_name,
    pause,
    rm_of,
    steady,
    step,
)
from ostler.model.resources import Request
from ostler.model.site import Pool
from tests.unit.core_kit import Box

POOL = Pool("slurm", most=4, idle=300, cpus=2, time=3_600)
NOW = 10_000.0


def wanted(box: Box) -> int:
    return demand(box.machine.state, box.now, POOL).cpus


def busy(slot: int) -> Pilot:
    return Pilot(slot, 100 + slot, came=True, idle_since=None)


def coming(slot: int) -> Pilot:
    return Pilot(slot, 100 + slot, came=False, idle_since=None)


def idle(slot: int, seconds: float) -> Pilot:
    return Pilot(slot, 100 + slot, came=True, idle_since=NOW - seconds)


@pytest.mark.parametrize(
    ("cpus", "pilots", "slots"),
    [
        (0, [], ()),
        (1, [], (1,)),
        (5, [], (1, 2, 3)),
        (500, [], (1, 2, 3, 4)),
        (500, [coming(2)], (1, 3, 4)),
        (3, [coming(1)], (2,)),  # two would do, and one is on its way
        (2, [idle(1, 5)], ()),  # it takes that in a moment
        (2, [busy(1)], (2,)),
        (500, [busy(1), busy(2), busy(3), busy(4)], ()),
    ],
)
def test_it_grows_by_what_waits(cpus: int, pilots: list[Pilot], slots: tuple[int, ...]) -> None:
    assert step(POOL, NOW, cpus, pilots) == Step(slots)


def test_it_shrinks_by_what_had_nothing_to_do_for_long_enough() -> None:
    pilots = [idle(1, 299), idle(2, 300), busy(3), idle(4, 1_000)]
    assert step(POOL, NOW, 0, pilots).stop == (pilots[3], pilots[1])


def test_what_was_grown_stays_and_comes_without_work() -> None:
    kept = Pool("slurm", most=4, least=2, idle=300, cpus=2)
    assert step(kept, NOW, 0, []) == Step((1, 2))
    assert step(kept, NOW, 0, [idle(1, 900), idle(2, 900)]) == Step()
    assert step(POOL, NOW, 0, [idle(1, 900), idle(2, 900)]).stop != ()


def test_what_goes_already_is_not_counted_among_what_is_kept() -> None:
    kept = Pool("slurm", most=4, least=1, idle=300, cpus=2)
    going = [Pilot(n, 100 + n, came=n == 2, idle_since=None, goes=True) for n in (2, 3, 4)]
    assert step(kept, NOW, 0, [idle(1, 900), *going]) == Step()
    assert step(kept, NOW, 8, [busy(1), *going]) == Step(), "their names are taken"
    assert step(kept, NOW, 8, [busy(1), *going[1:]]) == Step((2,))
    assert step(kept, NOW, 0, going) == Step((1,))


def test_above_its_size_idle_ones_go_at_once() -> None:
    small = Pool("slurm", most=1, idle=300, cpus=2)
    assert step(small, NOW, 0, [busy(1), idle(2, 0)]) == Step((), (idle(2, 0),))


def test_nodes_that_never_come_are_asked_for_one_by_one_and_ever_more_seldom() -> None:
    assert step(POOL, NOW, 500, [], failures=1) == Step((1,))
    assert step(POOL, NOW, 500, [busy(1), coming(2)], failures=1) == Step()
    assert step(POOL, NOW, 500, [busy(1)], failures=1) == Step((2,))
    assert [pause(n) for n in (0, 1, 2, 3, 30)] == [0.0, 15.0, 30.0, 60.0, 600.0]


def test_names_tell_the_pool() -> None:
    assert rm_of(node_name("a-pool-b", 3)) == "a-pool-b"
    assert rm_of("n1") == ""


def test_only_what_could_run_and_end_there_counts_as_wanted() -> None:
    box = Box(("n1",))
    box.drain("n1")  # all of it waits
    s = box.machine.state
    longest = int(POOL.time - margin(POOL))
    box.submit(time_limit=longest)
    assert wanted(box) == 1
    box.submit(time_limit=longest + 1)
    box.submit()
    box.submit(time_limit=60, request=Request(cpus=3))
    box.submit(time_limit=60, request=Request(nodelist=("n1",)))
    box.submit(time_limit=60, hold=True)
    assert demand(s, box.now, POOL) == Demand(1)
    box.submit(time_limit=60, array=((0, 3),))
    assert wanted(box) == 5
    box.submit(time_limit=60, array=((0, 3),), array_cap=2)
    assert wanted(box) == 7
    box.submit(time_limit=60, array=((0, 499),))
    assert wanted(box) == POOL.most * POOL.cpus, "more than it can have is not counted"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, "it has no time limit (-t), and a node is there for a while only"),
        ({"time_limit": 3_600}, "its time limit is above the 59m of a node"),
        ({"time_limit": 60, "request": Request(cpus=3)}, "a task wants 3 CPUs, and a node has 2"),
        ({"time_limit": 60, "request": Request(constraint="!pool")}, "its nodes are to be !pool"),
    ],
)
def test_that_nothing_counts_is_said_with_the_reason(asked: dict[str, Any], why: str) -> None:
    box = Box(("n1",))
    box.drain("n1")
    job = box.submit(**asked)
    assert demand(box.machine.state, box.now, POOL) == Demand(
        0, f"job {job} waits for no node of it: {why}"
    )


def test_elements_behind_one_that_runs_long_count_as_well() -> None:
    box = Box(("n1",), cpus=1)
    job = box.submit(time_limit=60, array=((0, 7),))
    slot = box.alloc(job)
    box.progress(slot, running=0)
    handed = box.machine.state.jobs[job].queued
    waiting = 7 - handed
    assert handed
    assert wanted(box) == min(waiting, POOL.most * POOL.cpus)
    box.now += WORTH + 0.1
    assert wanted(box) == 7


def test_it_does_not_grow_for_what_waits_a_moment() -> None:
    at, most = NOW, STEADY
    assert steady([], at) == steady([(at, 9)], at) == 0
    assert steady([(at - most, 9), (at, 4)], at) == 4
    assert steady([(at - most, 0), (at, 9)], at) == 0
    assert steady([(at - 3 * most, 0), (at - most, 6), (at - most / 2, 7), (at, 8)], at) == 6
