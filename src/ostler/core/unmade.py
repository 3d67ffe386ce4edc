"""What a node that falls silent keeps from starting elsewhere: allocations not all nodes hold yet."""

from ostler.core.life import on_ended
from ostler.core.node_entry import NodeEntry
from ostler.core.over import UNDONE
from ostler.core.state import State
from ostler.model.orders import NODE_FAULT, Ended, EndShare

_WHY = "it fell silent before every node held the context"


def give_up(s: State, now: float, entry: NodeEntry) -> None:
    """Undo what this node was to be a part of and nobody was told to start.

    That is proof that nothing of it ran, so it need not wait for the node. What the node makes of
    it all the same is ended when it is heard of again, and nothing new starts there before.
    """
    name = entry.node.name
    for number in sorted(entry.allocations):
        alloc = s.allocations.get(number)
        if alloc is None or name in alloc.freed or alloc.started:
            continue
        if len(alloc.nodes) == 1 or alloc.made == alloc.nodes:
            continue  # it may have started
        s.send(name, EndShare(number, UNDONE, _WHY, 0))
        entry.strays.add(number)
        on_ended(s, now, name, Ended(number, now, None, NODE_FAULT, _WHY))
