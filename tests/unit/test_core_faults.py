"""A node that can start nothing, its disk being full: jobs wait for it, however long it takes."""

from ostler.core.events import Tick
from ostler.model.orders import NODE_FAULT
from ostler.model.states import Rule
from tests.unit.core_kit import Box

WHY = "n1 cannot write its journal: no space left on device"


def fails(box: Box, job: int) -> None:
    box.end(box.alloc(job), ran=False, cause=NODE_FAULT, why=WHY)


def tried_again(box: Box, job: int) -> float:
    """Let time go by until the job is tried again; return the seconds that it took."""
    began = box.now
    while not box.machine.state.jobs[job].live:
        deadline = box.machine.next_deadline()
        assert deadline is not None
        box.now = max(box.now, deadline)
        box.do(Tick())
    return box.now - began


def test_jobs_wait_for_a_node_at_fault_and_none_is_rejected() -> None:
    box = Box()
    first, second = box.submit(), box.submit()
    for _ in range(20):
        live = [job for job in (first, second) if box.machine.state.jobs[job].live]
        for job in live:
            fails(box, job)
        assert {box.state(first), box.state(second)} == {"pending"}
        assert tried_again(box, first) <= 30
    box.start(box.alloc(first))
    assert box.state(first) == "running"


def test_nothing_else_is_tried_there_meanwhile_and_the_reason_is_the_nodes() -> None:
    box = Box()
    first = box.submit()
    fails(box, first)
    second = box.submit()
    assert not box.machine.state.jobs[second].live
    assert [box.rule(first), box.rule(second)] == [str(Rule.NODES), str(Rule.QUEUE)]
    [view] = box.machine.snapshot(box.now).nodes
    assert WHY in view.why_not


def test_another_node_takes_the_job_at_once() -> None:
    box = Box(["n1", "n2"])
    job = box.submit()
    fails(box, job)
    [alloc] = [box.machine.state.allocations[box.alloc(job)]]
    assert alloc.nodes == {"n2"}


def test_a_start_that_works_ends_the_nodes_bad_name() -> None:
    box = Box()
    job = box.submit()
    for _ in range(4):
        fails(box, job)
        tried_again(box, job)
    box.start(box.alloc(job))
    other = box.submit()
    fails(box, other)
    assert tried_again(box, other) <= 1
