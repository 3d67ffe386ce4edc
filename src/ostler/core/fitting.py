"""Which requests the machine could hold if it were idle, as long as no node changes."""

from collections.abc import Iterable

from ostler.model.node import Node
from ostler.model.resources import NodeFacts, Request
from ostler.schedule.fit import seats
from ostler.schedule.room import Room

_SHAPES = 10_000  # of requests of which it is remembered that they fit, at most

Kind = tuple[object, ...]


class Fitting:
    """What is known of the nodes that there are; it is forgotten when one changes."""

    def __init__(self) -> None:
        self._shapes: set[tuple[object, ...]] = set()
        self._kinds: dict[str, dict[Kind, list[Node]]] = {}  # by partition: nodes that are alike

    def clear(self) -> None:
        """Take note that a node is another one."""
        self._shapes.clear()
        self._kinds.clear()

    def __contains__(self, shape: tuple[object, ...]) -> bool:
        """Say whether a request of this shape is known to fit."""
        return shape in self._shapes

    def add(self, shape: tuple[object, ...]) -> None:
        """Remember that a request of this shape fits."""
        if len(self._shapes) >= _SHAPES:
            self._shapes.clear()
        self._shapes.add(shape)

    def holds(self, request: Request, partition: str, nodes: Iterable[Node]) -> bool:
        """Say whether it surely fits: tried on no more nodes of each kind than it has tasks.

        False: that is not known, for it wants nodes by name, or it does not fit.
        """
        if request.nodelist or request.exclude:
            return False
        if not self._kinds:
            self._sort(nodes)
        most = max(request.tasks, request.nodes)
        rooms = [
            Room.whole(node.name, node.facts)
            for alike in self._kinds.get(partition, {}).values()
            for node in alike[:most]
        ]
        return seats(rooms, request) is not None

    def _sort(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if not node.gone:
                kinds = self._kinds.setdefault(node.partition, {})
                kinds.setdefault(_kind(node.facts), []).append(node)


def _kind(facts: NodeFacts) -> Kind:
    generic = tuple(sorted(facts.generic.items()))
    return facts.cpus, facts.memory, facts.gpus, generic, facts.features
