"""Suspension: an allocation stands still on all of its nodes at once, and goes on so.

Who suspended it decides who lets it go on: its owner what the owner suspended, an administrator
what an administrator did; what a scheduler suspended goes on by itself, on the very same CPUs.
What a client holds is suspended by its steps: they stand still with it, and go on with it.
"""

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.moves import settle
from ostler.core.slots import drain, feed
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.foreign import Option
from ostler.model.orders import ResumeShare, StartTasks, SuspendShare
from ostler.model.states import AllocationState, JobState, Suspender


def can_halt(s: State, entry: Entry, alloc: Allocation) -> bool:
    """Say whether a scheduler may suspend it: its tasks run, and every node of it would hear."""
    return (
        alloc.state is AllocationState.READY
        and alloc.started
        and not entry.job.spec.within
        and all(_hears(s, node) for node in alloc.nodes - alloc.freed)
        and not (entry.job.holds and unsteady(s, entry))
    )


def unsteady(s: State, entry: Entry) -> list[int]:
    """Return the steps of an allocation that cannot stand still: they are being started, or ended."""
    return [
        number
        for number in sorted(s.steps.get(entry.job.id, ()))
        if any(not (a := s.allocations[part]).started or a.cause for part in s.jobs[number].slots)
    ]


def halted_holder(s: State, entry: Entry) -> int:
    """Return the allocation of a step if it stands still; else 0."""
    holder = s.jobs.get(entry.job.spec.within)
    halted = holder is not None and holder.job.state is JobState.SUSPENDED
    return entry.job.spec.within if halted else 0


def steps_follow(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """Let the steps of an allocation stand still as it does, or go on as it does."""
    halted = alloc.state is AllocationState.SUSPENDED
    for number in sorted(s.steps.get(entry.job.id, ())):
        step = s.jobs[number]
        for part in [s.allocations[each] for each in sorted(step.slots)]:
            if halted and part.state is AllocationState.READY and part.started:
                freeze(s, now, step, part, Suspender.ALLOCATION)
                settle(s, now, step, why="its allocation stands still")
            elif not halted and part.suspended_by is Suspender.ALLOCATION and not part.cause:
                thaw(s, now, step, part)
    s.marks.allocations.add(alloc.id)  # whether it can stand still depends on its steps


def _hears(s: State, name: str) -> bool:
    node = s.nodes[name]
    if not node.node.rm:
        return node.connected
    rm = s.rms.get(node.node.rm)
    return rm is not None and node.connected and rm.can(Option.SUSPEND) and rm.can(Option.RESUME)


def freeze(
    s: State,
    now: float,
    entry: Entry,
    alloc: Allocation,
    by: Suspender,
    *,
    job: int = 0,
    drains: bool = True,
) -> None:
    """Let its tasks stand still on all nodes: it keeps them and memory, and gives up its CPUs.

    job: for which it gives way. drains: elements of an array that wait behind it run elsewhere. The
    caller settles the job.
    """
    for place in alloc.placements:
        if not entry.job.spec.within:  # a step's CPUs stay with its allocation
            s.nodes[place.node].books.give_cpus(place)
            s.marks.nodes.add(place.node)
        if not entry.job.holds:
            s.send(place.node, SuspendShare(alloc.id))
    if not entry.job.spec.within:
        s.used(now, entry.job, alloc)
    frozen = replace(
        alloc,
        state=AllocationState.SUSPENDED,
        suspended_at=now,
        suspended_by=by,
        resuming=by is Suspender.SCHEDULER,
        gave_way_to=job,
    )
    if alloc.slot and drains:
        drain(s, entry, frozen)
    else:
        s.put(frozen)
    if not alloc.slot:
        record = replace(entry.touched[alloc.element], state=JobState.SUSPENDED)
        entry.touched[alloc.element] = record
    if entry.job.holds:  # at once: whoever gets the CPUs is told to start behind that
        steps_follow(s, now, entry, frozen)


def thaw(s: State, now: float, entry: Entry, alloc: Allocation) -> None:
    """Let a suspended allocation go on; its CPUs are free."""
    for place in alloc.placements:
        if not entry.job.spec.within:
            s.nodes[place.node].books.take_cpus(place)
            s.marks.nodes.add(place.node)
        if place.node in alloc.freed or entry.job.holds:
            continue
        s.send(place.node, ResumeShare(alloc.id))
        if len(alloc.nodes) > 1:  # it may have been suspended before it could be told to start
            s.send(place.node, StartTasks(alloc.id))
    if not entry.job.spec.within:
        s.uses(now, entry.job, alloc)
    paused = now - (alloc.suspended_at if alloc.suspended_at is not None else now)
    alloc = s.put(
        replace(
            alloc,
            state=AllocationState.READY,
            suspended_at=None,
            suspended_by=None,
            suspended=alloc.suspended + paused,
            resuming=False,
            gave_way_to=0,
        )
    )
    if alloc.slot and not alloc.chunk:  # all that it held ended unheard of, before it stood still
        feed(s, now, entry, alloc)
    elif not alloc.slot:
        record = replace(entry.touched[alloc.element], state=JobState.RUNNING)
        entry.touched[alloc.element] = record
    settle(s, now, entry)
