"""A machine that is stopped while nodes are silent: it says whom it waits for, and whom it leaves."""

import pytest

from ostler.core.effects import Reply
from ostler.core.events import AgentGone, NodeSeen, ShutdownAsked
from ostler.core.stopping import awaited
from ostler.model.resources import Request
from ostler.model.states import NodeStatus
from tests.unit.core_kit import ROOT, Box

ALL = Request(cpus=4)


def stop(box: Box, how: str) -> None:
    """Ask for a stop, as 77."""
    box.do(ShutdownAsked(77, ROOT, how))


def answer(box: Box) -> list[str] | None:
    """Return the nodes at which something is left, as 77 is told; None: it is not told yet."""
    for each in box.done:
        if isinstance(each, Reply) and each.to == 77:
            return [row["name"] for row in each.body["left"]]
    return None


@pytest.fixture
def box() -> Box:
    """A machine with a job on each of its two nodes, of which n2 has fallen silent."""
    made = Box(["n1", "n2"])
    for _ in range(2):
        alloc = made.alloc(made.submit(request=ALL))
        made.start(alloc, next(iter(made.machine.state.allocations[alloc].nodes)))
    made.do(AgentGone("n2"))
    return made


def on(box: Box, node: str) -> int:
    """Return the allocation on a node."""
    return next(a.id for a in box.machine.state.allocations.values() if node in a.nodes)


def test_a_machine_that_kills_says_since_when_a_node_that_it_waits_for_is_silent(box: Box) -> None:
    stop(box, "kill")
    rows = [(row["name"], row["unknown_since"], row["jobs"]) for row in awaited(box.machine.state)]
    assert rows == [("n1", None, 1), ("n2", box.now, 1)]

    box.end(on(box, "n1"), "n1", cause="cancelled")

    assert [row["name"] for row in awaited(box.machine.state)] == ["n2"]
    assert answer(box) is None, "an agent that comes back can be told"


def test_a_machine_that_kills_does_not_wait_for_a_node_that_nobody_reaches(box: Box) -> None:
    stop(box, "kill")
    box.end(on(box, "n1"), "n1", cause="cancelled")
    job = box.machine.state.allocations[on(box, "n2")].job

    box.do(NodeSeen("n2", NodeStatus.UNREACHABLE))

    assert answer(box) == ["n2"]
    assert box.state(job) == "finishing", "what runs there is unknown, and has not ended"


def test_a_machine_that_waits_for_its_jobs_waits_for_a_node_that_nobody_reaches_as_well(
    box: Box,
) -> None:
    stop(box, "wait")
    box.end(on(box, "n1"), "n1")
    box.do(NodeSeen("n2", NodeStatus.UNREACHABLE))

    assert answer(box) is None
    assert [row["status"] for row in awaited(box.machine.state)] == ["unreachable"]


def test_a_machine_that_leaves_what_runs_waits_for_nobody(box: Box) -> None:
    stop(box, "leave")

    assert answer(box) == []
