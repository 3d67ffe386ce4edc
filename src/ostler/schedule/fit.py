"""On which nodes the tasks of a request go, and what exactly they get there."""

from collections.abc import Collection, Iterable, Sequence

from ostler.model.constraint import parse
from ostler.model.resources import Placement, Request
from ostler.schedule.choose import Seats, choose
from ostler.schedule.room import Room


def named(node: str, request: Request) -> bool:
    """Say whether the request may go to a node of this name."""
    return node not in request.exclude and (not request.nodelist or node in request.nodelist)


def allowed(node: str, features: Collection[str], request: Request) -> bool:
    """Say whether the request may go to a node of this name with these features."""
    if request.constraint and not parse(request.constraint).matches(features):
        return False
    return named(node, request)


def serves(node: str, features: Collection[str], request: Request) -> bool:
    """Say whether such a node may be one of its nodes: where counts name all, one of a group."""
    if not allowed(node, features, request):
        return False
    constraint = parse(request.constraint) if request.constraint else None
    if constraint is None or not constraint.groups or request.nodes > constraint.nodes:
        return True
    return constraint.member(features) != 0


def seats(rooms: Sequence[Room], request: Request) -> Seats | None:
    """Return how many tasks go to which room; None if they do not all fit.

    See `choose` for which of the rooms are taken.
    """
    picky = request.nodelist or request.exclude or request.constraint
    found = [
        (tasks, at)
        for at, room in enumerate(rooms)
        if (tasks := room.capacity(request))
        and (not picky or allowed(room.node, room.features, request))
    ]
    return choose(found, request, _members(rooms, request))


def _members(rooms: Sequence[Room], request: Request) -> list[int]:
    """Return for which counted groups of the constraint each room's node counts."""
    if not request.constraint:
        return []
    constraint = parse(request.constraint)
    return [constraint.member(room.features) for room in rooms] if constraint.groups else []


def placements(
    rooms: Sequence[Room], request: Request, chosen: Seats, keep: Sequence[Room] | None = None
) -> tuple[Placement, ...]:
    """Return exact shares for these seats; ranks go by the order of nodes. Nothing is taken.

    keep: rooms beside `rooms`, index by index; their CPUs and GPUs are left while others will do.
    """
    found, rank = [], 0
    for at, tasks in chosen:
        found.append(rooms[at].place(request, tasks, rank, keep[at] if keep else None))
        rank += tasks
    return tuple(found)


def remove(rooms: Sequence[Room], chosen: Seats, shares: Iterable[Placement]) -> None:
    """Take these shares out of their rooms."""
    for (at, _), share in zip(chosen, shares, strict=True):
        rooms[at].remove(share)
