"""What `explain` says where a window, a limit, a policy or an overdue job has a hand in the wait."""

from math import inf

from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.explain import explain
from ostler.schedule.rules import (
    Holder,
    Limit,
    PartitionRules,
    Preemption,
    Reservation,
    Rules,
)
from ostler.schedule.snapshot import Explanation, Snapshot
from tests.schedule_kit import job, machine, node, resume, running

FCFS = Rules(default=PartitionRules("fcfs"))


def told(shot: Snapshot, rules: Rules, number: int, now: float = 0.0) -> Explanation:
    return explain(replace(shot, rules=rules), now, number)


def test_under_fcfs_nobody_is_said_to_delay_whom_he_would_not() -> None:
    waiting = [job(11, cpus=4, limit=50.0), job(12, limit=60.0)]
    shot = machine([node()], waiting, runs=[running(7, [0, 1, 2], 600.0)])
    found = told(shot, FCFS, 12)
    assert found.reason == (
        "it would fit now, but under policy fcfs nobody starts before job 11, which is ahead of it"
        " and should start in 10m; it should start in 10m 50s"
    )
    assert found.numbers["policy"] == "fcfs"
    assert found.to_start_now == "a priority above 50"


def test_a_drained_node_that_is_reserved_too_is_named() -> None:
    nodes = [node("n1", usable=False, why="draining: disk"), node("n2")]
    disks = Rules(reservations=(Reservation("disks", ("n1",), 600.0, 60.0),))
    found = told(machine(nodes, [job(1, nodelist=("n1",), limit=900.0)]), disks, 1)
    assert found.rule is Rule.NODES
    assert "of 1 that could serve 0 are usable: n1 (draining: disk)" in found.reason
    assert found.blockers == ["n1"]


def test_of_several_that_are_ahead_the_one_is_named_that_it_would_delay() -> None:
    """Job 11 is promised n1 at 60, and job 12 the others when the window ends, at 900."""
    nodes = [node("n1", 1), node("n2", 1), node("n3", 1)]
    rules = Rules(reservations=(Reservation("disks", ("n2",), 600.0, 300.0),))
    ahead = [
        job(11, nodelist=("n1",), limit=100.0),
        job(12, tasks=2, nodes=2, exclude=("n1",), limit=3_600.0),
    ]
    late = job(13, nodelist=("n3",), limit=1_800.0)
    shot = machine(nodes, [*ahead, late], runs=[running(7, [0], 60.0, on="n1")])
    found = told(shot, rules, 13)
    assert (found.rule, found.blockers) == (Rule.BEHIND, ["12"])
    assert "a time limit of at most 15m would let it backfill" in found.to_start_now


def test_a_time_limit_that_ends_before_the_window_is_told() -> None:
    rules = Rules(reservations=(Reservation("disks", ("n1",), 1_200.0, 60.0),))
    found = told(machine([node()], [job(1)]), rules, 1)
    assert found.rule is Rule.RESERVED
    assert found.to_start_now == "a time limit of at most 20m would let it start"


def test_a_time_limit_within_the_cpu_minutes_that_are_left_is_told() -> None:
    rules = Rules(limits=(Limit(Holder.USER, cpu_minutes=100),))
    shot = machine([node(cpus=8)], [job(1, 4, 1_500.0)], runs=[running(7, [0, 1], 2_368.0)])
    shot = replace(shot, running=[replace(view, user="ann") for view in shot.running])
    found = told(shot, rules, 1)
    assert found.rule is Rule.LIMIT
    assert "holds 78.9 CPU-minutes and it asks for 100; 100 may be held" in found.reason
    assert "a time limit of at most 5m would let it start" in found.to_start_now


def test_who_waits_for_an_overdue_job_should_start_at_any_moment() -> None:
    shot = machine([node()], [job(11, cpus=4)], runs=[running(7, [0], 60.0)])
    found = explain(shot, 100.0, 11)
    assert found.reason.endswith("it waits for job 7 to end; it should start at any moment")
    assert inf not in (found.expected_start, None)


def test_a_window_that_keeps_a_start_from_coming_sooner_is_told_beside_who_must_end() -> None:
    """Job 7 ends at 60, and job 11 would not end before the window then."""
    windows = (Reservation("disks", ("n1",), 600.0, 300.0), Reservation("far", ("n1",), 9e6, 60.0))
    shot = machine([node()], [job(11, cpus=4, limit=590.0)], runs=[running(7, [0], 60.0)])
    found = told(shot, Rules(reservations=windows), 11)
    assert found.expected_start == 900.0
    assert found.reason.endswith(
        "it should start in 15m; nodes for it are reserved until then (disks)"
    )
    assert found.blockers == ["7", "disks"]


def test_a_window_that_begins_when_all_is_over_keeps_nobody_waiting() -> None:
    windows = (Reservation("disks", ("n1",), 600.0, 300.0), Reservation("far", ("n1",), 9e6, 60.0))
    found = told(machine([node()], [job(11, limit=1_200.0)]), Rules(reservations=windows), 11)
    assert (found.rule, found.blockers) == (Rule.RESERVED, ["disks"])


def test_who_has_no_time_limit_is_told_that_windows_come_again_for_ever() -> None:
    days = tuple(range(7))
    nightly = Rules(reservations=(Reservation("night", ("n1",), 600.0, 300.0, days=days),))
    found = told(machine([node()], [job(11)]), nightly, 11)
    assert (found.rule, found.expected_start) == (Rule.RESERVED, None)
    assert found.reason.endswith(
        "no expected start can be told: it has no time limit, and the nodes are reserved again"
        " and again"
    )


def test_where_jobs_take_turns_a_wait_says_that_one_may_come_sooner() -> None:
    shot = machine([node()], [job(11, cpus=4, limit=60.0)], runs=[running(7, [0], 600.0)])
    found = told(shot, Rules(default=PartitionRules(time_slice=20.0)), 11, now=1.0)
    assert found.reason.endswith(
        "it should start in 9m 59s; jobs take turns of 20s here, and its own may come before"
    )


def test_all_that_is_short_is_told() -> None:
    runs = [running(7, [0, 1, 2, 3], 60.0), running(8, [], 600.0, gpus=(0, 1))]
    shot = machine([node(gpus=2)], [job(11, cpus=2, gpus=1)], runs=runs)
    found = explain(shot, 0.0, 11)
    assert found.reason == (
        "it needs 2 CPUs on one node, and n1 has the most free: 0; it lacks 1 GPU, too;"
        " it waits for jobs 7, 8 to end; it should start in 10m"
    )
    assert found.numbers["also"] == "gpus"


def test_of_those_before_it_only_who_waits_for_the_same_reservation_is_ahead() -> None:
    lesson = Rules(reservations=(Reservation("course", ("n1",), 600.0, 300.0, users=("ann",)),))
    views = [job(n, cpus=4, limit=60.0) for n in (11, 12, 13)]
    views[1:] = [
        replace(view, request=replace(view.request, reservation="course")) for view in views[1:]
    ]
    shot = machine([node()], views, runs=[running(7, [0], 60.0)])
    found = told(shot, lesson, 13)
    assert (found.rule, found.numbers["first"], found.ahead) == (Rule.QUEUE, 12, ["12"])


def test_what_stands_by_while_others_take_its_cpus_is_not_thought_to_have_ended() -> None:
    """Allocation 9 gave way to job 12, whose elements have its CPU one after the other."""
    stood = replace(running(9, [1], 40.0, suspended=True), priority=10, halts=True, halted_at=-1.0)
    rules = Rules(default=PartitionRules(preemption=Preemption.SUSPEND, priority_gap=20))
    waiting = [job(12, 1, 20.0, elements=5, priority=60), job(13, 2, 10.0)]
    shot = machine(
        [node(cpus=2)],
        waiting,
        runs=[running(7, [0], 40.0), stood],
        resuming=[replace(resume(stood, 10.0), yields=True)],
    )
    found = told(shot, rules, 13)
    assert (found.rule, found.expected_start) == (Rule.RESOURCES, 80.0)


def test_at_the_end_of_a_slice_nobody_is_said_to_delay_who_has_just_started() -> None:
    """Job 11 has its turn on the CPUs of both that run, and job 12 stays behind it until then."""
    rules = Rules(default=PartitionRules("easy-sjbf", time_slice=7.0))
    runs = [replace(running(n, [n - 7], 20.0), partition="main", halts=True) for n in (7, 8)]
    nodes = [node("n1", 2), node("n2", 4), node("n3", 1)]
    waiting = [job(11, 2, 20.0, tasks=3), job(12, 1, 30.0, elements=3)]
    found = told(machine(nodes, waiting, runs=runs), rules, 12, now=15.0)
    assert (found.rule, found.blockers) == (Rule.BEHIND, [])
    assert found.reason.startswith("what was ahead of it has just started")
