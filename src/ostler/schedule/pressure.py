"""Which running allocations of the picture give way to a job that waits: with room, with licences."""

from collections.abc import Sequence
from math import inf

from msgspec import Struct

from ostler.schedule import licences
from ostler.schedule.fit import allowed, seats
from ostler.schedule.planner import Planner
from ostler.schedule.preempt import Fits, Needy, Running, line, preempt
from ostler.schedule.room import mask_of
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import Preempt, RunningView, WaitingView
from ostler.schedule.table import Shape


class Way(Struct):
    """Who gives way to a job."""

    lines: list[Preempt]
    claimed: set[int]  # allocations that stand by already, and whose CPUs the job takes


def gives_way(planner: Planner, entry: WaitingView) -> Way:
    """Return who is to give way so that the entry starts. Changes nothing.

    Cost: a look at each running allocation of the machine, and where some may be preempted about
    log2 of them times a look at the nodes for each that is.
    """
    picture, shape = planner.picture, planner.shape(entry)
    wanted = entry.request.licences.keys()
    names = frozenset(
        room.node
        for room in planner.rooms(entry.partition)
        if allowed(room.node, room.features, shape.request)
    )
    views = {
        view.alloc: view
        for view in picture.running.values()
        if any(place.node in names for place in view.placements) or wanted & view.licences.keys()
    }
    needy = Needy(entry.job, entry.partition, entry.priority)
    running = [
        _running(planner, view, licensed=bool(wanted & view.licences.keys()))
        for view in views.values()
    ]
    rules = picture.rules
    found = preempt(rules, needy, running, names, _fits(planner, shape, views), planner.now)
    return Way(
        [line(rules, each, entry.job) for each in found if not each.stands],
        {each.alloc for each in found if each.stands},
    )


def least_run_over(planner: Planner) -> float:
    """Return when the next allocation has run long enough to be preempted; inf if none is to."""
    times = []
    for view in planner.picture.running.values():
        rules = planner.picture.rules.of(_partition(planner, view))
        if rules.preemption is not Preemption.OFF and rules.least_run:
            times.append(view.started_at + rules.least_run)
    return min((at for at in times if at > planner.now), default=inf)


def _partition(planner: Planner, view: RunningView) -> str:
    node = planner.picture.nodes.get(view.placements[0].node)
    return node.partition if node is not None else ""


def _running(planner: Planner, view: RunningView, *, licensed: bool) -> Running:
    stands = view.halted_at is not None
    return Running(
        view.alloc,
        _partition(planner, view),
        view.priority,
        view.started_at,
        frozenset(place.node for place in view.placements),
        view.again,
        view.suspended and not stands,
        view.leaving,
        view.halts,
        stands,
        licensed,
    )


def _fits(planner: Planner, shape: Shape, views: dict[int, RunningView]) -> Fits:
    """Return what says whether the entry fits when some give back what they hold."""
    table, resumes = planner.table, planner.picture.resumes
    rooms = planner.rooms(shape.partition)
    at = {room.node: number for number, room in enumerate(rooms)}
    rules, request = planner.picture.rules, shape.request
    free = planner.licences_left() if request.licences else {}

    def stays(each: Running) -> bool:
        """Say whether it gives up nothing but its CPUs."""
        its = rules.of(each.partition).preemption
        return each.stands or (its is Preemption.SUSPEND and not each.leaving)

    def fits(gone: Sequence[Running]) -> bool:
        left = free.copy()
        for each in gone if left else ():
            if not stays(each):
                licences.change(left, views[each.alloc].licences, 1)
        if request.licences and licences.lacking(request, left):
            return False
        found = rooms.copy()
        kept = resumes.kept({each.alloc for each in gone if each.stands})
        for each in gone:
            for place in views[each.alloc].placements:
                number = at.get(place.node)
                if number is None:
                    continue
                if found[number] is rooms[number]:
                    found[number] = rooms[number].copy()
                mask = mask_of(place.cpus) & ~kept.get(place.node, 0)
                if each.stands:
                    found[number].cpus |= mask & table.cpus[table.rows[place.node]]
                elif stays(each):
                    found[number].cpus |= mask
                else:
                    found[number].give(mask, place)
        return seats(found, request) is not None

    return fits
