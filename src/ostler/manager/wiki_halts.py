"""What a WIKI scheduler may suspend and let go on, as lines of a plan.

What people have suspended is theirs: Maui takes anything suspended for something that it should let
go on, and would undo what they did.
"""

from ostler.core.halts import can_halt
from ostler.core.state import State
from ostler.manager.wiki_say import SCHEDULER, is_limited
from ostler.model.allocation import Allocation
from ostler.model.errors import Refused
from ostler.model.ids import Ref
from ostler.model.states import AllocationState, Suspender
from ostler.schedule.snapshot import Line, Resume, Suspend


def halting(s: State, ref: Ref) -> list[Line]:
    """Return what suspends a job that runs; nothing if it is so already. Raises `Refused`."""
    lines: list[Line] = []
    for alloc in _allocations(s, ref):
        if alloc.state is AllocationState.SUSPENDED:
            continue
        if alloc.cause or not can_halt(s, s.jobs[alloc.job], alloc):
            raise Refused(f"job {ref} cannot stand still now: it is {alloc.state}")
        lines.append(Suspend(alloc.id))
    return lines


def going_on(s: State, ref: Ref) -> list[Line]:
    """Return what lets a job go on; nothing if it runs. Raises `Refused`."""
    lines: list[Line] = []
    for alloc in _allocations(s, ref):
        if alloc.state is not AllocationState.SUSPENDED:
            continue
        if alloc.suspended_by is not Suspender.SCHEDULER and not alloc.resuming:
            raise Refused(f"job {ref} was suspended by its {alloc.suspended_by}, who lets it go on")
        if not _has_room(s, alloc):
            raise Refused(f"the CPUs of job {ref} are not free, or a limit is reached")
        lines.append(Resume(alloc.id))
    return lines


def due(s: State) -> list[Line]:
    """Return what lets go on what people have resumed, and has its CPUs free: nobody else would."""
    return [
        Resume(number)
        for number in sorted(s.resuming)
        if (alloc := s.allocations[number]).state is AllocationState.SUSPENDED
        and alloc.suspended_by is not Suspender.SCHEDULER
        and s.parts.planner_of(s.site, s.jobs[alloc.job].job.spec.partition) == SCHEDULER
        and _has_room(s, alloc)
    ]


def _allocations(s: State, ref: Ref) -> list[Allocation]:
    """Return what a job, or one element, has; raise `Refused` if that is nothing."""
    entry = s.jobs.get(ref.job)
    numbers = sorted(entry.slots) if entry is not None else []
    if entry is not None and ref.elements:
        index = ref.elements[0][0]
        numbers = [entry.live[index]] if index in entry.live else []
    if not numbers:
        raise Refused(f"nothing of job {ref} runs")
    return [s.allocations[number] for number in numbers]


def _has_room(s: State, alloc: Allocation) -> bool:
    if is_limited(s, s.jobs[alloc.job].job, s.cpus_of(alloc)):
        return False
    return all(s.nodes[p.node].books.cpus.issuperset(p.cpus) for p in alloc.placements)
