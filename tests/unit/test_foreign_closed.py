"""Resource managers that take no jobs of ours: they stay away from their nodes."""

from typing import Any

import pytest

from ostler.model.errors import NotNow, Refused, Unsupported
from ostler.model.site_changes import Change
from ostler.testing.rm import ScriptedRm
from tests.unit.foreign_kit import WIKI, Foreign


def own_and_wiki() -> tuple[Foreign, ScriptedRm]:
    """Return a machine that has a node of its own and two of a WIKI server in one partition."""
    rm = ScriptedRm("w", ["a", "b"], options=WIKI)
    box = Foreign(rm, native=("n1",))
    return box, rm


def one_partition(box: Foreign) -> None:
    box.change(Change("set", "configuration", ("default",), {"nodes": {"main": "n1,w/*"}}))
    box.load()


def test_ours_wait_for_other_nodes_of_their_partition() -> None:
    box, rm = own_and_wiki()
    one_partition(box)

    jobs = [box.submit() for _ in range(6)]
    box.load()

    assert [box.state(job) for job in jobs] == ["starting"] * 4 + ["pending"] * 2
    assert rm.calls == []


def test_jobs_that_wait_when_such_nodes_come_stay_away_too() -> None:
    box, rm = own_and_wiki()
    jobs = [box.submit() for _ in range(6)]

    one_partition(box)
    box.load()

    assert [box.state(job) for job in jobs] == ["starting"] * 4 + ["pending"] * 2
    assert rm.calls == []
    assert len(box.told("plan/refused")) <= len(jobs)


def test_its_own_jobs_are_started_there() -> None:
    box, rm = own_and_wiki()
    one_partition(box)
    rm.submit("8", "bob")
    box.load()
    box.load()
    assert box.state(box.job("w", "8")) == "running"


@pytest.mark.parametrize("where", [{"rm": "w"}, {"partition": "w"}])
def test_ours_are_not_taken_where_nobody_else_is(where: dict[str, Any]) -> None:
    box, _ = own_and_wiki()
    with pytest.raises(Unsupported, match="takes no jobs but those that its users submit"):
        box.submit(**where)


def test_whoever_names_a_resource_manager_is_told_that_it_has_no_node_and_why() -> None:
    rm = ScriptedRm("slurm")
    box = Foreign(rm, ScriptedRm("other", ["n1"]), native=("n1",))
    with pytest.raises(NotNow, match="slurm has not told of any node: it has none"):
        box.submit(rm="slurm")
    box.fail("slurm", "squeue: command not found")
    with pytest.raises(NotNow, match="any node: squeue: command not found"):
        box.submit(rm="slurm")
    with pytest.raises(Refused, match="partition 'main' has no node of other") as refused:
        box.submit(rm="other", partition="main")
    assert refused.value.hint == "it has some in other"
