"""What is refused at once, because no configured node could ever hold it."""

import pytest

from ostler.model.node import Node
from ostler.model.resources import NodeFacts, Request
from ostler.model.units import parse_size
from ostler.schedule.can_ever import can_ever
from tests.schedule_kit import G, node

NODES = [
    node("n10", 2, 16 * G),
    node("n2", 4, 8 * G, 2, generic={"lic": 1}, usable=False, why="draining"),
    node("n3", 64, 64 * G, usable=False, gone=True),
    node("n4", 1, partition="small"),
]


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(cpus=4, memory=8 * G, gpus=2),
        Request(tasks=6),
        Request(tasks=2, nodes=2, cpus=2),
        Request(generic={"lic": 1}),
        Request(nodelist=("n2", "unknown")),
        Request(exclude=("n2",)),
    ],
)
def test_what_idle_nodes_could_hold_may_wait_for_them(request_: Request) -> None:
    assert can_ever(request_, "main", NODES) is None


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            Request(cpus=100_000),
            "it asks for 100000 CPUs on one node (most: 4 on n2); ask for -c 4 or fewer",
        ),
        (
            Request(memory=20 * G),
            "it asks for 20G of memory on one node (most: 16G on n10); ask for -m 16G or less",
        ),
        (
            Request(gpus=3),
            "it asks for 3 GPUs on one node (most: 2 on n2); ask for --gpus 2 or fewer",
        ),
        (
            Request(generic={"lic": 2}),
            "it asks for 2 of lic on one node (most: 1 on n2); ask for --generic lic=1 or fewer",
        ),
        (
            Request(generic={"dongle": 1}),
            "it asks for 1 of dongle on one node (no node has any); leave that out",
        ),
        (
            Request(cpus=4, memory=16 * G),
            (
                "it asks for 4 CPUs and 16G of memory on one node"
                " (most beside the rest: 2 CPUs on n10); ask for -c 2"
            ),
        ),
        (
            Request(gpus=1, exclude=("n2",)),
            "it asks for 1 GPU on one node (no node has any); leave that out",
        ),
        (
            Request(tasks=9, cpus=2),
            "it asks for 9 tasks of 2 CPUs (most: 3 tasks on 2 nodes); ask for -n 3 or fewer",
        ),
        (
            Request(tasks=5, nodes=1),
            "it asks for 5 tasks of 1 CPU (most: 4 tasks on 1 node); ask for -n 4 or fewer",
        ),
        (
            Request(tasks=2, nodes=2, cpus=3),
            "it asks for 2 nodes with room for a task (most: 1); ask for -N 1 or fewer",
        ),
        (Request(tasks=3, nodes=3), "it asks for 3 nodes (most: 2); ask for -N 2 or fewer"),
        (
            Request(tasks=1, nodes=2),
            (
                "it asks for 2 nodes and 1 task (each node has at least one task);"
                " ask for -N 1, or for -n 2"
            ),
        ),
        (
            Request(nodelist=("n9",)),
            "it asks for nodes that partition 'main' has not: n9 (it has n2, n10)",
        ),
        (
            Request(exclude=("n2", "n10")),
            "it excludes every node of partition 'main' (it has n2, n10)",
        ),
    ],
)
def test_what_they_never_could_is_refused_with_the_most_that_would_fit(
    request_: Request, sentence: str
) -> None:
    assert can_ever(request_, "main", NODES) == sentence


def test_a_partition_without_nodes_names_those_that_have_some() -> None:
    sentence = "partition 'gpu' has no nodes (partitions with nodes: main, small)"
    assert can_ever(Request(), "gpu", NODES) == sentence
    assert can_ever(Request(), "gpu", []) == (
        "partition 'gpu' has no nodes (partitions with nodes: none)"
    )


def test_the_size_to_ask_for_instead_fits() -> None:
    odd = 8_269_000_123  # read as 7.7G, which would be more
    sentence = can_ever(Request(memory=9 * G), "main", [node(memory=odd)])
    assert sentence is not None
    size = sentence.partition("ask for -m ")[2].partition(" or")[0]
    assert can_ever(Request(memory=parse_size(size)), "main", [node(memory=odd)]) is None


def test_the_models_own_nodes_are_looked_at_as_well() -> None:
    nodes = [Node("n1", NodeFacts((0, 1)))]
    assert can_ever(Request(cpus=2), "main", nodes) is None
    assert can_ever(Request(cpus=3), "main", nodes) is not None
