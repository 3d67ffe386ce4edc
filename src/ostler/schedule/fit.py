"""On which nodes the tasks of a request go, and what exactly they get there."""

from collections.abc import Iterable, Sequence

from ostler.model.resources import Placement, Request
from ostler.schedule.choose import Seats, choose
from ostler.schedule.room import Room


def allowed(node: str, request: Request) -> bool:
    """Say whether the request may go to a node of this name."""
    return node not in request.exclude and (not request.nodelist or node in request.nodelist)


def seats(rooms: Sequence[Room], request: Request) -> Seats | None:
    """Return how many tasks go to which room; None if they do not all fit.

    See `choose` for which of the rooms are taken.
    """
    named = request.nodelist or request.exclude
    found = [
        (tasks, at)
        for at, room in enumerate(rooms)
        if (tasks := room.capacity(request)) and (not named or allowed(room.node, request))
    ]
    return choose(found, request)


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
