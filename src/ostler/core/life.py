"""The life of an allocation: granted, made, started, ended; with it that of its elements."""

from msgspec.structs import replace

from ostler.core import moved
from ostler.core.chunks import slot_over
from ostler.core.claims import count_licences, per_task
from ostler.core.drains import drain
from ostler.core.entry import Entry, Slot
from ostler.core.foreign.bind import bind_at_start
from ostler.core.foreign.spread import following, rm_name
from ostler.core.foretold import compared
from ostler.core.launching import programs_of, ranks_of
from ostler.core.moves import settle, tell_dependents
from ostler.core.node_entry import NodeEntry
from ostler.core.over import UNDONE, element_over, sensible_end, with_start
from ostler.core.reserved import elements_before
from ostler.core.slots import can_be_slot, chunk_of, chunk_size, goes_on, take
from ostler.core.state import State
from ostler.core.trims import give_back, give_up, is_apart, is_joining, tell
from ostler.model.allocation import Allocation
from ostler.model.ids import is_step, step_number, within
from ostler.model.job import Job
from ostler.model.orders import (
    NODE_FAULT,
    Chunk,
    Ended,
    EndShare,
    Launch,
    Made,
    Started,
    StartTasks,
)
from ostler.model.ranges import RangeSet
from ostler.model.resources import Placement
from ostler.model.states import AllocationState, JobState, Result
from ostler.schedule.words import counted

FAULT_PAUSE_MOST = 30.0  # seconds until a node that could not start anything is tried again


def grant(
    s: State,
    now: float,
    entry: Entry,
    places: tuple[Placement, ...],
    *,
    alike: int = 1,
    element: int | None = None,
) -> None:
    """Give an element these places, which are known to be free, and order the start.

    With places on one node an array gets a slot, unless another scheduler plans its partition:
    what a slot runs after its first element nobody would have planned. alike: how many slots it is
    getting now. element: one that waits; None: the next.
    """
    job = entry.job
    index = following(entry, rm_name(s, places)) if element is None else element
    if index is None:
        return
    if s.rms:
        bind_at_start(s, entry, places)
        job = entry.job
    alloc = Allocation(
        s.next_allocation,
        job.id,
        index,
        entry.element(index).attempt + 1,
        places,
        now,
        s.epoch,
        time_limit=job.spec.time_limit,
        slot=_is_slot(s, job, places),
    )
    s.next_allocation += 1
    for place in places:
        node = s.nodes[place.node]
        if not job.spec.within:  # else its allocation has taken them
            node.books.take(place)
            s.marks.nodes.add(place.node)
        node.allocations.add(alloc.id)
    if not job.spec.within:
        s.uses(now, job, alloc)
        count_licences(s, entry, 1)
    entry.slots[alloc.id] = Slot()
    if alloc.slot:
        size = chunk_size(entry, len(entry.slots) - 1 + alike)
        before = elements_before(s, now, entry, places[0].node)
        first = take(entry, alloc, max(1, int(min(size, before))))
        entry.slots[alloc.id].last = not goes_on(entry)
        alloc = replace(alloc, chunk=tuple(RangeSet(list(first)).spans), running=index, since=now)
    else:
        give_whole(entry, alloc)
    s.put(alloc)
    if not job.is_array:
        where = ", ".join(f"{counted(len(p.cpus), 'CPU')} of {p.node}" for p in places)
        told = f"it was given {where}{compared(job, now)}"
        s.note(now, "allocation/granted", told, job=job.id, allocation=alloc.id)
    settle(s, now, entry)
    for place in () if job.holds else places:
        order_launch(s, entry, alloc, place.node, start=len(places) == 1)


def _is_slot(s: State, job: Job, places: tuple[Placement, ...]) -> bool:
    """Say whether an allocation serves one element after the other: agents do that, for our plans."""
    agents = not s.nodes[places[0].node].node.rm
    return can_be_slot(job, len(places)) and agents and s.parts.is_ours(s.site, job.spec.partition)


def give_whole(entry: Entry, alloc: Allocation) -> None:
    """Let one element have the whole allocation."""
    index = alloc.element
    entry.waiting.discard(index)
    while entry.returned and entry.returned[0] not in entry.waiting:
        entry.returned.pop(0)
    entry.live[index] = alloc.id
    entry.touched[index] = replace(
        entry.element(index),
        state=JobState.STARTING,
        attempt=alloc.attempt,
        node=",".join(p.node for p in alloc.placements),
        reason="",
    )


def order_launch(s: State, entry: Entry, alloc: Allocation, node: str, *, start: bool) -> None:
    """Order the share of an allocation on one node; harmless when the agent already has it."""
    job, spec = entry.job, entry.job.spec
    place = next(p for p in alloc.placements if p.node == node)
    order = Launch(
        alloc.id,
        within(job.id),
        alloc.element,
        alloc.attempt,
        job.user,
        job.uid,
        job.gid,
        place,
        per_task(spec.request, place),
        step=step_number(job.id),
        total_tasks=sum(p.tasks for p in alloc.placements) if alloc.resized else spec.request.tasks,
        ranks=ranks_of(spec, alloc, place),
        kill_on_bad_exit=spec.kill_on_bad_exit,
        verbose=spec.verbose,
        members=tuple(p.node for p in alloc.placements),
        start=start,
        is_array=job.is_array,
        chunk=_first_chunk(entry, alloc) if alloc.slot else None,
        argv=spec.argv,
        cwd=spec.cwd,
        umask=spec.umask,
        name=spec.name,
        output=spec.output,
        error=spec.error,
        input=spec.input,
        time_limit=alloc.time_limit,
        warn_signal=spec.warn_signal,
        warn_before=spec.warn_before,
        grace=spec.grace,
        rlimits=spec.rlimits,
        stdio=spec.stdio,
        streams=spec.streams,
        stdin=spec.stdin,
        detach=spec.detach,
        programs=programs_of(s, spec),
    )
    s.send(node, order, (spec.env, spec.script, spec.items))


def _first_chunk(entry: Entry, alloc: Allocation) -> Chunk:
    """Return all that a slot holds, its first element at the head."""
    rest = RangeSet(list(alloc.chunk))
    head = ((alloc.element, alloc.element),) if alloc.element in rest else ()
    rest.discard(alloc.element)
    return chunk_of(entry, (*head, *rest.spans), last=entry.slots[alloc.id].last)


def on_made(s: State, now: float, node: str, row: Made) -> None:
    """A node holds the context; when all do, whoever waits is told, and the tasks start."""
    alloc = s.allocations.get(row.alloc)
    if alloc is None or node not in alloc.nodes or node in alloc.made:
        return  # late or repeated: a report is sent until it is acknowledged
    if is_joining(s.jobs[alloc.job], alloc, node):
        return  # it starts by itself, and that is told next
    alloc = _made_on(s, now, alloc, node)
    if alloc.made == alloc.nodes and alloc.state is AllocationState.GRANTED and not alloc.cause:
        alloc = replace(alloc, state=AllocationState.READY)
        note_ready(s, now, alloc)
        for name in sorted(alloc.nodes):
            s.send(name, StartTasks(alloc.id))
    s.put(alloc)
    settle(s, now, s.jobs[alloc.job])


def _made_on(s: State, now: float, alloc: Allocation, node: str) -> Allocation:
    """Return the allocation with the node among those that hold its context."""
    if node not in alloc.made and _is_told(s, alloc):
        _note(s, now, "context/created", alloc, f"{node} holds context {alloc.id}", node)
    return replace(alloc, made=alloc.made | {node})


def note_ready(s: State, now: float, alloc: Allocation) -> None:
    """Record the moment of the reply: what was asked for can be used."""
    if _is_told(s, alloc):
        names = ", ".join(p.node for p in alloc.placements)
        user = s.jobs[alloc.job].job.user
        _note(s, now, "allocation/ready", alloc, f"{user} has what was asked for, on {names}")


def _is_told(s: State, alloc: Allocation) -> bool:
    """Say whether its contexts are recorded; those of single elements are too many for that."""
    return len(alloc.placements) > 1 or not s.jobs[alloc.job].job.is_array


def _note(
    s: State, now: float, kind: str, alloc: Allocation, text: str, node: str | None = None
) -> None:
    element = alloc.element if s.jobs[alloc.job].job.is_array else None
    s.note(now, kind, text, job=alloc.job, element=element, allocation=alloc.id, node=node)


def on_started(s: State, now: float, node: str, row: Started) -> None:
    """The tasks of one share run."""
    alloc = s.allocations.get(row.alloc)
    if alloc is None or node not in alloc.nodes:
        return
    if alloc.started:
        if is_joining(s.jobs[alloc.job], alloc, node):
            s.put(_made_on(s, now, alloc, node))
        return
    alloc = _made_on(s, now, alloc, node)
    if alloc.state is AllocationState.GRANTED:
        alloc = replace(alloc, state=AllocationState.READY)
        note_ready(s, now, alloc)
    alloc = replace(alloc, started=True, started_at=row.at)
    entry = s.jobs[alloc.job]
    entry.failures.pop(alloc.element, None)
    if s.nodes[node].fault:
        s.nodes[node].fault = ""
        s.marks.nodes.add(node)
    s.nodes[node].faults = 0
    if alloc.slot:
        alloc = replace(alloc, since=row.at)
    else:
        record = replace(entry.touched[alloc.element], state=JobState.RUNNING, started_at=row.at)
        entry.touched[alloc.element] = record
    s.put(alloc)
    before = entry.job
    entry.job = with_start(before, row.at)
    settle(s, now, entry, saved=before)
    if is_step(alloc.job):
        s.alloc_news.add(within(alloc.job))  # its allocation can stand still now


def on_ended(s: State, now: float, node: str, row: Ended) -> None:
    """Nothing is left of an allocation on one node; with the last node the element ends."""
    alloc = s.allocations.get(row.alloc)
    if alloc is None or node not in alloc.nodes or node in alloc.freed:
        return
    row = sensible_end(node, row)
    if row.cause == NODE_FAULT:
        _fault(s, now, s.nodes[node], alloc.job, row.why)
    if _could_not(alloc, row):
        _note(s, now, "context/failed", alloc, f"{node}: {row.why}", node)
    if row.drain:
        drain(s, now, s.nodes[node], row.drain)
    if is_apart(s.jobs[alloc.job], alloc, row, node):
        _one_less(s, now, alloc, node, row)
        return
    starts = [at for at in (alloc.started_at, row.started_at) if at is not None]
    alloc = replace(
        alloc,
        freed=alloc.freed | {node},
        started=bool(starts),
        started_at=min(starts, default=None),
        tasks=alloc.tasks + row.tasks,
        usage=alloc.usage + row.usage,
        end_cause=alloc.end_cause or row.cause,
        end_why=alloc.end_why or row.why,
    )
    if alloc.freed == alloc.nodes:
        _finish(s, now, alloc, row)
        return
    failed = row.cause or row.started_at is None
    if failed and alloc.state is not AllocationState.RELEASING:
        cause = row.cause if row.cause not in ("", NODE_FAULT) else UNDONE
        alloc = release(s, alloc, cause, row.why)
        settle(s, now, s.jobs[alloc.job])
    else:
        s.put(alloc)


def _one_less(s: State, now: float, alloc: Allocation, node: str, row: Ended) -> None:
    """Let the others go on without this node, whose tasks were ended for that or never began."""
    entry = s.jobs[alloc.job]
    why = f"its tasks on {node} were ended" if node in alloc.leaving else f"{node}: {row.why}"
    alloc = replace(alloc, usage=alloc.usage + row.usage)
    alloc = give_back(s, now, entry, alloc, (node,), why, forget=True)
    if alloc.freed == alloc.nodes:
        _finish(s, now, alloc, row)
        return
    tell(s, s.put(alloc))
    moved.resized(s, entry, alloc)
    settle(s, now, entry)


def _could_not(alloc: Allocation, row: Ended) -> bool:
    """Say whether this is the first word that a node could not make its share of one element."""
    untouched = not (alloc.slot or alloc.started or alloc.cause)
    return untouched and row.started_at is None and row.cause in ("", NODE_FAULT)


def _fault(s: State, now: float, node: NodeEntry, job: int, why: str) -> None:
    """Let a node be that could not start anything, a full disk say; try again ever more seldom."""
    node.fault = why
    node.try_at = now + min(FAULT_PAUSE_MOST, 2.0**node.faults)
    node.faults += 1
    s.marks.nodes.add(node.node.name)
    s.wake(node.try_at, job)


def release(
    s: State, alloc: Allocation, cause: str, why: str, grace: int = -1, *, way: int = 0
) -> Allocation:
    """Order the end of all shares that are left; the CPUs stay taken until nodes say they are.

    grace: seconds from SIGTERM to SIGKILL; -1: as the job asks. way: the job to which it gives way.
    """
    grace = s.jobs[alloc.job].job.spec.grace if grace < 0 else grace
    for node in () if s.jobs[alloc.job].job.holds else sorted(alloc.nodes - alloc.freed):
        s.send(node, EndShare(alloc.id, cause, why, grace))
    return s.put(
        replace(
            alloc,
            state=AllocationState.RELEASING,
            cause=cause,
            why=why,
            resuming=False,
            gave_way_to=way,
        )
    )


def end_for_good(s: State, alloc: Allocation, why: str) -> None:
    """Order the end of what somebody cancels: also of what was to be undone or to run again."""
    if alloc.cause != Result.CANCELLED or alloc.gave_way_to:  # of a slot, only what ran
        release(s, alloc, Result.CANCELLED, why)


def _finish(s: State, now: float, alloc: Allocation, row: Ended) -> None:
    entry = s.jobs[alloc.job]
    free(s, now, entry, alloc)
    give_up(s, entry, "it has ended")
    before, why = entry.job, ""
    if alloc.slot:
        slot_over(s, now, entry, alloc, row)
        alloc = replace(alloc, chunk=(), running=-1)
    else:
        why = element_over(s, now, entry, alloc, row.at)
        if is_step(alloc.job):
            _count_step(s, alloc)
    s.put(replace(alloc, state=AllocationState.RELEASED))
    del entry.slots[alloc.id]
    over = entry.job.is_array and not entry.unfinished
    settle(s, now, entry, why="" if over else why, saved=before)
    if alloc.job in s.dependents and alloc.job in s.jobs:
        tell_dependents(s, now, alloc.job)


def _count_step(s: State, step: Allocation) -> None:
    """Add what a step used to what its allocation did, which has no tasks of its own."""
    holder = s.jobs.get(within(step.job))
    for number in holder.slots if holder else ():
        alloc = s.allocations[number]
        s.put(replace(alloc, usage=alloc.usage + replace(step.usage, suspended=0.0)))


def free(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """Give back what an allocation held; nothing of it is left anywhere."""
    step = is_step(alloc.job)
    holds = alloc.suspended_at is None and not step
    for place in alloc.placements:
        node = s.nodes[place.node]
        if not step:
            node.books.give(place, cpus=holds)
            s.marks.nodes.add(place.node)
        node.allocations.discard(alloc.id)
        node.guests.discard(alloc.id)
    if holds:
        s.used(now, entry.job, alloc)
    if not step:
        count_licences(s, entry, -1)
