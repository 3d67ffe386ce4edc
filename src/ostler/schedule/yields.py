"""Which slots of arrays must end, because what they hold would be given to others by now.

A slot takes element after element without a plan for each. That is right as long as its job would
get the CPUs again; it is not when somebody ahead of the job waits for room.
"""

from collections.abc import Iterable
from math import inf

from ostler.model.states import Rule
from ostler.schedule.fit import allowed
from ostler.schedule.order import queue_order
from ostler.schedule.resumes import Resumes
from ostler.schedule.room import mask_of
from ostler.schedule.snapshot import RunningView, Snapshot, Wait, WaitingView


def yields(snapshot: Snapshot, waits: dict[int, Wait], resumes: Resumes) -> frozenset[int]:
    """Return the allocations that are to take no more elements.

    waits: why entries wait, by job. Cost: one look at the entries that are ahead of some slot's
    job, each at the slots that are left.
    """
    slots = [view for view in snapshot.running if view.goes_on is not None]
    if not slots:
        return frozenset()
    found = {view.alloc for view in slots if _is_wanted_back(view, resumes)}
    left = sorted((v for v in slots if v.alloc not in found), key=_last_first)
    for entry in _ahead(snapshot.waiting, left):
        wait = waits.get(entry.job)
        if wait is not None and wait.rule in (Rule.RESOURCES, Rule.LIMIT):
            given = _for(entry, wait, left)
            found |= {view.alloc for view in given}
            left = [view for view in left if view.alloc not in found]
            if not left:
                break
    return frozenset(found)


def _is_wanted_back(view: RunningView, resumes: Resumes) -> bool:
    """Say whether a suspended allocation waits for CPUs of this slot."""
    return any(mask_of(p.cpus) & resumes.withheld.get(p.node, 0) for p in view.placements)


def _last_first(view: RunningView) -> tuple[bool, int, float, int]:
    """Return the order in which slots are given up: those that end anyhow, then the least urgent."""
    rank = view.goes_on
    if rank is None:
        return (False, 0, 0.0, 0)
    return (not view.draining, rank.priority, -rank.submitted_at, -view.alloc)


def _ahead(waiting: Iterable[WaitingView], slots: list[RunningView]) -> list[WaitingView]:
    """Return the entries that come before the job of at least one slot, in order."""
    ranks = [view.goes_on for view in slots if view.goes_on is not None]
    if not ranks:
        return []
    last = min((rank.priority, -rank.submitted_at) for rank in ranks)
    ready = [
        entry
        for entry in waiting
        if entry.blocked is None and (entry.priority, -entry.submitted_at) >= last
    ]
    return queue_order(ready)


def _for(entry: WaitingView, wait: Wait, slots: list[RunningView]) -> list[RunningView]:
    """Return the slots that make room for an entry: as many as it needs, where that can be told."""
    request = entry.request
    behind = [
        view
        for view in slots
        if view.job != entry.job
        and _comes_after(view, entry)
        and (wait.rule is not Rule.LIMIT or view.user == entry.user)
        and all(allowed(place.node, request) for place in view.placements)
    ]
    plain = request.cpus == 1 and not (request.nodes or request.memory or request.gpus)
    need = entry.elements * request.tasks if plain and not request.generic else inf
    given: list[RunningView] = []
    for view in behind:
        if need <= 0:
            break
        given.append(view)
        need -= sum(len(place.cpus) for place in view.placements)
    return given


def _comes_after(view: RunningView, entry: WaitingView) -> bool:
    rank = view.goes_on
    if rank is None or rank.partition != entry.partition:
        return False
    return (entry.priority, -entry.submitted_at, -entry.job) > (
        rank.priority,
        -rank.submitted_at,
        -view.job,
    )
