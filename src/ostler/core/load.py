"""The core's memory made anew from the database, after a start or a failed commit."""

from datetime import UTC, tzinfo

from msgspec.structs import replace

from ostler.core import ties
from ostler.core.claims import count_licences
from ostler.core.entry import Entry, Slot
from ostler.core.follow import look_at_calendars, note_closing
from ostler.core.foreign.recall import recall as recall_foreign
from ostler.core.foreign.rms import appoint
from ostler.core.lasting import with_ends
from ostler.core.moved import note_guests
from ostler.core.moves import broken_dependency
from ostler.core.node_entry import NodeEntry
from ostler.core.rules import rules_of
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.ids import is_step, step_number, within
from ostler.model.job import ATTENDED, Job
from ostler.model.node import Node
from ostler.model.ranges import RangeSet
from ostler.model.record import EndedElement, Loaded
from ostler.model.resources import NodeFacts
from ostler.model.shifts import offset_at
from ostler.model.states import JobState, Result
from ostler.schedule.limits import Limits
from ostler.schedule.shares import Ledger, rate


def load(loaded: Loaded, epoch: int, now: float, home: tzinfo = UTC) -> State:
    """Return the state that the rows describe; no agent is connected yet."""
    s = State()
    s.parts.zone = home
    s.epoch = epoch
    s.settings = dict(loaded.settings)
    s.ended = dict(loaded.ended)
    s.next_job, s.next_allocation = loaded.next_job, loaded.next_allocation
    s.next_event, s.next_transaction = loaded.next_event, loaded.next_transaction
    s.site, s.division, s.closed = loaded.site, loaded.site.division(), loaded.site.closed
    s.rules = rules_of(s.site, s.settings, offset_at(home, now))
    s.desk.appoint(s.site.handlers.values())
    s.rms = appoint(s.rms, s.site.rms.values(), now)
    s.desk.load(loaded.errands)
    s.postbox.subscribers = {(row.uid, row.name): row for row in loaded.subscribers}
    s.limits = Limits(s.rules)
    for node in loaded.nodes:
        s.nodes[node.name] = NodeEntry(node)
    s.rules = with_ends(s, s.rules)
    for job in loaded.jobs:
        _add_job(s, job, loaded.done.get(job.id, []), now)
    for element in loaded.elements:
        entry = s.jobs[element.job]
        entry.touched[element.index] = element
        if element.rm:
            entry.bind(element.index, element.rm)
        if element.held_by:
            entry.waiting.discard(element.index)
    s.ledger = Ledger(s.rules.shares)
    for used in loaded.used:
        account, seconds = (used.project, used.user), used.ended_at - used.began_at
        s.ledger.charge(account, used.cpu_seconds / seconds, used.began_at, used.ended_at)
    _add_allocations(s, loaded, now)
    s.holds.appoint(s)
    recall_foreign(s, loaded, now)
    note_guests(s)
    note_closing(s)
    look_at_calendars(s, now)
    for number in (*s.jobs, *s.ended) if s.next_step else ():
        if is_step(number) and (holder := within(number)) in s.next_step:
            s.next_step[holder] = max(s.next_step[holder], step_number(number) + 1)
    for entry in s.jobs.values():
        if entry.job.rest is Result.SUCCESS:  # before others are tied to what they have waited for
            _end_rest(entry)
    for entry in s.jobs.values():
        if entry.job.spec.tied_to:
            ties.tie(s, entry, loaded.successes)
    for entry in s.jobs.values():
        if (
            entry.tied
            and entry.job.rest is Result.DEPENDENCY
            and not broken_dependency(s, entry.job)
        ):
            ties.end_rest(s, entry)
        elif entry.job.rest is not None:
            _end_rest(entry)
    for known in s.nodes.values():
        if known.node.unknown_since is None:  # until its agent greets, nobody sees it
            known.node = replace(known.node, unknown_since=now)
    return s


def _add_job(s: State, job: Job, done: list[EndedElement], now: float) -> None:
    entry = Entry(job)
    for index, result, attempt, rm in done:
        entry.ended_as(index, result, attempt)
        entry.waiting.discard(index)
        if rm:
            entry.bind(index, rm)
    s.add(entry)
    if job.spec.not_before > now:
        s.wake(job.spec.not_before, job.id)
    if job.spec.kind in ATTENDED and not job.spec.detach:
        entry.abandoned_at = now
        s.wake(now + s.setting("client-grace"), job.id)


def _end_rest(entry: Entry) -> None:
    """End the elements without a row, as the job's row says they have."""
    again = [i for i in entry.touched if i in entry.waiting or i in entry.barred]
    for index in again:
        entry.waiting.discard(index)
        entry.barred.discard(index)
    entry.finish_waiting(str(entry.job.rest))
    for index in again:
        entry.let_wait(index)


def _add_allocations(s: State, loaded: Loaded, now: float) -> None:
    for alloc in loaded.allocations:
        entry = s.jobs[alloc.job]
        s.allocations[alloc.id] = alloc
        entry.slots[alloc.id] = Slot()
        if alloc.resuming:
            s.resuming.add(alloc.id)
        for low, high in alloc.chunk if alloc.slot else ((alloc.element, alloc.element),):
            for index in range(low, high + 1):
                entry.live[index] = alloc.id
                entry.waiting.discard(index)
        if not alloc.slot:
            entry.touched[alloc.element] = replace(
                entry.element(alloc.element),
                state=s.live_state(alloc.id),
                attempt=alloc.attempt,
                node=",".join(p.node for p in alloc.placements),
                started_at=alloc.started_at,
                reason="",
            )
        step = is_step(alloc.job)
        holds = alloc.suspended_at is None
        if not step:
            _count_use(s, entry.job, alloc, now)
            count_licences(s, entry, 1)
        for place in alloc.placements:
            node = s.nodes.get(place.node)
            if node is None:  # its row is gone: remember that something runs there
                node = s.nodes[place.node] = NodeEntry(Node(place.node, NodeFacts()))
            node.allocations.add(alloc.id)
            if not step:
                node.books.force(place, cpus=holds)


def _count_use(s: State, job: Job, alloc: Allocation, now: float) -> None:
    """Count what a live allocation has used, and will; what its slot has ended has rows."""
    begun = (alloc.since if alloc.slot else alloc.granted_at) + alloc.suspended
    until = now if alloc.suspended_at is None else alloc.suspended_at
    cost = rate(s.ledger.rules, alloc.placements)
    s.ledger.charge((job.spec.project, job.user), cost, min(begun, until), until)
    if alloc.suspended_at is None:
        s.uses(now, job, alloc)


def recall(s: State, job: Job, done: list[EndedElement]) -> None:
    """Bring an ended job back into view, so that it can be shown or run again."""
    if job.id in s.jobs or job.state is not JobState.DONE:
        return
    entry = ended_entry(job, done)
    s.ended[job.id] = str(job.result)
    s.remember(entry)


def ended_entry(job: Job, done: list[EndedElement]) -> Entry:
    """Return an ended job as it is known in memory."""
    entry = Entry(job)
    entry.waiting = RangeSet()
    for index, result, attempt, rm in done:
        entry.ended_as(index, result, attempt)
        if rm:
            entry.bind(index, rm)
    ended = RangeSet([span for found in entry.results.values() for span in found.spans])
    rest = RangeSet(list(job.spans()))
    for index in ended:
        rest.discard(index)
    if rest:  # elements that never started have no row
        into = entry.results.setdefault(str(job.rest or job.result), RangeSet())
        into.spans = RangeSet([*into.spans, *rest.spans]).spans
    entry.statuses = job.exit_status or 0
    return entry
