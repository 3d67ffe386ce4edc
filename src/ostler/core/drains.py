"""Nodes that ask to be given no more work: what runs there goes on."""

from msgspec.structs import replace

from ostler.core.node_entry import NodeEntry
from ostler.core.serving import nodes_changed
from ostler.core.state import State
from ostler.model.states import NodeWord

OSTLER = "ostler"  # who said a word that no person did
_MOST = 500  # characters of a reason


def drain(s: State, now: float, entry: NodeEntry, reason: str) -> None:
    """Drain a node, with its reason; a word that an administrator has said is kept."""
    if entry.node.word is not NodeWord.IN:
        return
    told = "".join(c if c.isprintable() else "?" for c in reason[:_MOST])
    entry.node = replace(
        entry.node, word=NodeWord.DRAINING, word_by=OSTLER, word_at=now, word_reason=told
    )
    nodes_changed(s)
    s.marks.nodes.add(entry.node.name)
    s.changed = True
    s.save(entry.node)
    s.note(now, "node/word", f"{OSTLER} said {NodeWord.DRAINING}: {told}", node=entry.node.name)
