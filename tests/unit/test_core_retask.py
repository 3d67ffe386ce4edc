"""Jobs of several tasks that get more nodes while they run, or give some back: R-MAU-17."""

from typing import Any

import pytest

from ostler.core.effects import Effect, Fail
from ostler.core.events import AgentReported, Modified
from ostler.core.violations import violations
from ostler.model.allocation import Allocation
from ostler.model.errors import NotNow, OstlerError, Refused
from ostler.model.ids import Ref
from ostler.model.job import Streams, TaskExit
from ostler.model.orders import NODE_FAULT, Ended, EndShare, Held, Launch, Resized
from ostler.model.record import Accounting
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.model.states import Result
from tests.unit.core_kit import ANN, BOB, Box, orders, saved

FOUR = ("n1", "n2", "n3", "n4")


class Tasks(Box):
    """Four nodes of four CPUs, and a job with a task of four CPUs on each of the first two."""

    def __init__(self, nodes: int = 2, **named: Any) -> None:
        super().__init__(FOUR)
        self.job = self.submit(request=Request(tasks=nodes, cpus=4, nodes=nodes), **named)
        self.number = self.alloc(self.job)
        for node in self.nodes:
            self.made(self.number, node)
        for node in self.nodes:
            self.start(self.number, node)

    def resize(self, nodes: int, **more: Any) -> Any:
        body = self.ask(Modified, ANN, Ref(self.job), {"nodes": nodes, **more})
        assert list(violations(self.machine.state)) == []
        return body

    def over(self, *nodes: str, code: int = 0) -> None:
        """Report that the tasks on these nodes have ended."""
        for node in nodes:
            place = next(p for p in self.held.placements if p.node == node)
            ended = tuple(TaskExit(place.first_rank + at, code) for at in range(place.tasks))
            self.report(node, Ended(self.number, self.now, self.now, "", "", ended))

    @property
    def held(self) -> Allocation:
        return self.machine.state.allocations[self.number]

    @property
    def nodes(self) -> list[str]:
        """Return the nodes that it has."""
        return [place.node for place in self.held.placements]

    def notices(self) -> list[tuple[str, tuple[str, ...], int]]:
        """Return the notices to the job: node, members, tasks."""
        return [(node, row.members, row.tasks) for node, row in orders(self.done, Resized)]

    def accounts(self) -> list[tuple[str, str, float, int]]:
        """Return what was accounted: nodes, how it ended, for how long, part."""
        rows = [row for row in saved(self.done) if isinstance(row, Accounting)]
        return [(r.nodes, r.result, r.ended_at - r.granted_at, r.part) for r in rows]


def test_it_has_four_nodes_after_one_plan_and_each_old_one_gets_a_notice_r_mau_17() -> None:
    box = Tasks()
    box.now += 10
    row = box.resize(4)["job"]
    assert row["allocation_nodes"] == [*FOUR]
    launched = [(node, o.placement.first_rank, o.start) for node, o in orders(box.done, Launch)]
    assert launched[2:] == [("n3", 2, True), ("n4", 3, True)]
    assert orders(box.done, Launch)[-1][1].total_tasks == 4
    assert box.notices() == [("n1", FOUR, 4), ("n2", FOUR, 4)]
    for node in ("n3", "n4"):
        box.start(box.number, node)
    box.now += 10
    box.over(*FOUR)
    assert box.state(box.job) == "success"
    assert box.accounts() == [("n1,n2", "resized", 10.0, 0), ("n1,n2,n3,n4", "success", 10.0, 1)]


def test_it_grows_at_once_or_not_at_all() -> None:
    box = Tasks()
    box.submit(by=BOB, request=Request(cpus=4))
    with pytest.raises(
        NotNow, match="job 1 cannot grow now: it needs 2 nodes with room for a task"
    ):
        box.resize(4)
    assert (box.nodes, box.state(box.job)) == (["n1", "n2"], "running")
    assert box.resize(3)["job"]["allocation_nodes"] == ["n1", "n2", "n4"]


def test_it_does_not_grow_past_a_job_that_waits_for_these_nodes() -> None:
    box = Tasks(time_limit=100)
    box.submit(by=BOB, request=Request(cpus=4), time_limit=50)
    box.submit(by=BOB, request=Request(tasks=2, nodes=2, cpus=4))
    box.now += 10
    with pytest.raises(NotNow, match="cannot grow now: it would fit now, but would delay job 3"):
        box.resize(3)


def test_nodes_whose_tasks_have_ended_are_given_back_and_the_others_go_on() -> None:
    box = Tasks(4)
    box.over("n2", "n4")
    waits = box.submit(by=BOB, request=Request(cpus=4))
    assert box.state(waits) == "pending"
    box.resize(3)
    assert (box.nodes, box.state(waits)) == (["n1", "n2", "n3"], "starting")
    assert box.notices() == [("n1", ("n1", "n2", "n3"), 3), ("n3", ("n1", "n2", "n3"), 3)]
    with pytest.raises(NotNow, match=r"tasks of job 1 run on n3; .* 1 node on which they have"):
        box.resize(1)
    box.over("n1", "n3")
    assert box.state(box.job) == "success"


def test_a_task_that_failed_before_its_node_was_given_back_still_counts() -> None:
    box = Tasks(2)
    box.over("n2", code=7)
    box.resize(1)
    box.over("n1")
    assert box.state(box.job) == "failed"


def test_tasks_may_be_ended_to_give_their_nodes_back() -> None:
    box = Tasks(4)
    box.resize(2, end_tasks=True)
    assert [node for node, _ in orders(box.done, EndShare)] == ["n4", "n3"]
    assert box.nodes == [*FOUR]
    for node in ("n3", "n4"):
        box.end(box.number, node, code=143, cause=Result.CANCELLED)
    assert (box.nodes, box.state(box.job)) == (["n1", "n2"], "running")
    assert box.notices()[-1] == ("n2", ("n1", "n2"), 2)
    box.over("n1", "n2")
    assert box.state(box.job) == "success"


def test_a_job_whose_other_tasks_end_first_ends_with_the_node_that_it_gives_back() -> None:
    box = Tasks()
    box.resize(1, end_tasks=True)
    box.over("n1")
    assert box.state(box.job) == "running"
    box.end(box.number, "n2", code=143, cause=Result.CANCELLED)
    assert box.state(box.job) == "success"


def test_a_node_that_cannot_start_what_was_added_is_let_go() -> None:
    box = Tasks()
    box.resize(3)
    box.end(box.number, "n3", ran=False, cause=NODE_FAULT, why="no space is left")
    assert (box.nodes, box.state(box.job)) == (["n1", "n2"], "running")
    box.over("n1", "n2")
    assert box.state(box.job) == "success"


def test_what_was_ordered_of_a_node_comes_again_when_its_agent_does() -> None:
    box = Tasks()
    box.resize(3)
    box.resize(2, end_tasks=True)
    box.resize(3)
    assert box.nodes == ["n1", "n2", "n3", "n4"]
    box.greet("n4")  # it never came there
    box.greet("n3", holds=(Held(box.number, "started", 1.0),))
    box.greet("n1", holds=(Held(box.number, "started", 1.0),))
    assert orders(box.done, Launch)[-1][0] == "n4"
    assert orders(box.done, EndShare)[-1][0] == "n3"
    assert box.notices()[-1] == ("n1", FOUR, 4)
    box.greet("n4", boot="b2")  # and it may have run there
    assert (box.nodes, box.state(box.job)) == (["n1", "n2", "n3"], "running")


def test_a_cancelled_job_ends_everywhere() -> None:
    box = Tasks()
    box.resize(3)
    box.act("cancel", str(box.job))
    for node in ("n1", "n2"):
        box.end(box.number, node, code=143, cause=Result.CANCELLED)
    box.greet("n3")  # which had not heard of it
    assert box.state(box.job) == "cancelled"


def test_a_job_that_runs_again_begins_with_what_it_asked_for() -> None:
    box = Tasks(requeue=True)
    box.resize(4)
    box.act("requeue", str(box.job))
    for node in FOUR:
        box.end(box.number, node, ran=node in ("n1", "n2"), cause="requeue")
    assert len(box.machine.state.allocations[box.alloc(box.job)].placements) == 2


@pytest.mark.parametrize(
    ("spec", "changes", "told"),
    [
        ({"kind": "run", "streams": Streams()}, {"nodes": 3}, "it cannot grow"),
        ({}, {"nodes": 3, "priority": 1}, "change alone"),
        ({}, {"nodes": "3"}, "cannot have '3' nodes"),
        ({}, {"nodes": 0}, "cannot have 0 nodes"),
        ({}, {"nodes": 9}, "9 nodes"),
    ],
)
def test_what_cannot_be_resized_says_why(
    spec: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    box = Tasks(**spec)
    with pytest.raises(OstlerError) as refusal:
        box.ask(Modified, ANN, Ref(box.job), changes)
    assert told in f"{refusal.value} {refusal.value.hint}"
    assert box.nodes == ["n1", "n2"]


def test_limits_count_what_it_would_have() -> None:
    box = Tasks()
    box.configure("max-cpus-per-user", "12")
    with pytest.raises(Refused, match="it asks for 16 CPUs, and ann may hold 12"):
        box.resize(4)
    box.resize(3)
    assert box.machine.state.user_cpus == {"ann": 12}


def test_whoever_asked_is_answered_when_the_job_ends_first() -> None:
    box = Tasks()
    assert box.machine.handle(box.now, Modified(77, ANN, Ref(box.job), {"nodes": 3})) == []
    effects: list[Effect] = []
    for at, node in enumerate(("n1", "n2")):
        row = Ended(box.number, 1.0, 1.0, "", "", (TaskExit(at, 0),))
        effects += box.machine.handle(box.now, AgentReported(node, 1, (row,)))
    [refusal] = [effect for effect in effects if isinstance(effect, Fail)]
    assert (refusal.to, "it has ended" in str(refusal.error)) == (77, True)


def test_a_job_of_one_task_stays_where_it_is() -> None:
    box = Box(FOUR)
    job = box.submit(request=Request(cpus=4))
    box.start(box.alloc(job))
    with pytest.raises(NotNow, match="its nodes can no longer change") as refusal:
        box.ask(Modified, ANN, Ref(job), {"nodes": 2})
    assert "only jobs of several tasks" in refusal.value.hint


def test_a_job_that_gives_back_what_moved_to_another_partition_is_all_at_home() -> None:
    box = Tasks()
    box.change(
        Change("create", "partition", ("night",), {}),
        Change("set", "configuration", ("",), {"nodes": {"night": "n2"}}),
    )
    assert box.machine.state.parts.strangers == {box.number}
    box.over("n2")
    box.resize(1)
    assert not box.machine.state.parts.strangers
