"""Nodes that are supposed: more of them, or some that take no new work."""

from collections.abc import Container, Iterator, Mapping, Sequence

from msgspec.structs import replace

from ostler.model.errors import Missing
from ostler.model.resources import NodeFacts
from ostler.model.suppose import MoreNodes
from ostler.schedule.order import node_order
from ostler.schedule.snapshot import NodeView
from ostler.schedule.words import amount_of, listed

_NAME = "more"  # nodes that are supposed are named more1, more2, ...
_GIB = 30  # bits: nodes whose memory differs by less are of one kind


def supposed_nodes(
    known: Mapping[str, NodeView], partition: str, more: Sequence[MoreNodes], without: Sequence[str]
) -> tuple[list[NodeView], list[str]]:
    """Return idle nodes to be added and others drained, and what that is, in words.

    known: all nodes, by name. Raises `Missing` for nodes that do not exist.
    """
    for name in (*without, *(each.like for each in more if each.like)):
        if name not in known:
            raise Missing(f"there is no node {name!r}", hint="see `ostler nodes`")
    found = [_drained(known[name]) for name in dict.fromkeys(without)]
    told = [f"without {listed(without)}"] if without else []
    names = _new_names(known)
    for each in more:
        like, which = _like(known, partition, each)
        facts = like.facts
        found += [_idle(next(names), facts, partition) for _ in range(each.count)]
        told.append(f"{each.count} more {_kind(facts, each.count)} ({which})")
    return found, told


def _drained(view: NodeView) -> NodeView:
    return replace(view, usable=False, why_not="supposed to take no new work")


def _new_names(known: Container[str]) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        if f"{_NAME}{number}" not in known:
            yield f"{_NAME}{number}"


def _idle(name: str, facts: NodeFacts, partition: str) -> NodeView:
    return NodeView(
        name,
        facts,
        partition,
        usable=True,
        gone=False,
        why_not="",
        free_cpus=facts.cpus,
        free_memory=facts.memory,
        free_gpus=facts.gpus,
        free_generic=dict(facts.generic),
    )


def _like(known: Mapping[str, NodeView], partition: str, more: MoreNodes) -> tuple[NodeView, str]:
    """Return the node that new ones are like, and how it was chosen."""
    if more.like:
        return known[more.like], f"like {more.like}"
    stay = [view for view in known.values() if view.partition == partition and not view.gone]
    if not stay:
        raise Missing(
            f"partition {partition!r} has no nodes that more could be like",
            hint="name one: --if-nodes +4:NODE",
        )
    stay.sort(key=lambda view: node_order(view.name))
    kinds: dict[object, list[NodeView]] = {}
    for view in stay:
        kinds.setdefault(_kind_key(view.facts), []).append(view)
    most = max(kinds.values(), key=len)
    which = "all nodes" if len(kinds) == 1 else f"{len(most)} of the {len(stay)} nodes"
    return most[0], f"like {which} of partition {partition}"


def _kind_key(facts: NodeFacts) -> object:
    generic = tuple(sorted(facts.generic.items()))
    return len(facts.cpus), facts.memory >> _GIB, len(facts.gpus), generic, facts.features


def _kind(facts: NodeFacts, count: int) -> str:
    """Return `nodes of 16 CPUs, 64G of memory`."""
    parts = [amount_of("cpus", len(facts.cpus)), amount_of("memory", facts.memory)]
    parts += [amount_of("gpus", len(facts.gpus))] if facts.gpus else []
    parts += [amount_of(f"generic:{name}", n) for name, n in sorted(facts.generic.items())]
    return f"{'node' if count == 1 else 'nodes'} of {', '.join(parts)}"
