"""What a plan starts, what it keeps waiting, and by which rule."""

from math import inf
from random import Random

import pytest

from ostler.model.resources import NodeFacts, Placement
from ostler.model.states import Rule
from ostler.schedule import engine
from ostler.schedule.engine import Engine
from ostler.schedule.snapshot import (
    Plan,
    Resume,
    RunningView,
    Snapshot,
    Start,
    Wait,
    WaitingView,
    whole,
)
from tests.outlook import DEPTH, outlook
from tests.schedule_kit import G, job, machine, node, resume, running


def plan(snapshot: Snapshot, now: float, *, depth: int = DEPTH) -> Plan:
    """Return the plan of an engine, with the numbers and expected starts that it leaves out."""
    found = engine.plan(snapshot, now)
    return Plan(found.lines, outlook(snapshot, now, depth=depth), found.yields)


def started(found: Plan) -> list[int]:
    return [line.job for line in found.lines if isinstance(line, Start)]


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert plan(machine([node()]), 0.0) == Plan([], {})


@pytest.mark.parametrize(
    ("waiting", "order"),
    [
        ([job(2), job(1)], [1, 2]),
        ([job(1, priority=40), job(2)], [2, 1]),
        ([job(1), job(2, head=True)], [2, 1]),
        ([job(1, priority=60), job(2, head=True)], [1, 2]),
        ([job(1, at=9.0), job(2, at=8.0)], [2, 1]),
        ([job(2, at=5.0), job(1, at=5.0)], [1, 2]),
    ],
)
def test_the_queue_goes_by_priority_then_returned_then_age_then_number(
    waiting: list[WaitingView], order: list[int]
) -> None:
    assert started(plan(machine([node()], waiting), 0.0)) == order


def test_equal_elements_of_an_array_start_as_far_as_there_is_room() -> None:
    found = plan(machine([node(cpus=4)], [job(1, elements=9), job(2)]), 0.0)
    assert started(found) == [1, 1, 1, 1]
    assert found.waits[1].numbers == {
        "short": "cpus",
        "asked_cpus": 1,
        "free_cpus": 0,
        "most_cpus": 0,
        "most_on": "n1",
    }
    assert found.waits[2].rule is Rule.RESOURCES


def test_the_head_is_told_the_earliest_end_by_which_it_fits() -> None:
    runs = [running(7, [0], 100.0), running(8, [1], 300.0), running(9, [2], 200.0)]
    found = plan(machine([node()], [job(1, cpus=3)], runs=runs), 50.0)
    assert found.waits[1].expected_start == 200.0


def test_an_end_that_is_overdue_is_expected_now() -> None:
    found = plan(machine([node()], [job(1, cpus=4)], runs=[running(7, [0], 10.0)]), 50.0)
    assert found.waits[1].expected_start == 50.0


def test_nobody_can_tell_when_what_has_no_limit_ends() -> None:
    found = plan(machine([node()], [job(1, cpus=4)], runs=[running(7, [0])]), 0.0)
    assert found.waits[1] == Wait(
        Rule.RESOURCES,
        {"short": "cpus", "asked_cpus": 4, "free_cpus": 3, "most_cpus": 3, "most_on": "n1"},
    )


HEAD = job(1, cpus=4, limit=50.0)


@pytest.mark.parametrize(
    ("limit", "cpus", "starts"),
    [(100.0, 1, True), (101.0, 1, False), (inf, 1, False), (100.0, 2, False)],
)
def test_a_later_job_starts_if_it_is_over_before_the_head_can_start(
    limit: float, cpus: int, *, starts: bool
) -> None:
    runs = [running(7, [0, 1, 2], 100.0)]
    found = plan(machine([node()], [HEAD, job(2, cpus, limit)], runs=runs), 0.0)
    assert started(found) == ([2] if starts else [])


def test_a_later_job_that_would_delay_the_head_is_behind_it() -> None:
    runs = [running(7, [0, 1, 2], 100.0)]
    found = plan(machine([node()], [HEAD, job(2)], runs=runs), 0.0)
    assert found.waits[2] == Wait(Rule.BEHIND, {"ahead": 1, "shadow": 100.0}, 150.0)


def test_a_long_job_starts_on_what_the_head_leaves_over() -> None:
    runs = [running(7, [1, 2], 100.0), running(8, [3], 500.0)]
    waiting = [job(1, cpus=2, limit=50.0), job(2), job(3)]
    found = plan(machine([node()], waiting, runs=runs), 0.0)
    assert started(found) == [2]
    assert found.waits[3].rule is Rule.RESOURCES
    assert found.waits[1].expected_start == 100.0


def test_a_short_job_leaves_what_is_left_over_to_longer_ones() -> None:
    # At 100 seven CPUs are free, the head needs six: one of the two that are free now is over.
    runs = [running(7, range(5), 100.0), running(8, [7], inf)]
    waiting = [job(1, cpus=6, limit=50.0), job(2, limit=10.0), job(3)]
    found = plan(machine([node(cpus=8)], waiting, runs=runs), 0.0)
    assert started(found) == [2, 3]


def test_memory_of_the_head_is_protected_too() -> None:
    runs = [running(7, [0], 100.0, memory=6 * G)]
    waiting = [job(1, memory=7 * G), job(2, memory=2 * G), job(3, memory=G)]
    found = plan(machine([node()], waiting, runs=runs), 0.0)
    assert started(found) == [3]
    assert found.waits[2].rule is Rule.BEHIND


def test_what_long_jobs_take_is_no_longer_left_over() -> None:
    runs = [running(7, [0], 100.0, memory=4 * G)]
    waiting = [job(1, memory=5 * G), job(2, memory=2 * G), job(3, memory=2 * G)]
    found = plan(machine([node()], waiting, runs=runs), 0.0)
    assert started(found) == [2]
    assert found.waits[3].rule is Rule.BEHIND


def test_named_resources_of_the_head_are_protected_too() -> None:
    runs = [running(7, generic={"lic": 3}, ends_at=100.0)]
    waiting = [job(1, generic={"lic": 4}), job(2, generic={"lic": 2}), job(3, generic={"lic": 1})]
    found = plan(machine([node(generic={"lic": 5})], waiting, runs=runs), 0.0)
    assert started(found) == [3]
    assert found.waits[2].rule is Rule.BEHIND


def test_the_head_keeps_one_node_and_later_jobs_may_have_the_other() -> None:
    runs = [running(7, [0, 1, 2], 100.0, on="n1"), running(8, [0, 1, 2], 300.0, on="n2")]
    waiting = [job(1, cpus=4), job(2), job(3)]
    found = plan(machine([node("n1"), node("n2")], waiting, runs=runs), 0.0)
    assert [
        (line.job, line.placements[0].node) for line in found.lines if isinstance(line, Start)
    ] == [(2, "n2")]
    assert found.waits[3].rule is Rule.BEHIND


def test_without_limits_small_jobs_do_not_starve_a_large_one() -> None:
    found = plan(machine([node()], [job(1, cpus=4), job(2)], runs=[running(7, [0])]), 0.0)
    assert found.lines == []
    assert found.waits[2] == Wait(Rule.BEHIND, {"ahead": 1})


def test_one_partition_does_not_wait_for_another() -> None:
    nodes = [node("n1"), node("n2", partition="other")]
    waiting = [job(1, cpus=4), job(2, partition="other")]
    found = plan(machine(nodes, waiting, runs=[running(7, [0])]), 0.0)
    assert started(found) == [2]


def test_what_the_core_has_blocked_never_starts_and_holds_up_nobody() -> None:
    hold = Wait(Rule.HOLD, {"held_by": "ann"})
    found = plan(machine([node()], [job(1, cpus=4, blocked=hold), job(2, cpus=4)]), 0.0)
    assert started(found) == [2]
    assert found.waits == {1: hold}


def test_a_user_holds_no_more_cpus_than_the_limit_and_holds_up_nobody() -> None:
    runs = [running(7, [0], 60.0, user="ann")]
    waiting = [job(1, cpus=2), job(2), job(3, user="bob")]
    found = plan(machine([node()], waiting, runs=runs, limit=2), 0.0)
    assert started(found) == [2, 3]
    limit = Wait(Rule.LIMIT, {"limit": 2, "held": 1, "asked": 2}, None)
    assert plan(machine([node()], waiting[:1], runs=runs, limit=2), 0.0, depth=0).waits[1] == limit


def test_a_job_over_the_limit_is_expected_when_its_users_own_work_ends() -> None:
    runs = [running(7, [0], 60.0, user="ann")]
    found = plan(machine([node()], [job(1, cpus=2)], runs=runs, limit=2), 0.0)
    assert found.waits[1].expected_start == 60.0


def test_the_heads_user_does_not_spend_the_limit_that_the_head_will_need() -> None:
    runs = [running(7, range(3), 100.0)]
    waiting = [job(1, cpus=4), job(2, limit=200.0), job(3, limit=90.0), job(4, user="eve")]
    nodes = [node(cpus=4), node("n2", cpus=3)]
    found = plan(machine(nodes, waiting, runs=runs, limit=4), 0.0)
    assert started(found) == [3, 4]  # 2 would fit beside the head, but not within the limit
    assert found.waits[2].rule is Rule.BEHIND


def test_what_the_heads_user_gives_back_by_then_counts_for_the_limit() -> None:
    runs = [running(7, range(3), 100.0, user="ann")]
    waiting = [job(1, cpus=4, nodelist=("n1",)), job(2, cpus=2), job(3, cpus=2)]
    found = plan(machine([node(), node("n2")], waiting, runs=runs, limit=7), 0.0)
    assert started(found) == [2]
    assert found.waits[3].rule is Rule.BEHIND


def test_a_request_that_only_drained_nodes_could_hold_waits_for_nodes() -> None:
    nodes = [node("n1"), node("n2", 8, usable=False, why="draining: new disk")]
    found = plan(machine(nodes, [job(1, cpus=8), job(2, cpus=4)]), 0.0)
    assert started(found) == [2]  # nobody knows when n2 is back: it holds up nobody
    assert found.waits[1] == Wait(
        Rule.NODES,
        {"configured": 1, "usable": 0, "asked": 1, "unusable": "n2 (draining: new disk)"},
    )


def test_nodes_that_cannot_be_used_for_the_same_reason_are_told_as_one() -> None:
    away = [node(f"n{i}", usable=False, why="draining: prolog failed") for i in (2, 3, 4)]
    found = plan(machine([*away, node("n5", usable=False)], [job(1)]), 0.0)
    told = found.waits[1].numbers["unusable"]
    assert told == "n[2-4] (draining: prolog failed), n5 (not usable)"


def test_only_nodes_on_which_a_task_could_go_are_counted() -> None:
    nodes = [node("n1"), node("n2", usable=False, why="draining"), node("n3", 1)]
    found = plan(machine(nodes, [job(1, cpus=2, tasks=4)]), 0.0)
    numbers = found.waits[1].numbers
    assert (numbers["configured"], numbers["usable"], numbers["asked"]) == (2, 1, 2)


def test_a_request_that_only_a_node_which_left_could_hold_says_so() -> None:
    nodes = [node("n1"), node("n2", 8, usable=False, gone=True)]
    found = plan(machine(nodes, [job(1, cpus=8), job(2)]), 0.0)
    assert started(found) == [2]
    assert found.waits[1] == Wait(
        Rule.NODE_LEFT,
        {
            "short": "cpus",
            "asked_cpus": 8,
            "configured_cpus": 4,
            "most_cpus": 4,
            "most_on": "n1",
            "left": "n2",
        },
    )


def test_a_node_known_from_its_sizes_alone_has_no_name() -> None:
    shot = machine([node()], [job(1, cpus=8)], known_ever=(NodeFacts(tuple(range(8))),))
    assert plan(shot, 0.0).waits[1].numbers["left"] == ""


@pytest.mark.parametrize(
    ("waiting", "short", "asked", "free"),
    [
        (job(1, memory=4 * G), "memory", ("asked_memory", 4 * G), ("free_memory", 2 * G)),
        (job(1, gpus=2), "gpus", ("asked_gpus", 2), ("free_gpus", 1)),
        (job(1, generic={"lic": 3}), "generic:lic", ("asked_generic", 3), ("free_generic", 1)),
        (job(1, tasks=4), "cpus", ("asked_cpus", 4), ("free_cpus", 3)),
    ],
)
def test_numbers_name_the_resource_that_is_short(
    waiting: WaitingView, short: str, asked: tuple[str, int], free: tuple[str, int]
) -> None:
    full = node(gpus=2, generic={"lic": 3})
    runs = [running(7, [0], memory=6 * G, gpus=(0,), generic={"lic": 2})]
    numbers = plan(machine([full], [waiting], runs=runs), 0.0).waits[1].numbers
    assert numbers["short"] == short
    assert (numbers[asked[0]], numbers[free[0]]) == (asked[1], free[1])


# ── Suspended allocations ────────────────────────────────────────────────────────────────────


def test_what_is_to_go_on_does_so_before_anything_starts() -> None:
    held = running(7, [0, 1], suspended=True)
    found = plan(machine([node()], [job(1, cpus=3)], runs=[held], resuming=[resume(held)]), 0.0)
    assert found.lines == [Resume(7)]
    assert found.waits[1].rule is Rule.RESOURCES


def test_cpus_of_what_waits_to_go_on_are_kept_from_others() -> None:
    held = running(7, [0, 1], suspended=True)
    user = running(8, [1], 100.0)
    shot = machine([node()], [job(1, cpus=3)], runs=[held, user], resuming=[resume(held, 50.0)])
    found = plan(shot, 0.0)
    assert found.lines == []
    assert found.waits[7] == Wait(
        Rule.RESOURCES, {"short": "cpus", "asked_cpus": 2, "free_cpus": 1, "own": 7}, 100.0
    )
    assert found.waits[1].expected_start == 150.0


def test_two_that_want_the_same_cpu_go_on_one_after_the_other() -> None:
    first, second = (running(n, [0], suspended=True) for n in (7, 8))
    wishes = [resume(second, 20.0), resume(first, 30.0)]
    found = plan(machine([node()], [], runs=[first, second], resuming=wishes), 0.0)
    assert found.lines == [Resume(7)]
    assert found.waits[8].expected_start == 30.0


def test_a_cpu_that_the_next_in_line_waits_for_is_not_free_in_between() -> None:
    first, second = (running(n, [0], suspended=True) for n in (7, 8))
    wishes = [resume(first, 30.0), resume(second, 20.0)]
    shot = machine([node()], [job(1, cpus=4)], runs=[first, second], resuming=wishes)
    assert plan(shot, 0.0).waits[1].expected_start == 50.0


def test_what_goes_on_counts_for_its_users_limit() -> None:
    held = running(7, [0, 1], suspended=True, user="ann")
    shot = machine([node()], [job(1)], runs=[held], resuming=[resume(held)], limit=2)
    assert plan(shot, 0.0).waits[1].numbers == {"limit": 2, "held": 2, "asked": 1}


def test_what_would_exceed_its_users_limit_does_not_go_on() -> None:
    held = running(7, [0, 1], suspended=True, user="ann")
    runs = [held, running(8, [2], user="ann")]
    found = plan(machine([node()], [], runs=runs, resuming=[resume(held)], limit=2), 0.0)
    assert found.lines == []
    assert found.waits[7] == Wait(Rule.LIMIT, {"limit": 2, "held": 1, "asked": 2})


def test_a_suspended_allocation_holds_its_memory_and_not_its_cpus() -> None:
    held = running(7, [0, 1, 2, 3], 100.0, memory=6 * G, suspended=True)
    waiting = [job(1, cpus=4, limit=5.0), job(2, memory=3 * G)]
    found = plan(machine([node()], waiting, runs=[held]), 0.0)
    assert started(found) == [1]
    assert found.waits[2].expected_start is None  # while suspended its time does not run


# ── Expected starts and size ─────────────────────────────────────────────────────────────────


def test_expected_starts_follow_one_another_through_the_queue() -> None:
    waiting = [job(1, cpus=4, limit=10.0), job(2, cpus=4, limit=10.0), job(3, cpus=4, limit=10.0)]
    found = plan(machine([node()], waiting, runs=[running(7, [0], 5.0)]), 0.0)
    assert [found.waits[n].expected_start for n in (1, 2, 3)] == [5.0, 15.0, 25.0]


def test_far_back_in_the_queue_nobody_can_tell() -> None:
    waiting = [job(n, cpus=4, limit=10.0) for n in range(1, 9)]
    found = plan(machine([node()], waiting, runs=[running(7000, [0], 5.0)]), 0.0, depth=3)
    assert [found.waits[n].expected_start for n in (3, 4)] == [25.0, None]


def test_jobs_of_one_shape_share_their_reason() -> None:
    waiting = [job(n, cpus=2) for n in range(1, 100)]
    found = plan(machine([node()], waiting, runs=[running(7000, range(4), 9.0)]), 0.0, depth=0)
    assert len({id(wait) for wait in found.waits.values()}) == 2  # the head's is its own


def test_a_hundred_thousand_jobs_of_two_hundred_shapes_cost_one_look_each() -> None:
    random = Random(1)
    shapes = [(1 + at % 4, 60.0 * (1 + at % 5), at * (1 << 20)) for at in range(200)]
    random.shuffle(shapes)
    waiting = []
    for number in range(1, 100_001):
        cpus, limit, memory = shapes[number % 200]
        waiting.append(job(number, cpus, limit, memory=memory))
    made = Engine(tells=inf)
    made.apply(whole(machine([node()], waiting)))
    found = made.plan(0.0)
    assert made.looks <= 200 + len(found.lines)
    assert len(found.waits) == 100_000 - len(found.lines)


def test_the_snapshot_is_left_as_it_was() -> None:
    def shot() -> Snapshot:
        runs: list[RunningView] = [running(7, [0, 1], 100.0, memory=G)]
        held = running(8, [3], suspended=True)
        waiting = [job(1, cpus=3), job(2, elements=3, limit=9.0), job(3, memory=9 * G)]
        return machine([node()], waiting, runs=[*runs, held], resuming=[resume(held)])

    given = shot()
    plan(given, 0.0)
    assert given == shot()


def test_places_are_exact() -> None:
    lines = plan(machine([node(gpus=2)], [job(1, cpus=2, tasks=2, memory=G, gpus=1)]), 0.0).lines
    place = Placement("n1", 2, 0, (0, 1, 2, 3), 2 * G, (0, 1), {})
    assert lines == [Start(1, (place,))]
