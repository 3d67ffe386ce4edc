"""How many nodes pass each condition of a request: the funnel that `ostler explain` shows.

First come the conditions that do not change as jobs end, each beside those before it. Then, of the
nodes left by these, how many have each kind of resource free for a task, each kind by itself; and
how many have all of it together.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from ostler.model.constraint import parse
from ostler.model.resources import Request
from ostler.schedule.room import Room
from ostler.schedule.snapshot import NodeView, Passed, WaitingView
from ostler.schedule.why import amount, kinds
from ostler.schedule.words import amount_of, listed

TOGETHER = "together"


def funnel(
    nodes: Iterable[NodeView],
    entry: WaitingView,
    rooms: Iterable[Room],
    licences: Mapping[str, int],
    shut: Collection[str] = (),
) -> list[Passed]:
    """Return how many nodes pass each filter.

    rooms: what is free on each usable node of its partition, once what comes before it has started.
    licences: how many nobody holds on the machine; where one is short, no node passes.
    shut: nodes that a reservation keeps from it now, or would before it has ended.
    """
    request = entry.request
    found = []
    left = [v for v in nodes if v.partition == entry.partition and not v.gone]
    found.append(Passed("partition", f"in partition {entry.partition}", len(left)))
    left = [view for view in left if view.usable]
    found.append(Passed("usable", "usable", len(left)))
    for name, asks, passing in _named(left, request):
        left = passing
        found.append(Passed(name, asks, len(left)))
    if shut or request.reservation:
        left = [view for view in left if view.name not in shut]
        found.append(Passed("reservation", "open to it for as long as it may take", len(left)))
    names = {view.name for view in left}
    rooms = [room for room in rooms if room.node in names]
    short = False
    for name, count in sorted(request.licences.items()):
        lacks = licences.get(name, 0) < count
        short = short or lacks
        asks = f"with {count} of licence {name} free"
        found.append(Passed(f"licence:{name}", asks, 0 if lacks else len(rooms)))
    if request.exclusive:
        rooms = [room for room in rooms if not room.users]
        found.append(Passed("idle", "with nothing on them", len(rooms)))
    for kind, _, count in kinds(request):
        if count:
            having = sum(1 for room in rooms if amount(room, kind) >= count)
            found.append(Passed(kind, f"with {amount_of(kind, count)} free", having))
    tasks = [0 if short else room.capacity(request) for room in rooms]
    fitting = [count for count in tasks if count]
    found.append(Passed(TOGETHER, "with all of that together", len(fitting), sum(fitting)))
    return found


def _named(nodes: list[NodeView], request: Request) -> Iterator[tuple[str, str, list[NodeView]]]:
    """Yield the conditions on names and features, and the nodes that pass each."""
    if request.nodelist:
        wanted = frozenset(request.nodelist)
        nodes = [view for view in nodes if view.name in wanted]
        yield "nodelist", f"among {listed(request.nodelist)}", nodes
    if request.exclude:
        unwanted = frozenset(request.exclude)
        nodes = [view for view in nodes if view.name not in unwanted]
        yield "exclude", f"not among {listed(request.exclude)}", nodes
    if request.constraint:
        constraint = parse(request.constraint)
        every = [view for view in nodes if constraint.matches(view.facts.features)]
        if constraint.groups and request.nodes <= constraint.nodes:  # else the rest is of any kind
            every = [view for view in every if constraint.member(view.facts.features)]
        yield "constraint", f"with {request.constraint}", every
