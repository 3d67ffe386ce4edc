"""Nodes as they are seen from outside: the record, its events, and what they mean for new work."""

from msgspec.structs import replace

from ostler.core.events import AgentGone, NodeSeen
from ostler.core.node_entry import NodeEntry
from ostler.core.state import State
from ostler.core.unmade import give_up
from ostler.model.states import NodeStatus


def on_gone(s: State, now: float, event: AgentGone) -> None:
    """Note the silence. What runs there is unknown, and nothing of it has ended.

    The status stays as it is until somebody has looked: a connection can end for many reasons.
    """
    entry = s.nodes.get(event.node)
    if entry is None:
        return
    entry.connected = False
    s.marks.nodes.add(event.node)
    s.marks.allocations.update(entry.allocations)  # they cannot be suspended now
    s.changed = True
    if entry.node.unknown_since is None:
        entry.node = replace(entry.node, unknown_since=now)
        s.save(entry.node)
    give_up(s, now, entry)


def on_seen(s: State, now: float, event: NodeSeen) -> None:
    """Enter what was seen: a change of status is one event and the node's row, written together."""
    entry = s.nodes.get(event.node)
    if entry is None or entry.node.gone or entry.node.rm:
        return
    if event.status is not entry.node.status:
        _move(s, now, entry, event.status)
        if event.status is not NodeStatus.RUNNING:
            give_up(s, now, entry)
    if event.differs:
        s.note(now, "discrepancy", event.differs, node=event.node)
    if event.restless != entry.restless:
        entry.restless = event.restless
        s.marks.nodes.add(event.node)
        s.changed = True


def _move(s: State, now: float, entry: NodeEntry, status: NodeStatus) -> None:
    old = entry.node
    silent = old.unknown_since if old.unknown_since is not None else now
    known = status is NodeStatus.RUNNING and entry.connected
    entry.node = replace(old, status=status, since=now, unknown_since=None if known else silent)
    s.save(entry.node)
    s.note(now, "node/status", f"{old.status} -> {status}", node=old.name)
    s.marks.nodes.add(old.name)
    s.changed = True
