"""What gives way by a plan is ended by the core, with a reason that its owner can read."""

import pytest

from ostler.core.events import Planned
from ostler.model.orders import EndShare
from ostler.model.record import Event
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import Plan, Preempt
from tests.unit.core_kit import Box, orders, saved


def runs(*, requeue: bool) -> tuple[Box, int, int]:
    box = Box()
    job = box.submit(requeue=requeue)
    alloc = box.alloc(job)
    box.start(alloc)
    return box, job, alloc


def propose(box: Box, line: Preempt) -> list[str]:
    """Propose a plan of one line; return why it was refused."""
    done = box.do(Planned(Plan([line], {}, number=box.machine.state.marks.number)))
    told = [w for w in saved(done) if isinstance(w, Event) and w.kind == "plan-refused"]
    return [row.text for row in told]


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
        (Preempt(1, Preemption.SUSPEND, 9, -1), "cannot give way by suspend"),
    ],
)
def test_what_cannot_give_way_so_is_left_alone(line: Preempt, why: str) -> None:
    box, job, _ = runs(requeue=False)
    (told,) = propose(box, line)
    assert why in told
    assert box.state(job) == "running"
