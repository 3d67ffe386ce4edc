"""What `explain` says of a waiting job: one case for each rule, word for word."""

from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from ostler.model.errors import Missing
from ostler.model.states import Rule
from ostler.schedule.explain import explain
from ostler.schedule.snapshot import Explanation, Passed, Wait
from tests.schedule_kit import G, job, machine, node, resume, running

BUSY = [running(7, [0, 1, 2], 600.0)]


def test_busy_cpus() -> None:
    assert explain(machine([node()], [job(12, cpus=4)], runs=BUSY), 0.0, 12) == Explanation(
        rule=Rule.RESOURCES,
        reason="it needs 4 CPUs on one node, and n1 has the most free: 1; it waits for job 7 to end;"
        " it should start in 10m",
        numbers={
            "short": "cpus",
            "asked_cpus": 4,
            "free_cpus": 1,
            "most_cpus": 1,
            "most_on": "n1",
            "place": 1,
            "waiting_elements": 1,
        },
        expected_start=600.0,
        blockers=["7"],
        ahead=[],
        to_start_now="ask for 1 CPU instead of 4; or end job 7",
        assumption="if job 7 takes its whole time limit",
        expected_nodes=["n1"],
        filters=[
            Passed("partition", "in partition main", 1),
            Passed("usable", "usable", 1),
            Passed("cpus", "with 4 CPUs free", 0),
            Passed("together", "with all of that together", 0),
        ],
    )


def test_busy_memory() -> None:
    runs = [running(7, [0], 60.0, memory=6 * G), running(8, [1], 30.0)]
    answer = explain(machine([node()], [job(12, memory=4 * G)], runs=runs), 0.0, 12)
    assert answer.reason == (
        "it needs 4G of memory on one node, and n1 has the most free: 2G;"
        " it waits for job 7 to end; it should start in 1m"
    )
    assert answer.to_start_now == "ask for 2G of memory instead of 4G; or end job 7"
    assert answer.blockers == ["7"]


def test_busy_gpus_and_the_end_of_an_element() -> None:
    runs = [running(7, [0], gpus=(0, 1), element=3)]
    answer = explain(machine([node(gpus=2)], [job(12, gpus=1)], runs=runs), 0.0, 12)
    assert answer.reason == (
        "it needs 1 GPU on one node, and n1 has the most free: 0; job 7_3 holds what it needs;"
        " no expected start can be told: job 7_3 has no time limit"
    )
    assert (answer.blockers, answer.to_start_now) == (["7_3"], "end job 7_3")


def test_a_busy_named_resource() -> None:
    runs = [running(7, generic={"lic": 2})]
    shot = machine([node(generic={"lic": 3})], [job(12, generic={"lic": 2})], runs=runs)
    answer = explain(shot, 0.0, 12)
    assert answer.reason.startswith("it needs 2 of lic on one node, and n1 has the most free: 1")
    assert answer.to_start_now == "ask for 1 of lic instead of 2; or end job 7"


def test_each_is_free_somewhere_but_not_together() -> None:
    runs = [running(7, [0, 1, 2, 3], on="n1"), running(8, [0], on="n2", memory=8 * G)]
    shot = machine([node("n1"), node("n2")], [job(12, cpus=2, memory=G)], runs=runs)
    assert explain(shot, 0.0, 12).reason == (
        "it needs 2 CPUs and 1G of memory on one node, and no node has these free together;"
        " jobs 7, 8 hold what it needs;"
        " no expected start can be told: jobs 7, 8 have no time limit"
    )


def test_several_tasks() -> None:
    nodes = [node("n1"), node("n2", memory=G)]
    shot = machine(nodes, [job(12, tasks=8)], runs=BUSY)
    answer = explain(shot, 0.0, 12)
    assert answer.reason.startswith("its 8 tasks need 8 CPUs, and 5 are free; it waits for job 7")
    assert answer.to_start_now == "ask for 5 tasks instead of 8; or end job 7"
    answer = explain(machine(nodes, [job(12, tasks=5, memory=G)], runs=BUSY), 0.0, 12)
    assert answer.reason.startswith(
        "its 5 tasks need 5 CPUs, and the 5 that are free lie where not all tasks fit"
    )


def test_an_exact_number_of_nodes() -> None:
    runs = [running(7, range(4), 60.0, on="n2")]
    nodes = [node("n1"), node("n2")]
    answer = explain(machine(nodes, [job(12, tasks=2, nodes=2)], runs=runs), 0.0, 12)
    assert answer.reason.startswith(
        "it needs 2 nodes with room for a task of 1 CPU, and 1 has it now"
    )
    assert answer.to_start_now == "ask for 1 node instead of 2; or end job 7"


def test_of_nodes_that_no_counted_group_takes_nothing_is_told() -> None:
    nodes = [node("n1", features=("gold",)), node("n2", features=("gold",)), node("n3")]
    view = job(12, cpus=4, tasks=2, nodes=2)
    view = replace(view, request=replace(view.request, constraint="gold*2"))
    runs = [running(7, range(4), 60.0, on="n2"), running(8, [0], 90.0)]
    answer = explain(machine(nodes, [view], runs=runs), 0.0, 12)
    assert answer.reason.startswith(
        "on nodes with gold*2, it needs 2 nodes with room for a task of 4 CPUs, and 0 have it now;"
        " it waits for jobs 7, 8 to end"
    )
    assert (answer.numbers["free_cpus"], answer.numbers["most_on"]) == (3, "n1")


def test_two_have_to_end() -> None:
    runs = [running(7, [0], 60.0), running(8, [1], 90.0)]
    answer = explain(machine([node()], [job(12, cpus=4)], runs=runs), 0.0, 12)
    assert answer.to_start_now == "ask for 2 CPUs instead of 4; or end jobs 7 and 8"
    assert answer.blockers == ["7", "8"]


def test_behind_the_head() -> None:
    shot = machine([node()], [job(11, cpus=4, limit=50.0), job(12)], runs=BUSY)
    assert explain(shot, 0.0, 12) == Explanation(
        rule=Rule.BEHIND,
        reason="it would fit now, but would delay job 11, which is ahead of it and should start"
        " in 10m; it should start in 10m 50s",
        numbers={"ahead": 11, "shadow": 600.0, "place": 2, "waiting_elements": 1},
        expected_start=650.0,
        blockers=["11"],
        ahead=["11"],
        to_start_now="a time limit of at most 10m would let it backfill; or a priority above 50",
        assumption="if every job ahead of it takes its whole time limit, and none comes before it",
        expected_nodes=["n1"],
        filters=[
            Passed("partition", "in partition main", 1),
            Passed("usable", "usable", 1),
            Passed("cpus", "with 1 CPU free", 1),
            Passed("together", "with all of that together", 1, 1),
        ],
    )


def test_behind_a_head_whose_start_nobody_can_tell() -> None:
    shot = machine([node()], [job(11, cpus=4), job(12)], runs=[running(7, [0])])
    answer = explain(shot, 0.0, 12)
    assert answer.reason == (
        "it would fit now, but would delay job 11, which is ahead of it;"
        " no expected start can be told: job 7 has no time limit"
    )
    assert answer.to_start_now.startswith("a time limit of any length would let it backfill")


def test_further_back_in_the_queue() -> None:
    waiting = [job(10, cpus=4, limit=60.0), job(11, cpus=2, limit=60.0), job(12, cpus=2)]
    answer = explain(machine([node()], waiting, runs=BUSY), 0.0, 12)
    assert "; 2 jobs ahead of it: 10, 11; it should start in 11m" in answer.reason
    assert (answer.ahead, answer.numbers["place"]) == (["10", "11"], 3)


def test_over_the_users_limit() -> None:
    runs = [running(7, [0, 1], 60.0, user="ann"), running(8, [2])]
    answer = explain(machine([node(cpus=5)], [job(12, cpus=2)], runs=runs, limit=3), 0.0, 12)
    assert answer.rule is Rule.LIMIT
    assert answer.reason == (
        "ann holds 2 CPUs and it asks for 2; one user may hold 3; it should start in 1m"
    )
    assert answer.blockers == ["max-cpus-per-user", "7"]
    assert answer.to_start_now == (
        "ask for 1 CPU instead of 2; or have the limit raised: ostler config set"
        " max-cpus-per-user 4; or end job 7"
    )


def test_a_drained_node() -> None:
    nodes = [node("n1"), node("n2", 8, usable=False, why="draining: new disk")]
    answer = explain(machine(nodes, [job(12, cpus=8)]), 0.0, 12)
    assert answer.rule is Rule.NODES
    assert answer.reason == (
        "it needs 1 node, and of 1 that could serve 0 are usable: n2 (draining: new disk);"
        " no expected start can be told: nobody knows when node n2 will be usable again"
    )
    assert answer.blockers == ["n2"]
    assert answer.to_start_now == (
        "ask for 4 CPUs instead of 8; or undrain node n2: ostler nodes undrain n2"
    )


def test_several_nodes_that_are_down() -> None:
    down = [node(f"n{n}", usable=False, why="its status is no_agent") for n in (1, 2)]
    answer = explain(machine(down, [job(12, tasks=2, nodes=2)]), 0.0, 12)
    assert answer.reason.startswith("it needs 2 nodes, and of 2 that could serve 0 are usable")
    assert answer.to_start_now == (
        "bring node n1 back (its status is no_agent) and"
        " bring node n2 back (its status is no_agent)"
    )


def test_a_node_that_left() -> None:
    nodes = [node("n1"), node("n2", 8, usable=False, gone=True)]
    answer = explain(machine(nodes, [job(12, cpus=8)]), 0.0, 12)
    assert answer.rule is Rule.NODE_LEFT
    assert answer.reason == (
        "it needs 8 CPUs on one node, and the nodes that are left have at most 4 CPUs on n1;"
        " n2, which was large enough, left"
    )
    assert (answer.blockers, answer.to_start_now) == (["n2"], "ask for 4 CPUs instead of 8")


@pytest.mark.parametrize(
    ("blocked", "reason", "blockers", "remedy"),
    [
        (
            Wait(Rule.HOLD, {"held_by": "ann"}),
            "it is held by ann",
            [],
            "release it: ostler release 12",
        ),
        (
            Wait(Rule.DEPENDENCY, {"jobs": "7,8"}),
            "it waits for jobs 7, 8 to end",
            ["7", "8"],
            "it cannot start before they have ended",
        ),
        (
            Wait(Rule.NOT_BEFORE, {"at": 190.0}, 190.0),
            "it was submitted to start no sooner than in 1m 30s",
            [],
            "let it start earlier: ostler modify 12 --not-before now",
        ),
        (
            Wait(Rule.ARRAY_CAP, {"cap": 3, "live": 3}),
            "3 of its elements run, and at most 3 may run at once",
            [],
            "let more of it run at once: ostler modify 12 --array %N",
        ),
        (
            Wait(Rule.RETRY, {"at": 160.0, "failures": 2}, 160.0),
            "its last start failed; the next try is in 1m",
            [],
            "",
        ),
    ],
)
def test_what_the_core_told(blocked: Wait, reason: str, blockers: list[str], remedy: str) -> None:
    answer = explain(machine([node()], [job(12, blocked=blocked)]), 100.0, 12)
    assert answer == Explanation(
        blocked.rule, reason, blocked.numbers, blocked.expected_start, blockers, [], remedy
    )


def test_what_the_next_plan_starts_is_new() -> None:
    answer = explain(machine([node()], [job(12)]), 5.0, 12)
    assert (answer.rule, answer.expected_start) == (Rule.NEW, 5.0)
    assert answer.reason == "nothing keeps it: the next planning pass starts it"


def test_an_array_is_explained_by_the_element_that_comes_next() -> None:
    answer = explain(machine([node()], [job(12, elements=9, limit=60.0)]), 0.0, 12)
    assert (answer.rule, answer.numbers["waiting_elements"]) == (Rule.RESOURCES, 5)
    assert answer.expected_start == 60.0


def test_a_suspended_job_that_is_to_go_on() -> None:
    held = running(7, [0, 1], suspended=True)
    user = running(8, [1], 100.0)
    answer = explain(machine([node()], runs=[held, user], resuming=[resume(held)]), 40.0, 7)
    assert answer.rule is Rule.RESOURCES
    assert answer.reason == (
        "it is to go on, on the very CPUs it had: 1 of 2 are free; it waits for job 8 to end;"
        " it should go on in 1m"
    )
    assert (answer.blockers, answer.to_start_now) == (["8"], "end or suspend job 8")


def test_a_suspended_job_is_not_blamed_for_cpus_it_does_not_hold() -> None:
    runs = [running(7, [0], suspended=True), running(8, range(4))]
    assert explain(machine([node()], [job(12)], runs=runs), 0.0, 12).blockers == ["8"]


def test_a_job_that_does_not_wait_is_missing() -> None:
    with pytest.raises(Missing, match="nothing of job 12 waits; see `ostler job 12`"):
        explain(machine([node()], runs=[running(12, [0], inf)]), 0.0, 12)


def test_what_is_offered_as_remedy_works() -> None:
    shot = machine([node()], [job(11, cpus=4, limit=50.0), job(12)], runs=BUSY)
    shot.waiting[1].duration = 600.0
    assert explain(shot, 0.0, 12).rule is Rule.NEW
    shot.waiting[1].duration = 601.0
    assert explain(shot, 0.0, 12).rule is Rule.BEHIND


def test_no_start_is_told_behind_what_is_suspended() -> None:
    runs = [running(7, [0, 1], 600.0, memory=6 * G, suspended=True)]
    answer = explain(machine([node()], [job(12, memory=4 * G)], runs=runs), 0.0, 12)
    assert answer.expected_start is None
    assert answer.reason.endswith("no expected start can be told: job 7 is suspended")


def test_no_start_is_told_behind_a_waiting_job_without_a_limit() -> None:
    runs = [running(7, [0, 1, 2, 3], 600.0)]
    shot = machine([node()], [job(11, cpus=4), job(12, cpus=4)], runs=runs)
    answer = explain(shot, 0.0, 12)
    assert answer.expected_start is None
    assert answer.reason.endswith("no expected start can be told: job 11 has no time limit")


def test_of_those_that_ask_for_the_same_the_first_is_told_of() -> None:
    waiting = [job(number, cpus=4, limit=60.0) for number in (10, 11, 12)]
    answer = explain(machine([node()], waiting, runs=BUSY), 0.0, 12)
    assert answer.rule is Rule.QUEUE
    assert answer.reason == (
        "2 jobs that ask for the same are ahead of it; the first, job 10: it needs 4 CPUs on one"
        " node, and n1 has the most free: 1; it waits for job 7 to end; it should start in 10m;"
        " job 12 should start in 12m"
    )
    assert (answer.numbers["first"], answer.numbers["alike"]) == (10, 2)
    assert (answer.blockers, answer.expected_start) == (["10"], 720.0)
    assert explain(machine([node()], waiting, runs=BUSY), 0.0, 10).rule is Rule.RESOURCES


@pytest.mark.parametrize("differs", [{"limit": 61.0}, {"user": "bob"}, {"memory": G}])
def test_who_differs_in_what_the_plan_looks_at_is_not_of_the_same(differs: dict[str, Any]) -> None:
    runs = [running(7, [0], 60.0, user="ann"), running(8, [1, 2], 60.0)]
    waiting = [job(10, cpus=4, limit=60.0), job(11, 4, **{"limit": 60.0} | differs)]
    answer = explain(machine([node()], waiting, runs=runs, limit=4), 0.0, 11)
    assert answer.rule in {Rule.RESOURCES, Rule.LIMIT}


def test_equal_requests_of_two_users_are_the_same_where_no_limit_tells_them_apart() -> None:
    waiting = [job(10, cpus=4, limit=60.0), job(11, cpus=4, limit=60.0, user="bob")]
    assert explain(machine([node()], waiting, runs=BUSY), 0.0, 11).rule is Rule.QUEUE


def test_what_no_planned_end_helps_has_no_start_and_says_so() -> None:
    full = [running(9, range(4), 50.0)]
    other = [running(100 + n, [n], 60.0 + n, on="n2") for n in range(3)]
    shot = machine([node(), node("n2", 4, 2 * G)], [job(12, memory=4 * G)], runs=full + other)
    assert explain(shot, 0.0, 12).expected_start == 50.0
    endless = [running(9, range(4), inf)]
    shot = machine([node(), node("n2", 4, 2 * G)], [job(12, memory=4 * G)], runs=endless + other)
    assert explain(shot, 0.0, 12).assumption == "job 9 has no time limit"


def test_the_funnel_narrows_by_names_and_features_and_counts_each_kind_of_what_is_left() -> None:
    nodes = [
        node("n1", gpus=1),
        node("n2", 8, gpus=1),
        node("n3", gpus=1, usable=False),
        node("n4", 8),
        node("n5", 8, partition="other"),
        node("n6", gone=True, usable=False),
    ]
    runs = [running(7, range(8), on="n2"), running(8, [0], on="n1", gpus=(0,))]
    want = job(12, cpus=3, memory=G, gpus=1, exclude=("n4",))
    found = explain(machine(nodes, [want], runs=runs), 0.0, 12).filters
    assert [(each.filter, each.nodes) for each in found] == [
        ("partition", 4),
        ("usable", 3),
        ("exclude", 2),
        ("cpus", 1),
        ("memory", 2),
        ("gpus", 1),
        ("together", 0),
    ]


def test_the_funnel_counts_what_those_ahead_leave() -> None:
    waiting = [job(11, cpus=3, limit=60.0), job(12, cpus=2)]
    found = explain(machine([node()], waiting), 0.0, 12).filters
    assert [each.nodes for each in found if each.filter == "cpus"] == [0]
