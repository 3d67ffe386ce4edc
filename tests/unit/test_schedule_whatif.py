"""A machine supposed to have other nodes: what they are, and that the real one is as it was."""

from copy import deepcopy

import pytest
from msgspec.structs import replace

from ostler.model.errors import Missing
from ostler.model.states import Rule
from ostler.model.suppose import MoreNodes
from ostler.schedule.explain import explain
from ostler.schedule.snapshot import Snapshot
from ostler.schedule.whatif import supposed_nodes
from tests.schedule_kit import G, job, machine, node, running

NODES = [
    node("n1", 8),
    node("n2", 4, gpus=1),
    node("n10", 4, gpus=1),
    node("n3", 64, partition="x"),
]


def with_nodes(
    shot: Snapshot, partition: str, more: list[MoreNodes], without: list[str]
) -> tuple[Snapshot, list[str]]:
    """Return the machine as it is supposed, and what that is in words."""
    known = {view.name: view for view in shot.nodes}
    found, told = supposed_nodes(known, partition, more, without)
    known |= {view.name: view for view in found}
    return replace(shot, nodes=list(known.values())), told


def test_more_nodes_are_like_most_of_the_partition() -> None:
    shot = machine(NODES, runs=[running(7, [0, 1], on="n2")])
    found, told = with_nodes(shot, "main", [MoreNodes(3)], [])
    new = found.nodes[len(NODES) :]
    assert [view.name for view in new] == ["more1", "more2", "more3"]
    assert all(len(view.free_cpus) == 4 and view.free_gpus == (0,) for view in new)
    assert told == [
        "3 more nodes of 4 CPUs, 8G of memory, 1 GPU (like 2 of the 3 nodes of partition main)"
    ]


def test_more_nodes_are_like_one_that_is_named_in_the_partition_of_the_job() -> None:
    found, told = with_nodes(machine(NODES), "main", [MoreNodes(1, "n3")], [])
    assert (found.nodes[-1].partition, len(found.nodes[-1].free_cpus)) == ("main", 64)
    assert told == ["1 more node of 64 CPUs, 8G of memory (like n3)"]


def test_a_name_that_is_taken_is_not_given_again() -> None:
    found, _ = with_nodes(machine([node("more1")]), "main", [MoreNodes(2)], [])
    assert [view.name for view in found.nodes] == ["more1", "more2", "more3"]


def test_a_node_that_is_done_without_keeps_what_runs_and_takes_nothing_new() -> None:
    shot = machine([node()], [job(12)], runs=[running(7, [0], 60.0)])
    found, told = with_nodes(shot, "main", [], ["n1"])
    assert explain(shot, 0.0, 12).rule is Rule.NEW
    answer = explain(found, 0.0, 12)
    assert answer.rule is Rule.NODES
    assert "n1 (supposed to take no new work)" in answer.reason
    assert (found.running, told) == (shot.running, ["without n1"])


@pytest.mark.parametrize(("more", "without"), [([MoreNodes(1, "nx")], []), ([], ["nx"])])
def test_a_node_that_is_not_there_is_missing(more: list[MoreNodes], without: list[str]) -> None:
    with pytest.raises(Missing, match="there is no node 'nx'"):
        with_nodes(machine(NODES), "main", more, without)


def test_a_partition_without_nodes_asks_for_one_to_be_named() -> None:
    with pytest.raises(Missing, match="--if-nodes"):
        with_nodes(machine(NODES), "none", [MoreNodes(1)], [])


def test_the_real_machine_is_as_it_was() -> None:
    shot = machine([node()], [job(12, memory=9 * G)], runs=[running(7, [0])])
    before = deepcopy(shot)
    found, _ = with_nodes(shot, "main", [MoreNodes(5)], ["n1"])
    explain(found, 0.0, 12)
    assert shot == before
