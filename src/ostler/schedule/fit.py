"""On which nodes the tasks of a request go, and what exactly they get there."""

from collections.abc import Iterable, Sequence

from ostler.model.resources import Placement, Request
from ostler.schedule.room import Room

Seats = list[tuple[int, int]]  # (index of the room, tasks there), by index


def allowed(node: str, request: Request) -> bool:
    """Say whether the request may go to a node of this name."""
    return node not in request.exclude and (not request.nodelist or node in request.nodelist)


def seats(rooms: Sequence[Room], request: Request) -> Seats | None:
    """Return how many tasks go to which room; None if they do not all fit.

    As few nodes as it takes, the fullest that will do; an exact number of nodes shares the tasks
    as evenly as their room allows, with at least one task on each. If there is any way to seat
    all tasks, one is found: tasks are alike, and what fits on one node does not depend on another.
    """
    named = request.nodelist or request.exclude
    found = [
        (tasks, at)
        for at, room in enumerate(rooms)
        if (tasks := room.capacity(request)) and (not named or allowed(room.node, request))
    ]
    chosen = _exactly(found, request) if request.nodes else _fewest(found, request.tasks)
    if chosen is not None and len(chosen) > 1:
        chosen.sort()
    return chosen


def _fewest(found: list[tuple[int, int]], tasks: int) -> Seats | None:
    """Take the roomiest until the rest fits on one, and for that the one with least to spare."""
    if tasks == 1:
        return [(min(found)[1], 1)] if found else None
    if sum(room for room, _ in found) < tasks:
        return None
    found.sort(key=_roomiest)
    chosen, left = [], tasks
    for first, (room, at) in enumerate(found):
        if room >= left:
            best = min(pair for pair in found[first:] if pair[0] >= left)
            chosen.append((best[1], left))
            return chosen
        chosen.append((at, room))
        left -= room
    return None


def _exactly(found: list[tuple[int, int]], request: Request) -> Seats | None:
    """Take the least roomy that can bear an even share, else the roomiest."""
    count, tasks = request.nodes, request.tasks
    if len(found) < count or tasks < count:
        return None
    share = -(-tasks // count)
    enough = sorted(pair for pair in found if pair[0] >= share)[:count]
    if len(enough) < count:
        enough = sorted(sorted(found, key=_roomiest)[:count])
    if sum(room for room, _ in enough) < tasks:
        return None
    chosen, left = [], tasks
    for done, (room, at) in enumerate(enough):  # the least roomy first, so that others make it up
        here = min(room, left // (count - done))
        chosen.append((at, here))
        left -= here
    return chosen


def _roomiest(pair: tuple[int, int]) -> tuple[int, int]:
    return -pair[0], pair[1]


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
