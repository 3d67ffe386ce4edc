"""Could the configured nodes ever satisfy a request? Asked before it enters the queue."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec.structs import replace

from ostler.model.constraint import Constraint, parse
from ostler.model.resources import NodeFacts, Request
from ostler.schedule.fit import allowed, named, seats
from ostler.schedule.order import node_order
from ostler.schedule.room import Room
from ostler.schedule.why import amount, kinds, without
from ostler.schedule.words import amount_in, amount_of, asking_for, counted, joined, listed, task_of


class Configured(Protocol):
    """A node: the planner's view of it, or the model's record."""

    @property
    def name(self) -> str: ...
    @property
    def facts(self) -> NodeFacts: ...
    @property
    def partition(self) -> str: ...
    @property
    def gone(self) -> bool: ...


def can_ever(request: Request, partition: str, nodes: Iterable[Configured]) -> str | None:
    """Return None if the partition's nodes could hold the request when idle, else why not.

    Nodes that are down or drained count, nodes that left the machine do not. The sentence begins
    with "it asks for" or names what does not exist, and gives the most that would fit and what to
    ask for instead.
    """
    stay = sorted((n for n in nodes if not n.gone), key=lambda node: node_order(node.name))
    rooms = [Room.whole(n.name, n.facts) for n in stay if n.partition == partition]
    if seats(rooms, request) is not None:
        return None
    if not rooms:
        others = ", ".join(sorted({node.partition for node in stay})) or "none"
        return f"partition {partition!r} has no nodes (partitions with nodes: {others})"
    reached = [room for room in rooms if named(room.node, request)]
    usable = [room for room in reached if allowed(room.node, room.features, request)]
    return (
        _names(request, partition, rooms, reached)
        or _features(request, partition, reached, usable)
        or _groups(request, usable)
        or _node_count(request, usable)
        or _one_task(request, usable)
        or _together(request, usable)
        or _dealt_out(request, usable)
        or _all_tasks(request, usable)
    )


def _names(
    request: Request, partition: str, rooms: Sequence[Room], usable: Sequence[Room]
) -> str | None:
    if usable:
        return None
    has = f"(it has {listed([room.node for room in rooms])})"
    if not request.nodelist:
        return f"it excludes every node of partition {partition!r} {has}"
    asked = listed([name for name in request.nodelist if name not in request.exclude])
    return f"it asks for nodes that partition {partition!r} has not: {asked or 'none at all'} {has}"


def _features(
    request: Request, partition: str, reached: Sequence[Room], usable: Sequence[Room]
) -> str | None:
    if usable:
        return None
    there = {feature for room in reached for feature in room.features}
    asked = f"it asks for nodes with {request.constraint}, and no node"
    has = f"(features there: {listed(sorted(there)) or 'none'})"
    unknown = [name for name in parse(request.constraint).needed if name not in there]
    which = f" has the feature {joined(unknown, 'or')}" if unknown else " is like that"
    where = f"of partition {partition!r}" if len(reached) > 1 else "that it may use"
    return f"{asked} {where}{which} {has}"


def _groups(request: Request, usable: Sequence[Room]) -> str | None:
    """Too few nodes count for one of the groups."""
    constraint = parse(request.constraint)
    for at, group in enumerate(constraint.groups):
        most = sum(1 for room in usable if constraint.member(room.features) >> at & 1)
        if group.count > most:
            kind = Constraint(group.of).text
            return f"it asks for {counted(group.count, 'node')} with {kind} (most: {most})"
    return None


def _dealt_out(request: Request, usable: Sequence[Room]) -> str | None:
    """The nodes would do if they were of any kind."""
    if parse(request.constraint).groups and seats(usable, replace(request, constraint="")):
        asked = f"it asks for {counted(request.nodes, 'node')} as in {request.constraint}"
        return f"{asked}, each with room for a task (no choice of nodes serves all of these)"
    return None


def _node_count(request: Request, usable: Sequence[Room]) -> str | None:
    count, tasks = request.nodes, request.tasks
    if count > tasks:
        few = f"it asks for {counted(count, 'node')} and {counted(tasks, 'task')}"
        return f"{few} (each node has at least one task); ask for -N {tasks}, or for -n {count}"
    if count > len(usable):
        most = len(usable)
        return f"it asks for {counted(count, 'node')} (most: {most}); ask for -N {most} or fewer"
    return None


def _one_task(request: Request, usable: Sequence[Room]) -> str | None:
    for kind, _, count in kinds(request):
        best = max(usable, key=lambda room: amount(room, kind))
        most = amount(best, kind)
        if count > most:
            asked = f"it asks for {amount_of(kind, count)} on one node"
            if not most:
                return f"{asked} (no node has any); leave that out"
            less = "less" if kind == "memory" else "fewer"
            found = f"(most: {amount_in(kind, most)} on {best.node})"
            return f"{asked} {found}; ask for {asking_for(kind, most)} or {less}"
    return None


def _together(request: Request, usable: Sequence[Room]) -> str | None:
    """No node has enough of everything, though there is one for each kind."""
    if any(room.capacity(request) for room in usable):
        return None
    asked = f"it asks for {task_of(request)} on one node"
    for kind, _, _ in kinds(request):
        rest = without(request, kind)
        beside = [room for room in usable if room.capacity(rest) and amount(room, kind)]
        if beside:
            best = max(beside, key=lambda room: amount(room, kind))
            most = amount(best, kind)
            found = f"(most beside the rest: {amount_of(kind, most)} on {best.node})"
            return f"{asked} {found}; ask for {asking_for(kind, most)}"
    return f"{asked} (no node has these together)"


def _all_tasks(request: Request, usable: Sequence[Room]) -> str:
    found = sorted((n for room in usable if (n := room.capacity(request))), reverse=True)
    where = found[: request.nodes] if request.nodes else found
    if len(where) < request.nodes:
        short = f"it asks for {counted(request.nodes, 'node')} with room for a task"
        return f"{short} (most: {len(where)}); ask for -N {len(where)} or fewer"
    most, on = sum(where), counted(len(where), "node")
    asked = f"it asks for {counted(request.tasks, 'task')} of {task_of(request)}"
    return f"{asked} (most: {counted(most, 'task')} on {on}); ask for -n {most} or fewer"
