"""Which nodes the tasks of a request get, once it is known how many tasks have room on each.

Nothing here knows what a node is: a candidate is a number of tasks and an index. Whatever keeps a
node from being one (its name, its features, other work on it) has been looked at before.
"""

from collections.abc import Iterable, Mapping, Sequence

from ostler.model.constraint import Group, parse
from ostler.model.resources import Request

Seats = list[tuple[int, int]]  # (index of the node, tasks there), by index
Found = list[tuple[int, int]]  # (tasks that have room, at least 1; index of the node)


def choose(
    found: Found, request: Request, members: Mapping[int, int] | Sequence[int] = ()
) -> Seats | None:
    """Return how many tasks go to which of the nodes; None if there is no way to seat all of them.

    Packed, as is usual: as few nodes as it takes, the fullest that will do. Spread: as many as
    there can be, those with most room. An exact number of nodes shares the tasks as evenly as
    their room allows, with at least one task on each. If there is a way, one is found: tasks are
    alike, and what fits on one node does not depend on another.
    members: for each index, the groups of the constraint (`Constraint.member`) for which the node
    counts; asked only if it has groups. `found` may be sorted anew.
    """
    groups = parse(request.constraint).groups if request.constraint else ()
    if groups:
        chosen = _grouped(found, request, groups, members)
    elif request.nodes:
        chosen = _exactly(found, request)
    elif request.spread:
        chosen = _spread(found, request.tasks)
    else:
        chosen = _fewest(found, request.tasks)
    if chosen is not None and len(chosen) > 1:
        chosen.sort()
    return chosen


def _fewest(found: Found, tasks: int) -> Seats | None:
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


def _spread(found: Found, tasks: int) -> Seats | None:
    """Take as many as there are tasks, or all."""
    return _shared(sorted(found, key=_roomiest)[:tasks], tasks)


def _exactly(found: Found, request: Request) -> Seats | None:
    """Take the least roomy that can bear an even share, else the roomiest."""
    count, tasks = request.nodes, request.tasks
    if len(found) < count or tasks < count:
        return None
    if not request.spread:
        share = -(-tasks // count)
        enough = sorted(pair for pair in found if pair[0] >= share)[:count]
        if len(enough) == count:
            return _shared(enough, tasks)
    return _shared(sorted(found, key=_roomiest)[:count], tasks)


def _shared(nodes: Found, tasks: int) -> Seats | None:
    """Share the tasks out as evenly as the room of these nodes allows; None if it is too little."""
    if not nodes or sum(room for room, _ in nodes) < tasks:
        return None
    chosen, left = [], tasks
    for done, (room, at) in enumerate(sorted(nodes)):  # the least roomy first: others make it up
        here = min(room, left // (len(nodes) - done))
        chosen.append((at, here))
        left -= here
    return chosen


def _roomiest(pair: tuple[int, int]) -> tuple[int, int]:
    return -pair[0], pair[1]


# -- groups -------------------------------------------------------------------------------------


def _grouped(
    found: Found,
    request: Request,
    groups: Sequence[Group],
    members: Mapping[int, int] | Sequence[int],
) -> Seats | None:
    """Take nodes so that each group has its own, and the rest of them are of any kind.

    The sets of nodes that can be told apart into the groups are the independent sets of a
    transversal matroid, so taking one after the other in order of room, and leaving out those that
    cannot be matched beside the ones taken, gives the most room that any right choice has.
    Source: Edmonds and Fulkerson, J. Res. NBS 69B, 1965.
    """
    tasks, named = request.tasks, sum(group.count for group in groups)
    count = max(request.nodes, named)
    if len(found) < count or tasks < count:
        return None
    counts = [*(group.count for group in groups), count - named]
    anyone = 1 << len(groups)
    if not request.spread:
        share = -(-tasks // count)
        enough = sorted(pair for pair in found if pair[0] >= share)
        nodes = _matched(enough, members, counts, anyone)
        if len(nodes) == count:
            return _shared(nodes, tasks)
    nodes = _matched(sorted(found, key=_roomiest), members, counts, anyone)
    return _shared(nodes, tasks) if len(nodes) == count else None


def _matched(
    order: Found, members: Mapping[int, int] | Sequence[int], counts: list[int], anyone: int
) -> Found:
    """Return the nodes, in this order, that can be matched together with those before them."""
    matching, wanted = _Matching(counts), sum(counts)
    nodes: Found = []
    for room, at in order:
        if len(nodes) == wanted:
            break
        if matching.add(members[at] | anyone):
            nodes.append((room, at))
    return nodes


class _Matching:
    """Nodes told apart into groups. Nodes of the same groups are alike, so only kinds are kept."""

    def __init__(self, counts: Iterable[int]) -> None:
        self._left = list(counts)  # how many each group still wants
        self._held: list[dict[int, int]] = [{} for _ in self._left]  # group -> kind -> how many
        self._none: set[int] = set()  # kinds of which no other can be added any more

    def add(self, kind: int) -> bool:
        """Add a node that counts for these groups (bits), moving others if that is needed."""
        if kind in self._none:
            return False
        # group -> the kind of which one would come, and the group that it leaves; -1: it is new
        came: dict[int, tuple[int, int]] = {}
        queue = [(kind, -1)]
        for one, leaves in queue:  # grows meanwhile
            for group, left in enumerate(self._left):
                if not one >> group & 1 or group in came:
                    continue
                came[group] = one, leaves
                if left:
                    self._left[group] -= 1
                    self._move(came, group)
                    return True
                queue += [(other, group) for other in self._held[group]]
        self._none.add(kind)
        return False

    def _move(self, came: dict[int, tuple[int, int]], group: int) -> None:
        while group >= 0:
            kind, leaves = came[group]
            self._held[group][kind] = self._held[group].get(kind, 0) + 1
            if leaves >= 0:
                self._held[leaves][kind] -= 1
                if not self._held[leaves][kind]:
                    del self._held[leaves][kind]
            group = leaves
