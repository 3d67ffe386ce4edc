"""Nodes of a resource manager, as a load tells them: each is a node of the machine."""

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from ostler.core.foreign.bounds import bounded, resources
from ostler.core.foreign.distrust import Odd, agree, clean, tell
from ostler.core.foreign.intake import emptied, sliced
from ostler.core.foreign.rms import Intake, Rm
from ostler.core.foreign.usable import twins
from ostler.core.foreign.uses import recount
from ostler.core.lasting import note_joined
from ostler.core.node_entry import NodeEntry
from ostler.core.serving import nodes_changed
from ostler.core.state import State
from ostler.model.features import FOREIGN, OF_RM, is_feature
from ostler.model.foreign import ForeignNode, Nodes, NodeState
from ostler.model.foreign_rows import RmNode
from ostler.model.limits import MAX_FEATURES
from ostler.model.node import Node
from ostler.model.resources import NodeFacts
from ostler.model.states import NodeStatus
from ostler.schedule.words import counted

# Microseconds that it takes, beside what is written down:
_NAME = 0.5  # to note a name
_SAME = 2.0  # to look at a node of which nothing is new
_OTHER = 10.0  # to take one in
_CPU = 0.1  # and each of its CPUs

_STATUS = {
    NodeState.UP: NodeStatus.RUNNING,
    NodeState.DRAINING: NodeStatus.RUNNING,
    NodeState.DOWN: NodeStatus.UNREACHABLE,
}


def take(s: State, at: Intake, rm: Rm, nodes: Nodes, seen_at: float) -> Iterator[float]:
    """Take all nodes of a load in, step by step. seen_at: Unix seconds as of which they are so."""
    told_nodes, complete = list(nodes.nodes), nodes.complete
    del nodes
    listed: set[str] = set()
    for some in sliced(told_nodes):
        listed.update(rm.here(each.name) for each in some)
        yield _NAME * len(some)
    changed = False
    for raw in emptied(told_nodes):
        name = rm.here(raw.name)
        told = replace(raw, at=0.0) if raw.at else raw
        entry = s.nodes.get(name)
        same = rm.told.get(name) == told and entry is not None and not entry.node.gone
        if same and rm.nodes[name].missing_since is None:
            yield _SAME
            continue
        fresh = entry is None or entry.node.gone
        changed = _take_one(s, at.now, rm, name, told) or changed
        if fresh and complete:
            _renamed(s, at.now, rm, name, listed)
        yield _OTHER + _CPU * told.cpus
    if complete:
        for names in sliced(list(rm.nodes)):
            for name in names:
                if name in listed:
                    listed.remove(name)  # all at once would take as long as a turn
                elif name in rm.nodes:
                    changed = _missing(s, at.now, rm, name) or changed
                    yield _SAME
            yield _NAME * len(names)
    rm.nodes_at = seen_at
    if changed:
        nodes_changed(s)
        yield from twins(s)


def _take_one(s: State, now: float, rm: Rm, name: str, told: ForeignNode) -> bool:
    """Take one node in that is new, or another than before; say whether it could serve others now."""
    entry, known = s.nodes.get(name), rm.nodes.get(name)
    facts = _facts(rm, told)
    fresh = entry is None or entry.node.gone
    if entry is None:
        partition = s.division.of(name)
        status = _STATUS.get(told.state, NodeStatus.UNREACHABLE)
        entry = s.nodes[name] = NodeEntry(
            Node(name, facts, partition, status, since=now, rm=rm.name)
        )
    if fresh:
        s.note(now, "node/joined", counted(len(facts.cpus), "CPU"), node=name)
        note_joined(s)
    old = entry.node
    if old.own_features is not None:  # an administrator's word holds
        facts = replace(facts, features=old.facts.features)
    status = _STATUS.get(told.state, old.status)
    entry.node = replace(
        old,
        facts=facts,
        rm=rm.name,
        partition=s.division.of(name),
        status=status,
        since=now if status is not old.status else old.since,
        gone=False,
    )
    if entry.node.facts != entry.books.facts or (fresh and entry.allocations):
        recount(s, entry)
    if status is not old.status:
        s.note(now, "node/status", f"{old.status} -> {status}", node=name)
    if entry.node != old or fresh:
        s.save(entry.node)
    if known is not None and not fresh:
        _back(s, now, rm, known, told)
    _say_unknown(s, now, rm, name, told, known)
    row = RmNode(
        *(name, rm.name, str(told.state), clean(told.native_state), clean(told.reason)),
        clean(told.host),
    )
    if row != known:
        s.save(row)
    rm.nodes[name], rm.told[name] = row, told
    rm.stale = True
    s.marks.nodes.add(name)
    s.changed = True
    return fresh or old.facts != facts or (known is not None and known.host != row.host)


def _facts(rm: Rm, told: ForeignNode) -> NodeFacts:
    own = (FOREIGN, f"{OF_RM}{rm.name}")  # of which no resource manager tells: jobs are bound by it
    known = [
        name
        for name in told.features
        if is_feature(name) and name != FOREIGN and not name.startswith(OF_RM)
    ]
    return NodeFacts(
        tuple(range(told.cpus)),
        bounded(told.memory),
        tuple(range(told.gpus)),
        resources(told.generic),
        declared=True,
        features=(*known[: MAX_FEATURES - len(own)], *own),
    )


def _back(s: State, now: float, rm: Rm, known: RmNode, told: ForeignNode) -> None:
    """Record that a node takes work again that was given up, or was down."""
    was = "missing" if known.missing_since is not None else known.state
    if was in ("missing", NodeState.DOWN) and told.state is NodeState.UP:
        tell(
            s,
            now,
            rm,
            Odd(
                "node_back",
                known.name,
                before=was,
                after=str(told.state),
                done="it is taken up again",
                node=known.name,
            ),
            lasts=False,
        )


def _say_unknown(
    s: State, now: float, rm: Rm, name: str, told: ForeignNode, known: RmNode | None
) -> None:
    word = clean(told.native_state)
    if told.state is NodeState.UNKNOWN and (known is None or known.native_state != word):
        text = f"{rm.name} says {word!r} of it, which its driver does not know"
        s.note(now, "node/unknown", text, node=name, about=rm.name)


def _renamed(s: State, now: float, rm: Rm, name: str, listed: Collection[str]) -> None:
    """Record that a new node is one that was listed by another name before."""
    host = rm.nodes[name].host
    for old in rm.nodes.values() if host else ():
        if old.host == host and old.name not in listed:
            done = "what runs there is looked for by its new name"
            tell(
                s, now, rm, Odd("node_renamed", name, old.name, name, done, node=name), lasts=False
            )


def _missing(s: State, now: float, rm: Rm, name: str) -> bool:
    """Note that a complete load lacks a node; let it go when that has lasted. Say whether it went."""
    known, entry = rm.nodes[name], s.nodes[name]
    if known.missing_since is None:
        known = rm.nodes[name] = replace(known, missing_since=rm.nodes_at or now)
        rm.stale = True
        s.save(known)
        entry.node = replace(entry.node, unknown_since=known.missing_since)
        s.note(now, "node/missing", f"{rm.name} does not list it any more", node=name)
    since = known.missing_since if known.missing_since is not None else now
    if now - since <= rm.row.node_purge or entry.allocations:
        return False
    leave(s, now, rm, name, f"{rm.name} has not listed it for {now - since:.0f} s")
    return True


def leave(s: State, now: float, rm: Rm, name: str, why: str) -> None:
    """Let a node leave the machine; should it be listed again, it is taken up again."""
    entry = s.nodes[name]
    entry.node = replace(entry.node, gone=True)
    entry.connected = False
    s.save(entry.node)
    s.save(replace(rm.nodes.pop(name), over=True))
    rm.told.pop(name, None)
    rm.conflicts.pop(name, None)
    rm.busier.pop(name, None)
    for kind in ("node_idle", "node_busy"):
        agree(s, now, rm, kind, name)
    s.note(now, "node/left", why, node=name)
    s.marks.nodes.add(name)
    s.changed = True
