"""Where tasks go, counted and tried: the part of the slow planner that knows one moment only.

Resources are *counted*: the CPUs of a node are interchangeable, and so are its GPUs.

Where tasks go, among places that would all do:
- If the tasks that are left fit on one node: the node with room for the fewest tasks of those on
  which they fit; of equals the first. Else: as many as fit on the node with room for the most; of
  equals the first; and so on with the rest.
- On an exact number of nodes: an even share is the tasks by the nodes, rounded up. The nodes are
  those with room for the fewest tasks that still have room for an even share; if there are too few
  of them, or the job is to be spread, the nodes with room for the most. From the least roomy on,
  each gets its even part of what is left, or what it has room for.
- Spread over no exact number of nodes: over as many as there are tasks, or as have room.
- With groups (`rack1*2&rack2*1`): on an exact number of nodes, at least as many as the groups name;
  in the same order as there, a node is left out that could not be told apart into the groups
  together with those before it, where what no group names may be any node.
Room is counted in tasks of this request.
"""

from collections.abc import Collection, Mapping

from ostler.model.constraint import holds, parse
from ostler.model.resources import NodeFacts, Request

Amounts = dict[str, int]  # cpus, memory, gpus, and generic ones by their names with a colon before
Rooms = dict[str, Amounts]  # node -> what is free there, in the order of nodes
Seats = list[tuple[str, int]]  # node, tasks there
Features = Mapping[str, Collection[str]]  # of each node


def asked_of(request: Request, tasks: int) -> Amounts:
    """Return what so many tasks need to be free."""
    each = {"cpus": request.cpus, "memory": request.memory, "gpus": request.gpus}
    each |= {f":{name}": count for name, count in request.generic.items()}
    asked = {kind: tasks * count for kind, count in each.items() if count}
    return asked | {"nobody": 1} if request.exclusive else asked


def taken_by(request: Request, tasks: int, idle: Amounts) -> Amounts:
    """Return what so many tasks take on a node. idle: all that it has."""
    return idle if request.exclusive else asked_of(request, tasks) | {"nobody": 1}


def all_of(facts: NodeFacts) -> Amounts:
    """Return what the idle node has."""
    counts = {"cpus": len(facts.cpus), "memory": facts.memory, "gpus": len(facts.gpus)}
    return counts | {f":{name}": count for name, count in facts.generic.items()} | {"nobody": 1}


def change(room: Amounts, by: Amounts, sign: int) -> None:
    """Give or take."""
    for kind, count in by.items():
        room[kind] = room.get(kind, 0) + sign * count


def copy_of(rooms: Rooms) -> Rooms:
    """Return rooms that may be changed on their own."""
    return {name: dict(room) for name, room in rooms.items()}


def less_of(one: Rooms, other: Rooms) -> Rooms:
    """Return what is free in both."""
    return {
        name: {kind: min(count, other[name].get(kind, 0)) for kind, count in room.items()}
        for name, room in one.items()
    }


def tasks_on(room: Amounts, request: Request) -> int:
    """Return how many tasks fit, by adding one more until something is short."""
    most = request.tasks_per_node or 10**9
    tasks = 0
    while tasks < most and all(
        count <= room.get(kind, 0) for kind, count in asked_of(request, tasks + 1).items()
    ):
        tasks += 1
    return tasks


def seats(rooms: Rooms, request: Request, features: Features) -> Seats | None:
    """Return where the tasks go, in the order of nodes; None if they do not all fit."""
    constraint = parse(request.constraint)
    able = [
        (tasks, at, name)
        for at, (name, room) in enumerate(rooms.items())
        if name not in request.exclude
        and (not request.nodelist or name in request.nodelist)
        and (constraint.every is None or holds(constraint.every, features[name]))
        and (tasks := tasks_on(room, request))
    ]
    if request.nodes or constraint.groups:
        found = _exactly(able, request, features)
    elif request.spread:
        found = _shared(_by_room(able)[: request.tasks], request.tasks)
    else:
        found = _fewest(able, request.tasks)
    return None if found is None else [(name, tasks) for _, name, tasks in sorted(found)]


Able = list[tuple[int, int, str]]  # room in tasks, place in the order, name
Chosen = list[tuple[int, str, int]]  # place in the order, name, tasks


def _by_room(able: Able) -> Able:
    """Return them with the roomiest first, of equals the first."""
    return sorted(able, key=lambda one: (-one[0], one[1]))


def _fewest(able: Able, left: int) -> Chosen | None:
    chosen: Chosen = []
    while able:
        if enough := [one for one in able if one[0] >= left]:
            _, at, name = min(enough)
            return [*chosen, (at, name, left)]
        room, at, name = _by_room(able)[0]
        chosen.append((at, name, room))
        left -= room
        able = [one for one in able if one[1] != at]
    return None


def _exactly(able: Able, request: Request, features: Features) -> Chosen | None:
    groups = [group for group in parse(request.constraint).groups for _ in range(group.count)]
    count = max(request.nodes, len(groups))
    if request.tasks < count:
        return None
    even = (request.tasks + count - 1) // count
    orders = [_by_room(able)]
    if not request.spread:
        orders.insert(0, sorted(one for one in able if one[0] >= even))
    for order in orders:
        some: Able = []
        for one in order:
            kinds = [[holds(g.of, features[name]) for g in groups] for _, _, name in [*some, one]]
            if len(some) < count and _apart(kinds, [True] * len(groups), count - len(groups)):
                some.append(one)
        if len(some) == count:
            return _shared(some, request.tasks)
    return None


def _apart(kinds: list[list[bool]], open_: list[bool], others: int) -> bool:
    """Say whether each node can be given to a group that is still open, or to no group."""
    if not kinds:
        return True
    first, rest = kinds[0], kinds[1:]
    if others and _apart(rest, open_, others - 1):
        return True
    return any(
        counts and free and _apart(rest, [*open_[:at], False, *open_[at + 1 :]], others)
        for at, (counts, free) in enumerate(zip(first, open_, strict=True))
    )


def _shared(nodes: Able, left: int) -> Chosen | None:
    """Give each its even part of what is left, from the least roomy on."""
    chosen: Chosen = []
    for done, (room, at, name) in enumerate(sorted(nodes)):
        here = min(room, left // (len(nodes) - done))
        chosen.append((at, name, here))
        left -= here
    return None if left else chosen
