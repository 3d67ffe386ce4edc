"""Which partition the nodes of other resource managers are in."""

import pytest

from ostler.core.events import Administered
from ostler.model.errors import Refused, UsageError
from ostler.model.site import Division
from ostler.model.site_changes import Change
from tests.unit.core_kit import ROOT, Box

SLURM = Change("create", "rm", ("slurm",), {"driver": "slurm"})


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ({"main": "*"}, "slurm"),
        ({"main": "*", "all": "n1,slurm/*"}, "all"),
        ({"main": "*", "all": "slurm/*", "few": "slurm/n[1-2]"}, "few"),
        ({"main": "*", "few": "slurm/n2"}, "slurm"),
        ({"main": "*", "few": "other/*"}, "slurm"),
    ],
)
def test_a_foreign_node_is_where_it_is_named_else_with_its_resource_manager(
    nodes: dict[str, str], expected: str
) -> None:
    assert Division(nodes).of("slurm/n1") == expected
    assert Division(nodes).of("n7") == "main"


def test_a_resource_manager_brings_a_partition_of_its_name_and_takes_it_along() -> None:
    box = Box()
    told = box.change(SLURM)
    assert told == ["created partition slurm", "created rm slurm: driver slurm"]
    assert box.change(Change("remove", "rm", ("slurm",), {})) == [
        "removed partition slurm",
        "removed rm slurm",
    ]


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        (None, "; its nodes join partition slurm, which there was before"),
        ("n[8-9]", "; its nodes join partition slurm, which there was before, with nodes n[8-9]"),
        ("other", ""),
    ],
)
def test_a_resource_manager_that_joins_a_partition_says_so(nodes: str | None, told: str) -> None:
    """Jobs that wait for that partition may start on its nodes from now on."""
    box = Box()
    box.change(*(Change("create", "partition", (name,), {}) for name in ("slurm", "other")))
    if nodes is not None:
        named = {"other": "slurm/*"} if nodes == "other" else {"slurm": nodes}
        box.change(Change("set", "configuration", ("",), {"nodes": named}))
    [row] = box.ask(Administered, ROOT, (SLURM,), dry=True)["changes"]
    assert row["text"] == f"created rm slurm: driver slurm{told}"
    assert row.get("joins") == ("slurm" if told else None)
    assert box.ask(Administered, ROOT, (SLURM,))["changes"] == [row]


def test_the_word_for_our_own_nodes_names_no_other_resource_manager() -> None:
    with pytest.raises(UsageError, match="no rm can be named 'native'"):
        Box().change(Change("create", "rm", ("native",), {"driver": "slurm"}))


def test_a_partition_that_has_other_nodes_stays() -> None:
    box = Box()
    box.change(Change("create", "partition", ("slurm",), {}))
    box.change(Change("set", "configuration", ("",), {"nodes": {"slurm": "n9"}}), SLURM)
    assert box.change(Change("remove", "rm", ("slurm",), {})) == ["removed rm slurm"]


def test_nodes_of_a_resource_manager_cannot_be_in_two_partitions() -> None:
    box = Box()
    nodes = {"a": "slurm/*", "b": "slurm/*"}
    with pytest.raises(Refused, match=r"slurm/\* would be in two partitions"):
        box.change(
            *(Change("create", "partition", (name,), {}) for name in nodes),
            Change("set", "configuration", ("",), {"nodes": nodes}),
        )


@pytest.mark.parametrize("text", ["slurm/", "/n1", "a/b/c", "*/n1"])
def test_what_names_no_node_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Box().change(Change("set", "configuration", ("",), {"nodes": {"main": text}}))
