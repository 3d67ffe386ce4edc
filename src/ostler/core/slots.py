"""Slots: allocations that run elements of an array one after the other. Feeding and draining them.

How much a slot is given and why: docs/decisions/0006-chunks.md.
"""

from collections.abc import Iterable
from math import inf

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.foreign.spread import following
from ostler.core.reserved import elements_before
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.features import NATIVE
from ostler.model.job import Element, Job
from ostler.model.orders import Chunk, Feed, Spans, Withdraw
from ostler.model.ranges import RangeSet
from ostler.model.states import JobState, Result

CHUNK_SECONDS = 0.5  # of work in one chunk, by the mean of late
LEAST_SECONDS = 0.02  # of work below which a chunk is not cut to be fair
ALONE_SECONDS = 1.0  # from which on an element waits for none before it
MOST = 512  # elements in a chunk
FIRST = 4  # elements in a chunk as long as nothing is known of their duration
IDLE_SECONDS = 0.2  # of work behind an element, or of its own, for which others are taken back


def can_be_slot(job: Job, nodes: int) -> bool:
    """Say whether an allocation of the job on so many nodes serves one element after the other."""
    return job.is_array and nodes == 1 and job.spec.kind != "run"


def chunk_size(entry: Entry, slots: int) -> int:
    """Return how many elements make one chunk, if so many slots share what waits."""
    fair = len(entry.waiting) // (2 * max(slots, 1))
    if not entry.mean:
        return max(1, min(FIRST, fair))
    most = max(1, min(MOST, int(CHUNK_SECONDS / entry.mean)))
    least = max(1, min(most, int(LEAST_SECONDS / entry.mean)))
    return max(least, min(most, fair))


def take(entry: Entry, alloc: Allocation, count: int) -> Spans:
    """Move elements from those that wait into a slot; those whose start was undone go first."""
    spans = _unbound(entry, count) if entry.bound else _next(entry, count)
    for low, high in spans:
        for index in range(low, high + 1):
            entry.live[index] = alloc.id
    return tuple(spans)


def _next(entry: Entry, count: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    while entry.returned and len(spans) < count:
        index = entry.returned.pop(0)
        if index in entry.waiting:
            entry.waiting.discard(index)
            spans.append((index, index))
    return spans + entry.waiting.take(count - len(spans))


def _unbound(entry: Entry, count: int) -> list[tuple[int, int]]:
    """Take those that may run on our own nodes: some are bound to other resource managers."""
    spans: list[tuple[int, int]] = []
    while len(spans) < count and (index := following(entry, NATIVE)) is not None:
        entry.waiting.discard(index)
        spans.append((index, index))
    return spans


def goes_on(entry: Entry) -> bool:
    """Say whether elements wait that a slot could take."""
    return bool(entry.waiting) and (not entry.bound or following(entry, NATIVE) is not None)


def feed(s: State, now: float, entry: Entry, alloc: Allocation) -> Allocation:
    """Give a slot more elements if it runs low; return the allocation as it is then, saved."""
    slot = entry.slots[alloc.id]
    if alloc.cause or alloc.suspended_at is not None:
        return s.put(alloc)
    if slot.draining or not _may_go_on(s, now, entry, alloc):
        return drain(s, entry, alloc)
    before = elements_before(s, now, entry, alloc.placements[0].node)
    if before < 1:
        return drain(s, entry, alloc)
    size = int(min(chunk_size(entry, len(entry.slots)), before))
    held = alloc.queued + bool(alloc.chunk)
    low = 0 if entry.mean >= ALONE_SECONDS else size
    more = take(entry, alloc, size) if entry.waiting and held <= low else ()
    last = not goes_on(entry)
    if more:
        spans = RangeSet([*alloc.chunk, *more]).spans
        alloc = replace(alloc, chunk=tuple(spans))
        s.marks.jobs.add(entry.job.id)
    s.put(alloc)
    if more or last != slot.last:
        slot.last = last
        order_feed(s, entry, alloc, more)
    return alloc


def order_feed(s: State, entry: Entry, alloc: Allocation, elements: Spans) -> None:
    """Order a slot to run these, too. The line of --each is put in on the way."""
    order = Feed(alloc.id, chunk_of(entry, elements, last=entry.slots[alloc.id].last), alloc.heard)
    s.send(alloc.placements[0].node, order, ("", "", entry.job.spec.items if elements else ""))


def chunk_of(entry: Entry, elements: Spans, *, last: bool) -> Chunk:
    """Return elements as a node is told of them."""
    if not entry.touched:
        return Chunk(elements, last=last)
    known = sorted(RangeSet(list(elements)).common([(i, i) for i in entry.touched]))
    attempts = tuple((i, entry.touched[i].attempt + 1) for i in known)
    return Chunk(elements, tuple(pair for pair in attempts if pair[1] != 1), last=last)


def attempt_of(entry: Entry, index: int) -> int:
    """Return which start of an element its present stay in a slot is."""
    record = entry.touched.get(index)
    return 1 if record is None else record.attempt + 1


def _may_go_on(s: State, now: float, entry: Entry, alloc: Allocation) -> bool:
    """Say whether the slot may take more elements, as far as the core alone knows it."""
    job = entry.job
    node = s.nodes[alloc.placements[0].node]
    cap = job.spec.array_cap
    most = s.setting("max-cpus-per-user")
    return not (
        s.stopping
        or job.held_by
        or entry.unmet
        or entry.retry_at > now
        or (cap and len(entry.slots) > cap)
        or (most and s.user_cpus.get(job.user, 0) > most)
        or node.unusable
        or node.node.partition != job.spec.partition
        or not s.site.open(job.spec.partition)
        or not s.parts.is_ours(s.site, job.spec.partition)
    )


def drain(s: State, entry: Entry, alloc: Allocation) -> Allocation:
    """Take the queue of a slot back and let it end with the element that runs."""
    slot = entry.slots[alloc.id]
    s.put(alloc)
    if slot.draining and slot.last:
        return alloc
    slot.draining, slot.mean = True, entry.mean
    if alloc.chunk:
        withdraw(s, entry, alloc, [i for low, high in alloc.chunk for i in range(low, high + 1)])
    if not slot.last:
        slot.last = True
        order_feed(s, entry, alloc, ())
    s.marks.jobs.add(entry.job.id)
    return alloc


def withdraw(
    s: State,
    entry: Entry,
    alloc: Allocation,
    indices: Iterable[int],
    cause: str = "",
    why: str = "",
) -> None:
    """Ask elements back; with a cause, end the one of them that runs."""
    wanted = RangeSet([(i, i) for i in indices])
    entry.slots[alloc.id].recalled.update(wanted)
    s.marks.jobs.add(entry.job.id)
    order = Withdraw(alloc.id, tuple(wanted.spans), cause, why, entry.job.spec.grace)
    s.send(alloc.placements[0].node, order)


def take_back(s: State, now: float, entry: Entry) -> bool:
    """Ask the longest queue of an array for half of it, as there is room; say whether one was."""
    best: Allocation | None = None
    for number in entry.slots:
        alloc = s.allocations[number]
        if worth_taking(entry, alloc, now) and (best is None or alloc.queued > best.queued):
            best = alloc
    if best is None:
        return False
    members = [i for low, high in best.chunk for i in range(low, high + 1) if i != best.running]
    free = [i for i in members if i not in entry.slots[best.id].recalled]
    withdraw(s, entry, best, free[len(free) // 2 :])
    return True


def worth_taking(entry: Entry, alloc: Allocation, now: float) -> bool:
    """Say whether a queue is long enough, in time, to be divided with an idle CPU."""
    return may_be_taken_at(entry, alloc) <= now


def may_be_taken_at(entry: Entry, alloc: Allocation) -> float:
    """Return from when on a queue is long enough, in time, to be divided; inf: it is not by then."""
    if not alloc.queued or alloc.cause or entry.slots[alloc.id].recalled:
        return inf
    if alloc.suspended_at is not None:
        return inf
    since = alloc.since or alloc.granted_at
    return 0.0 if alloc.queued * entry.mean > IDLE_SECONDS else since + IDLE_SECONDS


def resend(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """Tell a node that greets all that its slot should hold; it takes what it does not have."""
    slot = entry.slots[alloc.id]
    slot.last = slot.draining or not goes_on(entry)
    order_feed(s, entry, alloc, alloc.chunk)
    marks: dict[tuple[str, str], list[int]] = {}
    for index in RangeSet(list(alloc.chunk)).common([(i, i) for i in sorted(entry.touched)]):
        record = entry.touched[index]
        if record.held_by or record.state is JobState.FINISHING:
            marks.setdefault(cause_of(record), []).append(index)
    plain = [i for i in sorted(slot.recalled) if i not in entry.touched]
    if plain:
        marks.setdefault(("", ""), []).extend(plain)
    for (cause, why), indices in marks.items():
        withdraw(s, entry, alloc, indices, cause, why)
    if not alloc.chunk:  # nothing more will be told of it that could lead to its next feed
        feed(s, now, entry, alloc)


def cause_of(record: Element) -> tuple[str, str]:
    """Return the cause and sentence with which an element was to be taken out of its slot."""
    if record.state is not JobState.FINISHING:
        return "", ""
    return (Result.CANCELLED if record.result else "requeue"), record.reason
