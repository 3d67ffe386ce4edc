"""Which configurations could serve a request: what waits for another one is not refused."""

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from ostler.core.reserved import nodes_of
from ostler.core.state import State
from ostler.model.errors import Missing, Refused
from ostler.model.job import JobSpec
from ostler.model.resources import NodeFacts, Request
from ostler.model.shifts import next_begin, parse_calendar
from ostler.model.site import Configuration, PartitionKind
from ostler.model.states import Rule
from ostler.schedule.can_ever import can_ever
from ostler.schedule.snapshot import Wait

_KNOWN = 10_000  # requests of which it is remembered what could serve them, at most


class _Node(NamedTuple):
    """A node as it is in some configuration."""

    name: str
    facts: NodeFacts
    partition: str
    gone: bool = False


def nodes_in(s: State, configuration: Configuration, reservation: str = "") -> list[_Node]:
    """Return the nodes that have not left, each in the partition where the configuration has it.

    reservation: only the nodes of this one.
    """
    own = nodes_of(s, reservation)
    of = s.site.division(configuration.name).of
    nodes = (entry.node for entry in s.nodes.values())
    return [
        _Node(n.name, n.facts, of(n.name))
        for n in nodes
        if not n.gone and (own is None or n.name in own)
    ]


def refusal(s: State, request: Request, partition: str) -> str:
    """Return why no configuration could hold the request; empty if one could.

    The sentence is of the active one, unless that has no node in the partition.
    """
    if serving(s, request, partition):
        return ""
    told: list[str] = []
    for configuration in _in_order(s):
        nodes = nodes_in(s, configuration, request.reservation)
        why = can_ever(request, partition, nodes) or ""
        told.append(why)
        if any(node.partition == partition for node in nodes):
            return why
    return told[0]


def serving(s: State, request: Request, partition: str) -> frozenset[str]:
    """Return the configurations whose nodes could hold the request if nothing ran.

    Cost: a look at all nodes for each configuration, once for each shape of request.
    """
    key = partition, request.shape
    found = s.parts.fitting.get(key)
    if found is None:
        if len(s.parts.fitting) >= _KNOWN:
            s.parts.fitting.clear()
        found = s.parts.fitting[key] = frozenset(
            each.name
            for each in s.site.configurations.values()
            if can_ever(request, partition, nodes_in(s, each, request.reservation)) is None
        )
    return found


def _in_order(s: State) -> Iterable[Configuration]:
    """Return all configurations, the active one first."""
    return sorted(s.site.configurations.values(), key=lambda each: not each.active)


def shut(s: State, now: float, spec: JobSpec) -> Wait | None:
    """Return why nothing of its partition's starts, or nothing that asks for as much as this."""
    if not s.site.open(spec.partition):
        return Wait(Rule.PARTITION, {"partition": spec.partition})
    if len(s.site.configurations) == 1:
        return None
    could, active = serving(s, spec.request, spec.partition), s.site.active.name
    if active in could or not could:  # or nothing could: a node has left, the scheduler tells that
        return None
    at, name = min((begin_of(s, now, each), each) for each in could)
    numbers: dict[str, float | int | str] = {
        "partition": spec.partition,
        "active": active,
        "configuration": name,
    }
    if any(entry.node.partition == spec.partition for entry in s.nodes.values()):
        numbers["some"] = 1
    if at == inf:
        return Wait(Rule.CONFIGURATION, numbers)
    return Wait(Rule.CONFIGURATION, numbers | {"at": at}, at)


def nodes_changed(s: State) -> None:
    """Forget what could serve requests: a node came, went, or is another."""
    s.fitting.clear()
    s.parts.fitting.clear()
    s.parts.foreign = None
    s.parts.look_again = len(s.site.configurations) > 1


def look_again(s: State) -> None:
    """Mark all that waits if configurations may serve it now that did not, or the other way round."""
    if s.parts.look_again:
        s.parts.look_again = False
        s.marks.jobs.update(s.jobs)


def check_partition(s: State, spec: JobSpec) -> None:
    """Raise `Missing` or `Refused` unless the partition takes such work."""
    partition = s.site.partitions.get(spec.partition)
    if partition is None:
        known = ", ".join(sorted(s.site.partitions))
        raise Missing(f"there is no partition {spec.partition!r}", expected=f"known: {known}")
    request = spec.request
    match partition.kind:
        case PartitionKind.LOGIN:
            why = "takes no jobs"
        case PartitionKind.PARALLEL if request.tasks == 1 and request.nodes <= 1:
            why = "takes jobs of several tasks, and it asks for one"
        case PartitionKind.BATCH if spec.kind != "batch" and not spec.within:
            why = f"takes jobs that nobody sits before, and it is of `ostler {spec.kind}`"
        case _:
            return
    others = [name for name, row in s.site.partitions.items() if row.kind is not partition.kind]
    raise Refused(
        f"partition {spec.partition!r} is of the kind {partition.kind}: it {why}",
        expected=f"others: {', '.join(sorted(others)) or 'none'}",
    )


def begin_of(s: State, now: float, name: str) -> float:
    """Return when a configuration begins next by its calendar; inf: somebody has to use it."""
    known = s.parts.begins.get(name, -inf)
    if known <= now:
        found = next_begin(parse_calendar(s.site.configurations[name].calendar), s.parts.zone, now)
        known = s.parts.begins[name] = inf if found is None else found
    return known
