"""Nodes: greetings, reports, silence, and the words of administrators."""

from msgspec.structs import replace

from ostler.core import life, steps, trims
from ostler.core.chunks import on_progress
from ostler.core.effects import Acknowledge, Fail, Reply, Welcomed
from ostler.core.events import AgentGreeted, AgentReported, NodesWorded, NotOrdered
from ostler.core.lasting import note_ends, note_joined
from ostler.core.node_entry import NodeEntry
from ostler.core.serving import nodes_changed
from ostler.core.slots import resend
from ostler.core.state import State
from ostler.core.view import node_row
from ostler.model.allocation import Allocation
from ostler.model.errors import Missing, OstlerError, Refused, UsageError
from ostler.model.features import check_features, is_feature
from ostler.model.ids import is_step
from ostler.model.node import Node
from ostler.model.orders import (
    Ended,
    EndShare,
    Held,
    Made,
    Progress,
    ResumeShare,
    Retime,
    Started,
    StartTasks,
    SuspendShare,
)
from ostler.model.states import AllocationState, NodeStatus, NodeWord, Result
from ostler.schedule.words import counted

NOT_OURS = "the machine knows of no such allocation"
_MOST_LOST = 1 << 32  # allocations


def on_greeted(s: State, now: float, event: AgentGreeted) -> None:
    """Take an agent in, and bring together what it holds and what should be there."""
    entry = s.nodes.get(event.node)
    if entry is None:
        entry = s.nodes[event.node] = NodeEntry(
            Node(event.node, event.facts, s.division.of(event.node), since=now)
        )
        s.note(now, "node/joined", counted(len(event.facts.cpus), "CPU"), node=event.node)
    old = entry.node
    rebooted = bool(old.boot_id) and old.boot_id != event.boot_id
    known = tuple(name for name in event.facts.features if is_feature(name))
    facts, own = replace(event.facts, features=known), old.own_features
    if own is not None:  # an administrator's word holds
        facts, own = replace(facts, features=old.facts.features), known
    entry.node = replace(
        old,
        facts=facts,
        own_features=own,
        boot_id=event.boot_id,
        status=NodeStatus.RUNNING,
        since=now if old.status is not NodeStatus.RUNNING else old.since,
        unknown_since=None,
        gone=False,
    )
    if old.facts != event.facts or old.gone or not old.boot_id:
        nodes_changed(s)
    _recount(s, entry)
    entry.connected = True
    if old.facts.until != event.facts.until or old.gone:
        note_ends(s)
    elif not old.boot_id:
        note_joined(s)
    s.marks.nodes.add(event.node)
    s.marks.allocations.update(entry.allocations)  # they can be suspended now
    s.save(entry.node)
    if old.status is not NodeStatus.RUNNING:
        s.note(now, "node/status", f"{old.status} -> running", node=event.node)
    s.effects.append(Welcomed(event.node))
    held = {h.alloc: h for h in event.holds}
    # What stands still is told to first, for others go on with its CPUs.
    runs = {n: s.allocations[n].suspended_at is None for n in entry.allocations}
    for number in sorted(entry.allocations, key=lambda n: (runs[n], n)):
        alloc = s.allocations[number]
        if s.jobs[alloc.job].job.holds:
            continue  # only its steps are known there
        if event.node not in alloc.freed:  # else it was fenced, and what it still holds is stray
            _reconcile(s, now, entry, alloc, held.pop(number, None), rebooted=rebooted)
    # A database that lost its last commits would give these numbers out again. One that lies
    # further ahead than commits can be lost was never ours, and must not use the numbers up.
    near = [number for number in held if number - s.next_allocation < _MOST_LOST]
    s.next_allocation = max([s.next_allocation, *(number + 1 for number in near)])
    # One that has ended is only waiting to be acknowledged.
    entry.strays = {stray.alloc for stray in held.values() if stray.phase != "ended"}
    for number in sorted(entry.strays):
        s.note(now, "discrepancy", f"{event.node} holds {number}: {NOT_OURS}", node=event.node)
        s.send(event.node, EndShare(number, Result.CANCELLED, NOT_OURS))
    s.changed = True


def _recount(s: State, entry: NodeEntry) -> None:
    """Make the books anew, for the node may have come back larger or smaller."""
    entry.books = type(entry.books)(entry.node.facts)
    for number in entry.allocations:
        alloc = s.allocations[number]
        for place in () if is_step(alloc.job) else alloc.placements:
            if place.node == entry.node.name:
                entry.books.force(place, cpus=alloc.suspended_at is None)


def _reconcile(
    s: State,
    now: float,
    entry: NodeEntry,
    alloc: Allocation,
    held: Held | None,
    *,
    rebooted: bool,
) -> None:
    node = entry.node.name
    if held is None:
        _absent(s, now, node, alloc, rebooted=rebooted)
        return
    if held.phase == "ended":
        return  # its report comes by itself
    if held.phase == "started" and held.started_at is not None:
        life.on_started(s, now, node, Started(alloc.id, held.started_at))
    elif held.phase == "made" and len(alloc.nodes) > 1:
        life.on_made(s, now, node, Made(alloc.id))
    alloc = s.allocations[alloc.id]
    if alloc.cause:
        grace = s.jobs[alloc.job].job.spec.grace
        s.send(node, EndShare(alloc.id, alloc.cause, alloc.why, grace))
        return
    # What was ordered over a connection that broke may not have come.
    if node in alloc.leaving:
        trims.order_end(s, alloc, node)
        return
    if alloc.resized:
        trims.tell(s, alloc, node)
    s.send(node, Retime(alloc.id, alloc.time_limit))
    if alloc.suspended_at is not None:
        s.send(node, SuspendShare(alloc.id))
    elif alloc.suspended or alloc.slot:
        s.send(node, ResumeShare(alloc.id))
    if alloc.slot:
        resend(s, now, s.jobs[alloc.job], alloc)
    elif held.phase != "started" and alloc.state is AllocationState.READY:
        s.send(node, StartTasks(alloc.id))


def _absent(s: State, now: float, node: str, alloc: Allocation, *, rebooted: bool) -> None:
    """Decide on a share that its node does not have: it never came, or it is lost."""
    several = len(alloc.nodes) > 1
    if trims.is_joining(s.jobs[alloc.job], alloc, node):
        _never_joined(s, now, node, alloc, rebooted=rebooted)
        return
    told_to_start = alloc.made == alloc.nodes if several else rebooted
    if alloc.started or told_to_start:
        how = "was started anew" if rebooted else "does not know of it any more"
        why = f"{node} {how}; nobody can tell how it ended"
        at = alloc.started_at if alloc.started_at is not None else alloc.granted_at
        life.on_ended(s, now, node, Ended(alloc.id, now, at, Result.LOST, why))
    elif alloc.cause:
        why = "it was ended before it started"
        life.on_ended(s, now, node, Ended(alloc.id, now, None, alloc.cause, alloc.why or why))
    else:
        entry = s.jobs[alloc.job]
        if alloc.heard:  # another starter will count its reports from the beginning
            alloc = s.put(replace(alloc, heard=0))
        life.order_launch(s, entry, alloc, node, start=not several)
        if alloc.slot:
            resend(s, now, entry, alloc)


def _never_joined(s: State, now: float, node: str, alloc: Allocation, *, rebooted: bool) -> None:
    """Order a share anew that was added to what runs, unless it is not wanted any more."""
    if alloc.cause or rebooted or node in alloc.leaving:
        why = alloc.why or f"{node} did not start it"
        life.on_ended(s, now, node, Ended(alloc.id, now, None, alloc.cause, why))
    else:
        life.order_launch(s, s.jobs[alloc.job], alloc, node, start=True)


def on_reported(s: State, now: float, event: AgentReported) -> None:
    """Take an agent's rows in, and acknowledge them once they are durable."""
    for row in event.rows:
        match row:
            case Made():
                life.on_made(s, now, event.node, row)
            case Started():
                life.on_started(s, now, event.node, row)
            case Progress():
                on_progress(s, now, event.node, row)
            case Ended():
                life.on_ended(s, now, event.node, row)
                _stray_ended(s, event.node, row.alloc)
    s.effects.append(Acknowledge(event.node, event.seq))


def _stray_ended(s: State, node: str, number: int) -> None:
    entry = s.nodes.get(node)
    if entry is not None and number in entry.strays:
        entry.strays.discard(number)
        s.marks.nodes.add(node)
        s.changed = True


def on_not_ordered(s: State, now: float, event: NotOrdered) -> None:
    """Take the share for one that the node could not make: it has never heard of it."""
    life.on_ended(s, now, event.node, Ended(event.alloc, now, None, "", event.why))


_WORDS = {"drain": NodeWord.DRAINING, "undrain": NodeWord.IN}
_OF_SILENT = {"fence": "fenced", "separate": "separated"}
_FEATURES = "features"


def on_worded(s: State, now: float, event: NodesWorded) -> None:
    """Drain, undrain, fence, separate or describe nodes, all or none."""
    try:
        if event.verb not in (*_WORDS, *_OF_SILENT, _FEATURES):
            known = ", ".join((*_WORDS, *_OF_SILENT, _FEATURES))
            raise UsageError(f"no verb {event.verb!r}", expected=known)
        check_features(event.features or ())
        for name in event.nodes:
            if name not in s.nodes:
                raise Missing(f"no node {name!r}", hint="see `ostler nodes`")
        for name in event.nodes if event.verb in _OF_SILENT else ():
            if s.nodes[name].connected:
                done = _OF_SILENT[event.verb]
                raise Refused(
                    f"{name} answers; only a silent node can be {done}", hint="stop its agent first"
                )
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    for name in event.nodes:
        entry = s.nodes[name]
        if event.verb in _OF_SILENT:
            _fence(s, now, entry, event)
        if event.verb == _FEATURES:
            _describe(s, now, entry, event)
        elif event.verb != "fence":
            _word(s, now, entry, event)
        s.marks.nodes.add(name)
    s.changed = True
    rows = [node_row(s.nodes[name]) for name in event.nodes]
    s.effects.append(Reply(event.to, {"nodes": rows}))


def _word(s: State, now: float, entry: NodeEntry, event: NodesWorded) -> None:
    word = _WORDS.get(event.verb, NodeWord.OUT)
    entry.node = replace(
        entry.node,
        word=word,
        word_by=event.caller.user,
        word_at=now,
        word_reason="" if word is NodeWord.IN else event.reason,
        gone=event.verb == "separate" or entry.node.gone,
    )
    nodes_changed(s)
    note_ends(s)
    s.save(entry.node)
    text = f"{event.caller.user} said {word}" + (f": {event.reason}" if event.reason else "")
    s.note(now, "node/word", text, node=entry.node.name, user=event.caller.user)


def _describe(s: State, now: float, entry: NodeEntry, event: NodesWorded) -> None:
    """Give the node these features; or, without any, those again that it declares itself."""
    node = entry.node
    own = node.facts.features if node.own_features is None else node.own_features
    mine = own if event.features is None else event.features
    entry.node = replace(
        node,
        facts=replace(node.facts, features=mine),
        own_features=None if event.features is None else own,
    )
    s.save(entry.node)
    s.marks.nodes.add(node.name)
    nodes_changed(s)
    text = f"{event.caller.user} said that its features are {', '.join(mine) or 'none'}"
    s.note(now, "node/features", text, node=node.name, user=event.caller.user)


def _fence(s: State, now: float, entry: NodeEntry, event: NodesWorded) -> None:
    """Take an administrator's word that nothing runs on a silent node any more."""
    name, by = entry.node.name, event.caller.user
    s.note(now, "node/fenced", f"{by}: {event.reason or 'no reason given'}", node=name, user=by)
    for number in sorted(entry.allocations):
        alloc = s.allocations[number]
        at = alloc.started_at if alloc.started_at is not None else alloc.granted_at
        if s.jobs[alloc.job].job.holds:
            steps.close(s, now, alloc, Result.LOST, f"{name} was fenced by {by}")
            continue
        why = f"{name} was fenced by {by}; nobody can tell how it ended"
        life.on_ended(s, now, name, Ended(number, now, at, Result.LOST, why))
