"""Nodes of a resource manager, as a load tells them: each is a node of the machine."""

from collections.abc import Collection

from msgspec.structs import replace

from ostler.core.foreign.distrust import Odd, agree, clean, tell
from ostler.core.foreign.rms import Rm
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

_STATUS = {
    NodeState.UP: NodeStatus.RUNNING,
    NodeState.DRAINING: NodeStatus.RUNNING,
    NodeState.DOWN: NodeStatus.UNREACHABLE,
}


def take(s: State, now: float, rm: Rm, nodes: Nodes, seen_at: float) -> None:
    """Take all nodes of a load in. seen_at: Unix seconds as of which they are so."""
    listed = {rm.here(each.name) for each in nodes.nodes}
    changed = False
    for raw in nodes.nodes:
        name = rm.here(raw.name)
        told = replace(raw, at=0.0) if raw.at else raw
        entry = s.nodes.get(name)
        same = rm.told.get(name) == told and entry is not None and not entry.node.gone
        if not same or rm.nodes[name].missing_since is not None:
            fresh = entry is None or entry.node.gone
            changed = _take_one(s, now, rm, name, told) or changed
            if fresh and nodes.complete:
                _renamed(s, now, rm, name, listed)
    if nodes.complete:
        for name in [name for name in rm.nodes if name not in listed]:
            changed = _missing(s, now, rm, name) or changed
    rm.nodes_at = seen_at
    if changed:
        nodes_changed(s)
        find_twins(s)


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
        s.note(now, "node-joined", counted(len(facts.cpus), "CPU"), node=name)
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
        s.note(now, "node-status", f"{old.status} -> {status}", node=name)
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
        told.memory,
        tuple(range(told.gpus)),
        dict(told.generic),
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
        s.note(now, "node-unknown", text, node=name, about=rm.name)


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
        s.note(now, "node-missing", f"{rm.name} does not list it any more", node=name)
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
    s.note(now, "node-left", why, node=name)
    s.marks.nodes.add(name)
    s.changed = True


def find_twins(s: State) -> None:
    """Find the nodes that are computers which count already, as others' nodes."""
    counted_as: dict[str, str] = {}  # computer -> its node
    for _, rm in sorted(s.rms.items()):
        told = [n for n in rm.nodes.values() if n.host and n.missing_since is None]
        other = {n.name: counted_as.get(n.host) or _native(s, n.host) for n in told}
        twins = {name: twin for name, twin in other.items() if twin and not rm.row.shares_hosts}
        if twins != rm.twins:
            rm.twins = twins
            look(s, rm)
        counted_as = {n.host: n.name for n in told if n.name not in twins} | counted_as


def _native(s: State, host: str) -> str:
    found = s.nodes.get(host)
    return host if found is not None and not found.node.rm and not found.node.gone else ""


# -- whether they can be used -------------------------------------------------------------------


def look(s: State, rm: Rm) -> None:
    """Work out of each node whether something new may start there, and why not."""
    rm.stale = False
    for name in rm.nodes:
        entry = s.nodes[name]
        silence, connected = _silence(rm, name), rm.down_since is None
        if entry.silence == silence and entry.connected is connected:
            continue
        entry.silence, entry.connected = silence, connected
        since = rm.nodes[name].missing_since if connected else rm.down_since
        # Not saved: after a restart nobody sees it anyhow until there was a load.
        entry.node = replace(entry.node, unknown_since=since)
        s.marks.nodes.add(name)
        s.marks.allocations.update(entry.allocations)  # whether they can be suspended
        s.changed = True


def _silence(rm: Rm, name: str) -> str:
    if not rm.row.enabled:
        return f"{rm.name} is disabled"
    if rm.down_since is not None:
        return f"{rm.name} does not answer: {rm.why}"
    known = rm.nodes[name]
    reason = f": {known.reason}" if known.reason else ""
    if known.missing_since is not None:
        return f"{rm.name} does not list it any more"
    if name in rm.twins:
        both = f"`ostler rm set {rm.name} shares-hosts=true` if both are to count"
        return f"it is the computer of node {rm.twins[name]}, and counts there; {both}"
    if known.state == NodeState.DOWN:
        return f"{rm.name} says that it is down{reason}"
    if known.state == NodeState.DRAINING:
        return f"{rm.name} drains it{reason}"
    if known.state == NodeState.UNKNOWN:
        return f"{rm.name} says {known.native_state!r} of it, which its driver does not know"
    conflict = rm.conflicts.get(name)
    if conflict is not None and conflict.lasts and not conflict.settled:
        used = counted(conflict.sure, "CPU")
        return f"jobs use {used} of it, and {rm.name} tells of {conflict.told}"
    return ""
