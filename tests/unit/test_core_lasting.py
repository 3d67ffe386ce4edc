"""Nodes that end at a known time: what would not have ended by then does not start there."""

from msgspec.structs import replace

from ostler.core.events import AgentGreeted
from ostler.core.explain import explain
from ostler.model.ids import Ref
from tests.unit.core_kit import Box


def ending(until: float) -> Box:
    """Return a machine whose one node ends at a time, at second 100."""
    box = Box(("n1",))
    node = box.machine.state.nodes["n1"].node
    box.do(AgentGreeted("n1", replace(node.facts, until=until), node.boot_id, ()))
    return box


def test_what_would_outlast_its_node_is_not_started_there() -> None:
    box = ending(1_000.0)
    long, short, endless = (box.submit(time_limit=limit) for limit in (901, 900, 0))
    assert [box.state(job) for job in (long, short, endless)] == ["pending", "starting", "pending"]
    why = str(explain(box.machine.state, box.now, Ref(long))["reason"])
    assert "(end of n1)" in why


def test_an_end_is_as_the_node_says_last() -> None:
    box = ending(1_000.0)
    job = box.submit(time_limit=2_000)
    assert box.state(job) == "pending"
    node = box.machine.state.nodes["n1"].node
    box.do(AgentGreeted("n1", replace(node.facts, until=0.0), node.boot_id, ()))
    assert box.state(job) == "starting"
