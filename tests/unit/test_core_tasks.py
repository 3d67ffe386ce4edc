"""Jobs of many tasks: how many on which node, which ranks, and what the first failure does."""

import pytest

from ostler.agent.share import Share
from ostler.core.planning import check_places
from ostler.core.status import exit_status
from ostler.core.violations import violations
from ostler.model.errors import Refused, UsageError
from ostler.model.job import TaskExit
from ostler.model.orders import Ended, EndShare, Launch, Made
from ostler.model.resources import NodeFacts, Placement, Request
from ostler.model.states import Result
from ostler.schedule.can_ever import can_ever
from ostler.schedule.fit import seats
from ostler.schedule.ranks import cyclic
from ostler.schedule.room import Room
from tests.schedule_kit import node
from tests.unit.core_kit import Box, orders


@pytest.mark.parametrize(
    ("tasks", "nodes", "most", "where"),
    [
        (4, 0, 0, [4]),
        (4, 0, 2, [2, 2]),
        (5, 0, 2, [2, 2, 1]),
        (4, 2, 3, [2, 2]),
        (6, 2, 3, [3, 3]),
        (7, 0, 2, None),
        (7, 2, 3, None),
    ],
)
def test_no_node_gets_more_tasks_than_it_may(
    tasks: int, nodes: int, most: int, where: list[int] | None
) -> None:
    rooms = [Room.whole(f"n{i}", NodeFacts(tuple(range(4)))) for i in range(3)]
    request = Request(tasks=tasks, nodes=nodes, tasks_per_node=most)
    found = seats(rooms, request)
    assert found is None if where is None else sorted(n for _, n in found or ()) == sorted(where)


def test_what_would_fit_is_told_with_the_limit_counted() -> None:
    nodes = [node("n1"), node("n2")]
    told = can_ever(Request(tasks=5, tasks_per_node=2), "main", nodes)
    assert told == (
        "it asks for 5 tasks of 1 CPU (most: 4 tasks on 2 nodes); ask for -n 4 or fewer"
    )


def test_ranks_go_round_until_each_node_has_its_own() -> None:
    assert cyclic((2, 2)) == ((0, 2), (1, 3))
    assert cyclic((1, 3, 2)) == ((0,), (1, 3, 5), (2, 4))
    assert cyclic((4,)) == ((0, 1, 2, 3),)
    many = cyclic((1000,) * 100)
    assert sorted(rank for ranks in many for rank in ranks) == list(range(100_000))


def test_the_nodes_are_told_their_ranks() -> None:
    box = Box(("n1", "n2"))
    request = Request(tasks=3, nodes=2)
    box.submit(request=request, distribution="cyclic")
    ranks = {name: order.ranks for name, order in orders(box.done, Launch)}
    tasks = {name: order.placement.tasks for name, order in orders(box.done, Launch)}
    assert sorted(rank for each in ranks.values() for rank in each) == [0, 1, 2]
    assert {name: len(each) for name, each in ranks.items()} == tasks
    box.submit(request=Request(tasks=2, nodes=2))
    assert [order.ranks for _, order in orders(box.done, Launch)][2:] == [(), ()]
    with pytest.raises(UsageError, match="block or cyclic"):
        box.submit(distribution="plane")
    with pytest.raises(Refused, match="most: 2 tasks on 2 nodes"):
        box.submit(request=Request(tasks=3, tasks_per_node=1))


def order(**named: object) -> dict[str, object]:
    place = {"node": "n1", "tasks": 2, "first_rank": 2, "cpus": [4, 5, 6, 7], "memory": 2 << 30}
    base = {"alloc": 1, "job": 1, "element": 0, "attempt": 1, "user": "ann", "uid": 1, "gid": 1}
    return base | {"placement": place, "request": {"cpus": 2}, "total_tasks": 4} | named


def test_a_task_has_the_cpus_of_its_seat_whatever_its_rank() -> None:
    plain, round_robin = Share(order()), Share(order(ranks=[1, 3]))
    assert [(rank, plain.cpus_of(rank)) for rank in plain.ranks] == [(2, [4, 5]), (3, [6, 7])]
    assert [(r, round_robin.cpus_of(r)) for r in round_robin.ranks] == [(1, [4, 5]), (3, [6, 7])]
    assert round_robin.bound(3) == "rank 3 on n1: CPUs 6,7, memory 1G"
    for bad in ([1], [1, 1], [1, 2, 3], "x"):
        with pytest.raises(ValueError, match="rank"):
            Share(order(ranks=bad))


def test_the_first_failure_ends_the_tasks_on_other_nodes_and_gives_the_status() -> None:
    box = Box(("n1", "n2"))
    job = box.submit(request=Request(tasks=4, nodes=2), kill_on_bad_exit=True)
    alloc = box.alloc(job)
    assert all(order.kill_on_bad_exit for _, order in orders(box.done, Launch))
    for name in ("n1", "n2"):
        box.report(name, Made(alloc))
    for name in ("n1", "n2"):
        box.start(alloc, name)
    why = "rank 1 on n1 ended with status 3, and with it the others"
    tasks = (TaskExit(0, 0, 15), TaskExit(1, 3))
    effects = box.report("n1", Ended(alloc, box.now, box.now, "failed", why, tasks))
    [(where, ordered)] = orders(effects, EndShare)
    assert (where, ordered.cause, ordered.why) == ("n2", "failed", why)
    tasks = (TaskExit(2, 0, 15), TaskExit(3, 0, 9))
    box.report("n2", Ended(alloc, box.now, box.now, "failed", why, tasks))
    ended = box.machine.state.recent[job].job
    assert (ended.result, ended.exit_status, ended.reason) == ("failed", 3, why)
    assert list(violations(box.machine.state)) == []


def test_a_status_is_that_of_the_tasks_that_failed_themselves() -> None:
    ended = [TaskExit(0, 0, 15), TaskExit(1, 0, 11), TaskExit(2, 0, 9)]
    assert exit_status(Result.FAILED, ended) == 128 + 11
    assert exit_status(Result.FAILED, ended[:1]) == 128 + 15
    assert exit_status("", ended) == 128 + 15


def test_a_plan_that_crowds_a_node_is_refused() -> None:
    box = Box(("n1", "n2"))
    job = box.submit(request=Request(tasks=2, tasks_per_node=1), hold=True)
    with pytest.raises(Refused, match="wants no 2 tasks on one node"):
        check_places(
            box.machine.state, box.machine.state.jobs[job], (Placement("n1", 2, 0, (0, 1)),)
        )
