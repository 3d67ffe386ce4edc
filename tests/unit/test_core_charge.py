"""Partitions that another scheduler plans: whose plans count, what is told of it, who takes over."""

from typing import Any

import pytest

from ostler.core.charge import others
from ostler.core.delta import delta
from ostler.core.effects import Effect
from ostler.core.events import Planned, SchedulerSeen
from ostler.core.explain import explain, settled
from ostler.core.marks import Marks
from ostler.core.whatif import prepare_if
from ostler.model.errors import Missing, Refused, UsageError
from ostler.model.ids import Ref
from ostler.model.record import Event
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.model.suppose import Supposed
from ostler.schedule.proposal import Begin, Proposal, Why, plan_of
from ostler.schedule.snapshot import Snapshot
from ostler.schedule.views import Views
from tests.unit.core_kit import ANN, ROOT, Box, saved

MINE = {"command": "/bin/plan"}


def planned_by_mine(*nodes: str) -> Box:
    box = Box(nodes or ("n1", "n2"))
    create = Change("create", "scheduler", ("mine",), MINE)
    box.change(create, Change("set", "partition", ("main",), {"scheduler": "mine"}))
    return box


def shown(box: Box, by: str = "mine") -> Snapshot:
    """Return what a scheduler is shown that is told of the machine now."""
    views, state = Views(), box.machine.state
    views.apply(delta(state, box.now, marks=Marks()))
    return views.part(others(state)[by])


def propose(box: Box, *start: Begin, by: str = "mine", **more: Any) -> list[Effect]:
    """Let a scheduler propose; what makes no sense to begin with is nothing."""
    shot = shown(box, by)
    plan, wrong = plan_of(shot, Proposal(start=list(start), **more))
    assert not wrong
    return box.do(Planned(plan, by))


def notes(effects: list[Effect], kind: str) -> list[str]:
    return [w.text for w in saved(effects) if isinstance(w, Event) and w.kind == kind]


def explained(box: Box, job: int) -> dict[str, Any]:
    return explain(box.machine.state, box.now, Ref(job))


def test_what_it_does_not_start_waits_for_it_by_a_rule_that_names_it() -> None:
    box = planned_by_mine()
    job = box.submit()
    assert (box.state(job), box.rule(job)) == ("pending", "scheduler")
    row = explained(box, job)
    assert row["reason"] == "scheduler mine plans partition main: it has not started it"
    assert "scheduler=none" in row["to_start_now"]


def test_what_it_starts_runs_where_it_said() -> None:
    box = planned_by_mine()
    job = box.submit(request=Request(tasks=2))
    propose(box, Begin(job, {"n1": 1, "n2": 1}))
    places = box.machine.state.allocations[box.alloc(job)].placements
    assert [(p.node, p.tasks, p.first_rank, p.cpus) for p in places] == [
        ("n1", 1, 0, (0,)),
        ("n2", 1, 1, (0,)),
    ]


def test_its_own_reason_and_expectation_are_told() -> None:
    box = planned_by_mine()
    job = box.submit()
    propose(box, waits={job: Why("the moon is not full", 500.0)})
    row = explained(box, job)
    said = "scheduler mine plans partition main and says: the moon is not full"
    assert (row["rule"], row["reason"], row["expected_start"]) == ("scheduler", said, 500.0)
    propose(box)
    assert "moon" not in explained(box, job)["reason"]


def test_what_it_said_of_a_job_is_not_told_of_the_job_as_it_is_supposed_to_be() -> None:
    box = planned_by_mine()
    job = box.submit()
    propose(box, waits={job: Why("the moon is not full", 500.0)})
    state = box.machine.state
    found = settled(state, box.now, prepare_if(state, box.now, ANN, Ref(job), Supposed(cpus=2)))
    said = "scheduler mine plans partition main, and nobody asks it what it would do then"
    assert found["before"]["expected_start"] == 500.0
    assert (found["after"]["reason"], found["after"]["expected_start"]) == (said, None)
    assert found["answer"] == f"it would wait, and nobody can tell how long: {said}"


def test_plans_for_partitions_of_others_are_refused() -> None:
    box = planned_by_mine("n1")
    job = box.submit()
    shot = shown(box)
    plan, _ = plan_of(shot, Proposal(start=[Begin(job, {"n1": 1})]))
    told = notes(box.do(Planned(plan, "other")), "plan/refused")
    assert told == ["other: partition main is planned by mine, not by other"]
    assert box.state(job) == "pending"


def test_the_one_that_is_built_in_takes_over_and_gives_back() -> None:
    box = planned_by_mine("n1")
    first = box.submit()
    lost = box.do(SchedulerSeen("mine", up=False, why="it crashed"))
    assert notes(lost, "scheduler/lost") == [
        "it crashed; what it planned is planned by the one that is built in"
    ]
    assert box.state(first) == "starting"
    assert box.do(SchedulerSeen("mine", up=False, why="it crashed again")) == []
    back = box.do(SchedulerSeen("mine", up=True))
    assert notes(back, "scheduler/back") == ["mine plans again"]
    second = box.submit()
    assert box.rule(second) == "scheduler"


def test_the_partition_is_planned_at_once_when_nobody_is_named_any_more() -> None:
    box = planned_by_mine("n1")
    job = box.submit()
    box.change(Change("set", "partition", ("main",), {"scheduler": None}))
    assert box.state(job) == "starting"


def test_what_is_to_start_at_once_waits_for_the_plan_that_counts() -> None:
    box = planned_by_mine("n1")
    job = box.submit(immediate=True)
    assert box.state(job) == "pending"
    propose(box, waits={job: Why("no")})
    assert box.state(job) == "rejected"


def test_what_is_suspended_goes_on_when_it_says_so() -> None:
    box = planned_by_mine("n1")
    job = box.submit()
    propose(box, Begin(job, {"n1": 1}))
    alloc = box.alloc(job)
    box.start(alloc)
    propose(box, suspend=[alloc])
    assert box.state(job) == "suspended"
    propose(box)
    assert box.state(job) == "suspended"
    propose(box, resume=[alloc])
    assert box.state(job) == "running"


def test_it_sees_its_own_partitions_alone() -> None:
    box = planned_by_mine("n1", "n2")
    side = {"nodes": {"side": "n2"}}
    box.change(
        Change("create", "partition", ("side",), {}), Change("set", "configuration", ("",), side)
    )
    mine, other = box.submit(), box.submit(partition="side")
    shot = shown(box)
    assert [view.name for view in shot.nodes] == ["n1"]
    assert [(view.job, view.blocked) for view in shot.waiting] == [(mine, None)]
    assert box.state(other) == "starting"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ([Change("set", "partition", ("main",), {"scheduler": "none-such"})], Missing),
        ([Change("create", "scheduler", ("x",), {"command": "plan"})], UsageError),
        ([Change("create", "scheduler", ("x",), {"command": "/bin/'"})], UsageError),
        ([Change("create", "scheduler", ("wiki",), MINE)], UsageError),
        ([Change("create", "scheduler", ("x",), {**MINE, "deadline": 0})], UsageError),
        ([Change("remove", "scheduler", ("mine",), {})], Missing),
    ],
)
def test_nonsense_is_refused(changes: list[Change], error: type[Exception]) -> None:
    box = planned_by_mine()
    with pytest.raises((error, Refused)):
        box.change(*changes, by=ROOT)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ({"n1": 1}, "it has 2 tasks, at least one on each node, and was given places for 1"),
        ({"n1": 2, "n2": 0}, "at least one on each node"),
        ({"n1": 1, "n9": 1}, "there is no node n9 that can be used"),
        ({"n1": 2}, "n1 has room for 1 of its tasks, not for 2"),
    ],
)
def test_places_that_make_no_sense_are_told(nodes: dict[str, int], why: str) -> None:
    box = planned_by_mine("n1", "n2")
    job = box.submit(request=Request(tasks=2, cpus=3))
    shot = shown(box)
    plan, wrong = plan_of(shot, Proposal(start=[Begin(job, nodes), Begin(99, {"n1": 1})]))
    assert plan.lines == []
    assert why in wrong[0]
    assert wrong[1] == "nothing of job 99 waits"
    first = box.do(Planned(plan, "mine", wrong=wrong[0]))
    again = box.do(Planned(plan, "mine", wrong=wrong[0]))
    assert (notes(first, "plan/refused"), notes(again, "plan/refused")) == (
        [f"mine: {wrong[0]}"],
        [],
    )
    reason = explained(box, job)["reason"]
    assert "says: start it, but" in reason
    assert why in reason


def test_two_starts_share_what_a_node_has() -> None:
    box = planned_by_mine("n1")
    one, two = box.submit(request=Request(cpus=3)), box.submit(request=Request(cpus=2))
    shot = shown(box)
    begins = [Begin(one, {"n1": 1}), Begin(two, {"n1": 1})]
    plan, wrong = plan_of(shot, Proposal(start=begins))
    assert (len(plan.lines), wrong) == (
        1,
        [f"job {two}: n1 has room for 0 of its tasks, not for 1"],
    )
