"""Promised starts foresee licences, limits and windows of reservations: stories by hand."""

from math import inf

from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.explain import explained
from ostler.schedule.rules import (
    DAY,
    Holder,
    Limit,
    PartitionRules,
    Reservation,
    Rules,
)
from ostler.schedule.snapshot import Delta, RunningView, Start, WaitingView, whole
from tests.schedule_kit import job, machine, node, running

NOW = 10.0
CONSERVATIVE = Rules(default=PartitionRules("conservative"))
EASY = Rules(default=PartitionRules("easy"))


def licensed(number: int, cpus: int, limit: float, partition: str = "main") -> WaitingView:
    view = job(number, cpus, limit, partition=partition)
    return replace(view, request=replace(view.request, licences={"solver": 1}))


def promised(engine: Engine) -> dict[int, float | None]:
    return {n: book.start_of(n) for book in engine.books.values() for n in book.jobs}


def heads(engine: Engine) -> dict[int, float]:
    """Return what EASY promises."""
    return {
        head.job: head.shadow for each in (engine.heads, engine.beside) for head in each.values()
    }


def planned(
    rules: Rules,
    jobs: list[WaitingView],
    runs: list[RunningView] | None = None,
    *,
    others: bool = False,
) -> tuple[Engine, list[int]]:
    """Plan on one node of four CPUs, with `others` on another one in a partition of its own."""
    nodes = [node("n1", 4), *([node("o1", 4, partition="other")] if others else [])]
    engine = Engine()
    engine.apply(replace(whole(machine(nodes, jobs, runs=runs or [])), rules=rules))
    lines = engine.plan(NOW).lines
    return engine, [line.job for line in lines if isinstance(line, Start)]


def test_who_lacks_only_a_licence_is_promised_the_end_of_the_job_that_has_it() -> None:
    rules = replace(CONSERVATIVE, licences={"solver": 1})
    run = replace(running(9, (0,), 100.0), licences={"solver": 1})
    engine, starts = planned(rules, [licensed(1, 1, 50.0), licensed(2, 1, 50.0)], [run])
    assert (starts, promised(engine)) == ([], {1: 100.0, 2: 150.0})


def test_a_promise_holds_its_licence_against_another_partition() -> None:
    """Job 2 would have it now, and beyond the time for which it is promised to job 1."""
    rules = replace(CONSERVATIVE, licences={"solver": 1})
    jobs = [licensed(1, 4, 50.0), licensed(2, 1, 200.0, "other"), licensed(3, 1, 90.0, "other")]
    engine, starts = planned(rules, jobs, [running(9, (0,), 100.0)], others=True)
    assert (starts, promised(engine)) == ([3], {1: 100.0, 2: 150.0})


def test_a_licence_that_comes_back_elsewhere_improves_a_promise() -> None:
    rules = replace(CONSERVATIVE, licences={"solver": 1})
    run = replace(running(9, (0,), 100.0, on="o1"), licences={"solver": 1})
    engine, _ = planned(rules, [licensed(1, 4, 50.0)], [run], others=True)
    assert promised(engine) == {1: 100.0}
    engine.apply(Delta(nodes=[node("o1", 4, partition="other")], over=[9]))
    assert [line.job for line in engine.plan(NOW + 1).lines if isinstance(line, Start)] == [1]


def test_a_limit_on_running_jobs_keeps_promises_one_after_the_other() -> None:
    rules = replace(CONSERVATIVE, limits=(Limit(Holder.USER, running=1),))
    jobs = [job(1, 2, 50.0), job(2, 2, 50.0), job(3, 2, 50.0, user="eve")]
    engine, starts = planned(rules, jobs, [running(9, (0, 1, 2), 100.0)])
    assert (starts, promised(engine)) == ([], {1: 100.0, 2: 150.0, 3: 100.0})


def test_a_limit_of_a_project_counts_the_cpus_of_all_its_users() -> None:
    rules = replace(CONSERVATIVE, limits=(Limit(Holder.PROJECT, "p", cpus=2),))
    jobs = [
        replace(job(n, 2, 50.0, user=user), project="p") for n, user in ((1, "ann"), (2, "eve"))
    ]
    engine, _ = planned(rules, jobs, [running(9, (0, 1, 2), 100.0)])
    assert promised(engine) == {1: 100.0, 2: 150.0}


def test_a_promise_is_for_a_time_that_ends_before_the_node_is_shut_or_begins_behind_that() -> None:
    shut = Reservation("disks", ("n1",), start=120.0, duration=60.0)
    rules = replace(CONSERVATIVE, reservations=(shut,))
    jobs = [job(1, 4, 50.0), job(2, 4, 20.0)]
    engine, _ = planned(rules, jobs, [running(9, (0,), 100.0)])
    assert promised(engine) == {1: 180.0, 2: 100.0}


def test_windows_that_come_again_leave_room_between_them_or_nobody_can_tell() -> None:
    """Each day the node is shut for an hour; job 1 takes a day, job 2 twelve hours."""
    shut = Reservation("backup", ("n1",), 100.0, 3600.0, days=tuple(range(7)))
    rules = replace(CONSERVATIVE, reservations=(shut,))
    engine, _ = planned(rules, [job(1, 4, float(DAY)), job(2, 4, DAY / 2)])
    assert promised(engine) == {1: inf, 2: 3700.0}


def test_a_job_in_a_reservation_is_promised_its_begin() -> None:
    own = Reservation("course", ("n1",), start=500.0, duration=100.0, users=("ann",))
    rules = replace(CONSERVATIVE, reservations=(own,))
    view = job(1, 2, 50.0)
    view = replace(view, request=replace(view.request, reservation="course"))
    engine, _ = planned(rules, [view, job(2, 2, 600.0, user="eve")])
    assert promised(engine) == {1: 500.0, 2: 600.0}


def test_the_first_that_waits_in_a_partition_is_promised_a_start_if_it_lacks_a_licence() -> None:
    rules = replace(CONSERVATIVE, licences={"solver": 1})
    run = replace(running(9, (0,), 100.0), licences={"solver": 1})
    engine, _ = planned(rules, [], [run])
    engine.apply(Delta(waiting=[licensed(1, 1, 50.0)]))
    engine.plan(NOW)
    assert promised(engine) == {1: 100.0}


def test_easy_promises_a_licence_and_nobody_takes_it_beyond_that() -> None:
    """Job 1 wants both licences, of which one comes back at 100; the other is free until then."""
    rules = replace(EASY, licences={"solver": 2})
    run = replace(running(9, (0,), 100.0), licences={"solver": 1})
    both = licensed(1, 1, 50.0)
    both = replace(both, request=replace(both.request, licences={"solver": 2}))
    jobs = [both, licensed(2, 1, 91.0), licensed(3, 1, 91.0, "other"), licensed(4, 1, 90.0)]
    engine, starts = planned(rules, jobs, [run], others=True)
    assert (starts, heads(engine)) == ([4], {1: 100.0})


def test_easy_promises_room_to_who_lacks_a_licence() -> None:
    """Job 1 takes three CPUs at 100; job 2 would leave it two, job 3 ends before."""
    rules = replace(EASY, licences={"solver": 1})
    run = replace(running(9, (0,), 100.0), licences={"solver": 1})
    jobs = [licensed(1, 3, 50.0), job(2, 2, 100.0), job(3, 2, 80.0), job(4, 1, 200.0)]
    engine, starts = planned(rules, jobs, [run])
    assert (starts, heads(engine)) == ([3, 4], {1: 100.0})


def test_who_waits_for_a_licence_does_not_cost_the_head_its_promise() -> None:
    """Job 1 waits long for its licence; job 2 for all CPUs but the one that job 1 will have then.

    If it is over before, job 3 may have that one for as long.
    """
    rules = replace(EASY, licences={"solver": 1})
    run = replace(running(9, (0,), 500.0), licences={"solver": 1})
    for limit, starts in ((500.0, [4]), (400.0, [3])):
        jobs = [licensed(1, 1, 50.0), job(2, 2, limit), job(3, 1, 60.0), job(4, 1, 40.0)]
        engine, found = planned(rules, jobs, [run, running(8, (1, 2), 60.0)])
        assert (found, heads(engine)) == (starts, {1: 500.0, 2: 60.0})


def test_what_a_plan_starts_without_a_limit_gives_its_licences_back_when_nobody_can_tell() -> None:
    """As what runs without a limit is told of: the next plan promises the same."""
    rules = replace(EASY, licences={"solver": 1})
    engine, starts = planned(rules, [licensed(1, 1, inf), licensed(2, 1, 50.0)])
    assert (starts, heads(engine)) == ([1], {2: inf})


def test_nobody_takes_what_a_limit_leaves_to_the_head_of_easy() -> None:
    """Job 3 would be the one job that its user may run when job 2 has room; job 4 has ended then."""
    rules = replace(EASY, limits=(Limit(Holder.USER, running=1),))
    run = replace(running(9, (0, 1, 2), 50.0), user="eve")
    engine, starts = planned(rules, [job(2, 2, 50.0), job(3, 1, 60.0), job(4, 1, 40.0)], [run])
    assert (starts, heads(engine)) == ([4], {2: 50.0})


def test_easy_promises_its_head_a_time_that_ends_before_the_node_is_shut() -> None:
    shut = Reservation("disks", ("n1",), start=120.0, duration=60.0)
    rules = replace(EASY, reservations=(shut,))
    jobs = [job(1, 4, 50.0), job(2, 1, 100.0), job(3, 1, 90.0)]
    engine, starts = planned(rules, jobs, [running(9, (0,), 100.0)])
    assert (starts, heads(engine)) == ([2, 3], {1: 180.0})


def test_easy_promises_a_start_after_the_window_that_a_job_waits_for() -> None:
    """Job 1 needs all from 180 on. Jobs 3 to 5 are for what is open now: nobody outlasts 180 there."""
    shut = Reservation("disks", ("n1",), start=120.0, duration=60.0)
    rules = replace(EASY, reservations=(shut,))
    jobs = [job(1, 4, 200.0), job(2, 4, 90.0)]
    engine, starts = planned(rules, jobs)
    assert (starts, heads(engine)) == ([2], {1: 180.0})
    told = explained(engine, NOW, 1)
    assert (told.rule, told.expected_start) == (Rule.RESERVED, 180.0)
    assert told.reason.endswith("it should start in 2m 50s")
    assert told.assumption == "if all that runs keeps to its time limit"


def test_nobody_is_backfilled_who_would_be_there_when_the_window_is_over() -> None:
    """Node n1 is shut up to 180, for job 1 would outlast 20; of n2, which it needs too, one CPU is left."""
    shut = Reservation("disks", ("n1",), start=20.0, duration=160.0)
    rules = replace(EASY, reservations=(shut,))
    both = replace(job(1, 3, 200.0, tasks=2), submitted_at=1.0)
    jobs = [both, job(2, 2, 180.0), job(3, 2, 160.0), job(4, 1, 500.0)]
    engine = Engine()
    engine.apply(replace(whole(machine([node("n1", 4), node("n2", 4)], jobs)), rules=rules))
    lines = engine.plan(NOW).lines
    starts = [line.job for line in lines if isinstance(line, Start)]
    assert (starts, heads(engine)) == ([3, 4], {1: 180.0})


def test_a_long_window_costs_the_head_neither_its_promise_nor_those_behind_it_their_room() -> None:
    """Job 1 waits for the end of a window; job 2, which is over before, lacks room up to 100."""
    shut = Reservation("disks", ("n1",), start=1_000.0, duration=60.0)
    rules = replace(EASY, reservations=(shut,))
    jobs = [job(1, 4, 2_000.0), job(2, 4, 100.0), job(3, 3, 80.0), job(4, 1, 200.0)]
    engine, starts = planned(rules, jobs, [running(9, (0,), 100.0)])
    assert (starts, heads(engine)) == ([3], {1: 1_060.0, 2: 100.0})


def test_whom_a_window_is_for_need_not_end_with_it() -> None:
    """Eve's window is shut to job 1, which waits for its end, and for no other node."""
    window = Reservation("course", ("n1",), start=0.0, duration=100.0, users=("eve",))
    rules = replace(EASY, reservations=(window,))
    engine, starts = planned(rules, [job(1, 4, 50.0), job(2, 1, 500.0, user="eve")])
    assert (starts, heads(engine)) == ([2], {1: 100.0})
    assert not engine.plan(NOW + 1).lines
    assert heads(engine) == {1: 510.0}
    both = [job(1, 4, 50.0, tasks=2), job(2, 4, 500.0, user="eve", nodelist=("n2",))]
    engine = Engine()
    engine.apply(replace(whole(machine([node("n1", 4), node("n2", 4)], both)), rules=rules))
    assert (engine.plan(NOW).lines, heads(engine)) == ([], {1: 100.0})


def test_easy_heeds_what_is_promised_in_a_partition_with_more_promises() -> None:
    """Job 1 is promised the licence from 100 on; under EASY job 2 would hold it until 110."""
    rules = replace(EASY, licences={"solver": 1})
    rules = replace(rules, partitions={"other": PartitionRules("conservative")})
    jobs = [licensed(1, 4, 50.0, "other"), licensed(2, 1, 100.0), licensed(3, 1, 90.0)]
    engine, starts = planned(rules, jobs, [running(9, (0,), 100.0, on="o1")], others=True)
    assert (starts, promised(engine)[1]) == ([3], 100.0)


# -- CPU-minutes --------------------------------------------------------------------------------


def minutes(policy: str, most: int) -> Rules:
    """Return rules by which each user may have so many CPU-minutes before it."""
    return Rules(default=PartitionRules(policy), limits=(Limit(Holder.USER, cpu_minutes=most),))


def test_a_promise_is_for_the_second_at_which_enough_cpu_minutes_have_come_back() -> None:
    """Job 1 has 240 of 360 CPU-seconds at 100, and 130 at 155: then job 2 may have 230.

    If that began before, it would have more than 120 left at 100, and job 1 could not start.
    """
    jobs = [job(1, 2, 120.0), job(2, 1, 230.0)]
    run = replace(running(9, (0, 1, 2), 100.0), user="eve")
    for policy in ("conservative", "reserved-2"):
        engine, starts = planned(minutes(policy, 6), jobs, [run])
        assert (starts, promised(engine)) == ([], {1: 100.0, 2: 155.0})
    engine, starts = planned(minutes("easy", 6), jobs, [run])
    assert (starts, heads(engine)) == ([], {1: 100.0})
    engine, starts = planned(minutes("easy", 6), [jobs[0], job(2, 1, 200.0)], [run])
    assert (starts, heads(engine)) == ([2], {1: 100.0})


def test_who_waits_for_cpu_minutes_is_told_when_and_keeps_nobody_waiting() -> None:
    """Job 9 has 500 of 600 minutes left: until job 1 may have 400, 300 minutes pass."""
    for policy in ("easy", "fcfs", "conservative"):
        run = replace(running(9, (0,), 30_000.0 + NOW), user="ann")
        jobs = [job(1, 2, 12_000.0), job(2, 3, 100.0, user="eve")]
        engine, starts = planned(minutes(policy, 600), jobs, [run])
        assert starts == [2]
        found = explained(engine, NOW, 1)
        assert found.rule is Rule.LIMIT
        assert found.expected_start == 18_060.0  # a full minute
        assert "holds 500 CPU-minutes and it asks for 400; 600 may be held" in found.reason


def test_what_is_there_after_its_end_gives_its_user_no_cpu_minutes() -> None:
    late = replace(running(9, (0,), 20.0), user="ann")
    engine, _ = planned(minutes("easy", 10), [], [late])
    engine.apply(Delta(waiting=[job(1, 1, 660.0)]))
    assert not engine.plan(100.0).lines


def test_who_comes_before_a_promise_that_waits_for_a_licence_is_not_behind_it() -> None:
    """Job 2 is new, and ahead of job 3, to which all of the node is promised once there is a licence."""
    rules = replace(EASY, licences={"solver": 1})
    run = replace(running(9, (0, 1), inf), licences={"solver": 1})
    wide, last = job(1, 3, inf, priority=80), licensed(3, 4, inf)
    engine, starts = planned(rules, [wide, last], [run])
    assert (starts, heads(engine)) == ([], {1: inf, 3: inf})
    new = replace(job(2, 1, inf, priority=60))
    engine.apply(Delta(waiting=[new]))
    kept = [line.job for line in engine.plan(NOW + 1).lines if isinstance(line, Start)]
    assert kept == planned(rules, [wide, new, last], [run])[1] == [2]
