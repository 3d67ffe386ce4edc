"""What gives way by a plan is ended by the core, with a reason that its owner can read."""

import pytest

from ostler.core.effects import Send
from ostler.core.events import AgentGone, Planned
from ostler.model.orders import EndShare, Order, ResumeShare, SuspendShare
from ostler.model.record import Event
from ostler.model.resources import Request
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import Plan, Preempt, Suspend
from tests.unit.core_kit import ROOT, Box, orders, saved


def runs(*, requeue: bool) -> tuple[Box, int, int]:
    box = Box()
    job = box.submit(requeue=requeue)
    alloc = box.alloc(job)
    box.start(alloc)
    return box, job, alloc


def propose(box: Box, line: Preempt | Suspend) -> list[str]:
    """Propose a plan of one line; return why it was refused."""
    done = box.do(Planned(Plan([line], {}, number=box.machine.state.marks.number)))
    told = [w for w in saved(done) if isinstance(w, Event) and w.kind == "plan/refused"]
    return [row.text for row in told]


def orders_of_all(box: Box) -> list[tuple[str, Order]]:
    """Return all orders so far, with their nodes."""
    return [(e.node, e.order) for e in box.done if isinstance(e, Send)]


@pytest.mark.parametrize(
    ("how", "requeue", "cause", "state"),
    [
        (Preemption.CANCEL, False, "cancelled", "cancelled"),
        (Preemption.REQUEUE, True, "requeue", "starting"),
    ],
)
def test_it_ends_and_its_job_runs_again_if_the_line_says_so(
    how: Preemption, cause: str, state: str, *, requeue: bool
) -> None:
    box, job, alloc = runs(requeue=requeue)
    assert propose(box, Preempt(alloc, how, 9, 7)) == []
    told = EndShare(alloc, cause, "it gave way to job 9", 7)
    assert [order for _, order in orders(box.done, EndShare)] == [told]
    assert box.state(job) == "finishing"
    box.end(alloc, cause=cause)
    assert box.state(job) == state


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (Preempt(99, Preemption.CANCEL, 9, -1), "it has ended, or ends already"),
        (Preempt(1, Preemption.REQUEUE, 9, -1), "cannot give way by requeue"),
        (Preempt(1, Preemption.OFF, 9, -1), "cannot give way by off"),
        (Suspend(99), "it has ended, or ends already"),
    ],
)
def test_what_cannot_give_way_so_is_left_alone(line: Preempt | Suspend, why: str) -> None:
    box, job, _ = runs(requeue=False)
    (told,) = propose(box, line)
    assert why in told
    assert box.state(job) == "running"


def test_what_gave_way_by_suspension_goes_on_by_itself_and_not_by_its_owner() -> None:
    box, job, alloc = runs(requeue=False)
    other = box.submit(hold=True, request=Request(cpus=4))
    assert propose(box, Preempt(alloc, Preemption.SUSPEND, other, -1)) == []
    # As nobody needs its CPUs, the next plan lets it go on: on all nodes, and then it is as before.
    assert [type(order) for _, order in orders_of_all(box)][-2:] == [SuspendShare, ResumeShare]
    assert box.state(job) == "running"
    found = box.machine.state.allocations[alloc]
    assert (found.suspended_by, found.gave_way_to, found.resuming) == (None, 0, False)


def test_a_scheduler_suspends_nothing_of_which_a_node_would_not_hear() -> None:
    box, _, alloc = runs(requeue=False)
    box.do(AgentGone("n1"))
    (told,) = propose(box, Suspend(alloc))
    assert "cannot stand still now" in told


def test_who_suspended_it_decides_who_lets_it_go_on() -> None:
    box, job, alloc = runs(requeue=False)
    box.act("suspend", str(job), by=ROOT)
    box.act("suspend", str(job))  # its owner, too: that changes nothing
    (row,) = box.act("resume", str(job))
    assert "an administrator suspended 1; ann may not resume it" in row["message"]
    assert box.machine.state.allocations[alloc].suspended_by == "admin"
    (row,) = box.act("resume", str(job), by=ROOT)
    assert row["ok"]
    assert box.state(job) == "running"
    box.act("suspend", str(job))
    assert box.act("resume", str(job))[0]["ok"]
