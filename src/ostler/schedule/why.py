"""Why a request does not fit: what is short, or which nodes are missing, with the numbers."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from ostler.model.nodeset import in_short
from ostler.model.resources import NodeFacts, Request
from ostler.model.states import Rule
from ostler.schedule.fit import seats, serves
from ostler.schedule.order import node_order
from ostler.schedule.room import Room
from ostler.schedule.snapshot import NodeView, Wait

Numbers = dict[str, float | int | str]


class Sizes:
    """The nodes of each partition as if nothing ran on them. Made when first asked for."""

    def __init__(self, nodes: Iterable[NodeView], known_ever: Sequence[NodeFacts] = ()) -> None:
        self._nodes = nodes
        self._known_ever = known_ever
        self._views: dict[str, list[NodeView]] = {}
        self._usable: dict[str, list[Room]] = {}
        self._configured: dict[str, list[Room]] = {}

    def views(self, partition: str) -> list[NodeView]:
        """Return all nodes of the partition, those that left included, in order."""
        found = self._views.get(partition)
        if found is None:
            found = [view for view in self._nodes if view.partition == partition]
            found.sort(key=lambda view: node_order(view.name))
            self._views[partition] = found
        return found

    def usable(self, partition: str) -> list[Room]:
        """Return those on which new work may start. Not to be changed."""
        found = self._usable.get(partition)
        if found is None:
            views = self.views(partition)
            found = [Room.whole(view.name, view.facts) for view in views if view.usable]
            self._usable[partition] = found
        return found

    def configured(self, partition: str) -> list[Room]:
        """Return those that belong to the machine, whatever their state. Not to be changed."""
        found = self._configured.get(partition)
        if found is None:
            views = self.views(partition)
            found = [Room.whole(view.name, view.facts) for view in views if not view.gone]
            self._configured[partition] = found
        return found

    def left(self, partition: str) -> list[Room]:
        """Return those that left the machine; one whose name is forgotten has none."""
        gone = [Room.whole(v.name, v.facts) for v in self.views(partition) if v.gone]
        facts = sorted(self._known_ever, key=lambda f: (len(f.cpus), f.memory, repr(f)))
        return gone + [Room.whole("", known) for known in facts]


def cannot_fit(sizes: Sizes, rooms: Sequence[Room], request: Request, partition: str) -> Wait:
    """Return why the request does not fit into these rooms, the free ones of its partition.

    Rule `resources` if it would on the same nodes when idle, `nodes` if it would on all that are
    configured, else `node_left`.
    """
    usable = sizes.usable(partition)
    if (chosen := seats(usable, request)) is not None:
        if request.exclusive:
            return Wait(Rule.RESOURCES, _idle(usable, rooms, request, len(chosen)))
        return Wait(Rule.RESOURCES, shortage(rooms, request))
    configured = sizes.configured(partition)
    if (chosen := seats(configured, request)) is not None:
        return Wait(Rule.NODES, _missing_nodes(sizes, request, partition, len(chosen)))
    numbers = shortage(configured, request, within="configured")
    for room in sizes.left(partition):
        if room.capacity(request) and serves(room.node, room.features, request):
            numbers["left"] = room.node
            break
    return Wait(Rule.NODE_LEFT, numbers)


def _missing_nodes(sizes: Sizes, request: Request, partition: str, asked: int) -> Numbers:
    """Count only nodes on which at least one task could ever go."""
    good = [
        room.node
        for room in sizes.configured(partition)
        if room.capacity(request) and serves(room.node, room.features, request)
    ]
    usable = {room.node for room in sizes.usable(partition)}
    out: dict[str, list[str]] = {}  # those that share a reason are told as one
    for view in sizes.views(partition):
        if view.name in good and view.name not in usable:
            out.setdefault(view.why_not or "not usable", []).append(view.name)
    return {
        "configured": len(good),
        "usable": sum(1 for node in good if node in usable),
        "asked": asked,
        "unusable": ", ".join(f"{in_short(names)} ({why})" for why, names in out.items()),
    }


def _idle(usable: Sequence[Room], rooms: Sequence[Room], request: Request, asked: int) -> Numbers:
    """Return how many whole nodes it needs, and on how many that could serve nothing is."""
    good = {
        room.node
        for room in usable
        if room.capacity(request) and serves(room.node, room.features, request)
    }
    idle = sum(1 for room in rooms if room.node in good and not room.users)
    return {"short": "idle", "asked_idle": asked, "free_idle": idle, "usable": len(good)}


def kinds(request: Request) -> Iterator[tuple[str, str, int]]:
    """Yield each kind of resource asked for: its name, the key of its numbers, and for a task."""
    yield "cpus", "cpus", request.cpus
    if request.memory:
        yield "memory", "memory", request.memory
    if request.gpus:
        yield "gpus", "gpus", request.gpus
    for name, count in sorted(request.generic.items()):
        if count:
            yield f"generic:{name}", "generic", count


def only(request: Request, kind: str) -> Request:
    """Return the request with all other kinds of resources left out."""
    generic = {k: n for k, n in request.generic.items() if kind == f"generic:{k}"}
    return replace(
        request,
        cpus=request.cpus if kind == "cpus" else 0,
        memory=request.memory if kind == "memory" else 0,
        gpus=request.gpus if kind == "gpus" else 0,
        generic=generic,
    )


def without(request: Request, kind: str) -> Request:
    """Return the request with this kind of resource left out."""
    generic = {k: n for k, n in request.generic.items() if kind != f"generic:{k}"}
    if kind in {"cpus", "memory", "gpus"}:
        return replace(request, **{kind: 0})
    return replace(request, generic=generic)


def amount(room: Room, kind: str) -> int:
    """Return how much of a kind is in the room."""
    match kind:
        case "cpus":
            return room.cpus.bit_count()
        case "memory":
            return max(room.memory, 0)
        case "gpus":
            return room.gpus.bit_count()
        case _:
            return max(room.generic.get(kind.removeprefix("generic:"), 0), 0)


def shortage(rooms: Sequence[Room], request: Request, within: str = "free") -> Numbers:
    """Return which kind of resource is short, and by how much, for a request that does not fit.

    Short is the first kind that would not fit by itself; else, where each would but not together,
    the first without which the rest fits. `also`: the others that would not fit by themselves. Numbers: `short`, `asked_X` and `free_X` over all
    tasks and nodes (`configured_X` where the rooms are whole nodes), and `most_X` on the one node `most_on`; memory in bytes.
    """
    rooms = [room for room in rooms if serves(room.node, room.features, request)]
    asked = list(kinds(request))
    alone = [entry for entry in asked if seats(rooms, only(request, entry[0])) is None]
    beside = [entry for entry in asked if seats(rooms, without(request, entry[0])) is not None]
    kind, key, for_task = (alone or beside or asked)[0]
    total = sum(amount(room, kind) for room in rooms)
    numbers: Numbers = {"short": kind, f"asked_{key}": for_task * request.tasks}
    if also := ",".join(entry[0] for entry in alone if entry[0] != kind):
        numbers["also"] = also
    numbers[f"{within}_{key}"] = total
    if rooms:
        best = max(rooms, key=lambda room: amount(room, kind))
        numbers |= {f"most_{key}": amount(best, kind), "most_on": best.node}
    if request.tasks > 1:
        numbers["tasks"] = request.tasks
    if request.nodes:
        fitting = sum(1 for room in rooms if room.capacity(request))
        numbers |= {"asked_nodes": request.nodes, "free_nodes": fitting}
    return numbers
