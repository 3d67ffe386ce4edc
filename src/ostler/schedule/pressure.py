"""Which running allocations of the picture give way to a job that waits: with room, with licences."""

from collections.abc import Collection, Iterable, Sequence
from math import inf

from msgspec import Struct

from ostler.model.resources import Request
from ostler.schedule import licences
from ostler.schedule.fit import allowed, seats
from ostler.schedule.head import Head
from ostler.schedule.planner import Planner
from ostler.schedule.pledges import Pledge
from ostler.schedule.preempt import (
    Needy,
    Running,
    can_give_way,
    line,
    may_preempt,
    outranks,
    preempt,
)
from ostler.schedule.priority import Key
from ostler.schedule.room import Room, lowest, mask_of
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import Preempt, RunningView, WaitingView
from ostler.schedule.table import ALONE, CPUS, GPUS, MEMORY, NAMED, WHOLE, Counts, Shape, Table

Extra = dict[int, Counts]  # row -> how much more is free there


class Way(Struct):
    """Who gives way to a job."""

    lines: list[Preempt]
    claimed: set[int]  # allocations that stand by already, and whose CPUs the job takes
    seats: tuple[tuple[str, int], ...] = ()  # node, tasks: where it starts then
    later: dict[int, Extra] = {}  # job -> what it leaves of that when a promised start is due


def gives_way(planner: Planner, entry: WaitingView, key: Key, pledges: Iterable[Pledge]) -> Way:
    """Return who is to give way so that the entry starts. Changes nothing.

    key: its place in the queue; the start that EASY promises to one before it is not delayed.
    pledges: room that is kept for others already.
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
    before = [head for head in planner.heads_of(entry.partition) if head.key < key]
    running = [each for each in running if not _comes_back(planner, each, entry, before)]
    rules, after = picture.rules, _After(planner, shape, entry, before, views, pledges)
    found = preempt(rules, needy, running, names, after.fits, planner.now)
    gone = [*(each for each in running if each.leaving), *found]
    return Way(
        [line(rules, each, entry.job) for each in found if not each.stands],
        {each.alloc for each in found if each.stands},
        after.seats_with(gone) if found else (),
        after.later(gone) if found else {},
    )


def weakest(planner: Planner) -> dict[str, int]:
    """Return the lowest priority of what may be preempted now, by the partition it runs in."""
    found: dict[str, int] = {}
    rules = planner.picture.rules
    for view in planner.picture.running.values():
        each = _running(planner, view, licensed=False)
        if can_give_way(rules, each, planner.now):
            least = found.get(each.partition, each.priority)
            found[each.partition] = min(least, each.priority)
    return found


def weaker(planner: Planner, entry: WaitingView) -> bool:
    """Say whether anything runs that has to give way to such a job, wherever that is."""
    needy = Needy(entry.job, entry.partition, entry.priority)
    rules = planner.picture.rules
    return any(outranks(rules, needy, *weak) for weak in weakest(planner).items())


def least_run_over(planner: Planner) -> float:
    """Return when the next allocation has run long enough to be preempted; inf if none is to."""
    return min(run_long_enough(planner), default=inf)


def run_long_enough(planner: Planner) -> list[float]:
    """Return when allocations will have run long enough to be preempted, in order."""
    times = set()
    for view in planner.picture.running.values():
        rules = planner.picture.rules.of(_partition(planner, view))
        if rules.preemption is not Preemption.OFF and rules.least_run:
            times.add(view.started_at + rules.least_run)
    return sorted(at for at in times if at > planner.now)


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


def _comes_back(
    planner: Planner, each: Running, entry: WaitingView, before: Collection[Head]
) -> bool:
    """Say whether it would go on behind the entry where a start is promised by then.

    Whoever is promised it may take the CPUs back if that is all it needs.
    """
    rules, hold = planner.picture.rules, planner.table.holds.get(each.alloc)
    stays = each.stands or rules.of(each.partition).preemption is Preemption.SUSPEND
    if not stays or each.leaving or hold is None:
        return False
    rows = {planner.table.rows.get(node) for node in each.nodes}
    for head in before:
        wants = head.view
        if rows.isdisjoint(head.after) or not hold.at <= head.shadow < hold.at + entry.duration:
            continue
        mine = Needy(wants.job, wants.partition, wants.priority)
        if not _only_cpus(wants.request) or not may_preempt(rules, mine, each, planner.now):
            return True
    return False


def _only_cpus(request: Request) -> bool:
    more = request.memory, request.gpus, request.exclusive, request.licences
    return not any(more) and not any(request.generic.values())


class _After:
    """What the partition has room for when some give back what they hold."""

    def __init__(
        self,
        planner: Planner,
        shape: Shape,
        entry: WaitingView,
        before: Collection[Head],
        views: dict[int, RunningView],
        pledges: Iterable[Pledge],
    ) -> None:
        """Begin with what is free. before: promises to those before the entry in the queue."""
        self._planner, self._shape, self._views = planner, shape, views
        self._rooms = planner.rooms(shape.partition)
        self._at = {room.node: number for number, room in enumerate(self._rooms)}
        known = {head.job for head in before}
        self._late = [head for head in planner.late_heads(entry) if head.job in known]
        self._pledges = [pledge for pledge in pledges if pledge.job != entry.job]
        self._free = planner.licences_left() if shape.request.licences else {}

    def fits(self, gone: Sequence[Running]) -> bool:
        """Say whether the entry fits when they are gone, each in the way its partition says."""
        return bool(self.seats_with(gone))

    def seats_with(self, gone: Sequence[Running]) -> tuple[tuple[str, int], ...]:
        """Return where its tasks go then; empty: it does not fit."""
        request, left = self._shape.request, self._free.copy()
        for each in gone if left else ():
            if not self._stays(each):
                licences.change(left, self._views[each.alloc].licences, 1)
        if request.licences and licences.lacking(request, left):
            return ()
        found, rooms = self._with(gone), self._rooms
        for pledge in self._pledges:
            for node, tasks in pledge.seats:
                if (number := self._at.get(node)) is not None:
                    found[number] = found[number].copy()
                    found[number].remove(found[number].place(pledge.request, tasks, 0))
        table, later = self._planner.table, self.later(gone)
        for head in self._late:
            for row, after in head.after.items():
                if (number := self._at.get(table.views[row].name)) is not None:
                    extra = later[head.job].get(row)
                    most = (
                        after if extra is None else list(map(sum, zip(after, extra, strict=True)))
                    )
                    found[number] = _capped(table, found[number], most)
        chosen = seats(found, request)
        return tuple((rooms[number].node, tasks) for number, tasks in chosen or ())

    def later(self, gone: Sequence[Running]) -> dict[int, Extra]:
        """Return what comes free by them that a promised start does not count on, by its job."""
        found: dict[int, Extra] = {}
        table = self._planner.table
        for head in self._late:
            held = {each.alloc: table.holds.get(each.alloc) for each in gone if not each.leaving}
            beyond = {
                alloc
                for alloc, hold in held.items()
                if hold and (hold.at > head.shadow or hold.at == inf)
            }
            rooms = self._with([each for each in gone if each.alloc in beyond])
            found[head.job] = {
                table.rows[room.node]: _extra(table, old, room)
                for old, room in zip(self._rooms, rooms, strict=True)
                if room is not old
            }
        return found

    def _stays(self, each: Running) -> bool:
        """Say whether it gives up nothing but its CPUs."""
        its = self._planner.picture.rules.of(each.partition).preemption
        return each.stands or (its is Preemption.SUSPEND and not each.leaving)

    def _with(self, gone: Sequence[Running]) -> list[Room]:
        """Return the rooms when these are gone; as they are where nothing changes."""
        table = self._planner.table
        rooms, found = self._rooms, self._rooms.copy()
        resumes = self._planner.picture.resumes
        kept = resumes.kept({each.alloc for each in gone if each.stands})
        for each in gone:
            for place in self._views[each.alloc].placements:
                number = self._at.get(place.node)
                if number is None:
                    continue
                if found[number] is rooms[number]:
                    found[number] = rooms[number].copy()
                mask = mask_of(place.cpus) & ~kept.get(place.node, 0)
                if each.stands:
                    found[number].cpus |= mask & table.cpus[table.rows[place.node]]
                elif self._stays(each):
                    found[number].cpus |= mask
                else:
                    found[number].give(mask, place)
        return found


def _extra(table: Table, old: Room, room: Room) -> Counts:
    """Return what a room has more than it had."""
    generic = [room.generic.get(name, 0) - old.generic.get(name, 0) for name in table.generic]
    return [
        room.cpus.bit_count() - old.cpus.bit_count(),
        room.memory - old.memory,
        room.gpus.bit_count() - old.gpus.bit_count(),
        (old.users - room.users) * WHOLE,
        *generic,
    ]


def _capped(table: Table, room: Room, most: Counts) -> Room:
    """Return a room of which no more may be used than that."""
    generic = dict(zip(table.generic, most[NAMED:], strict=True))
    return Room(
        room.node,
        lowest(room.cpus, max(most[CPUS], 0)),
        min(room.memory, most[MEMORY]),
        lowest(room.gpus, max(most[GPUS], 0)),
        {name: min(count, generic.get(name, 0)) for name, count in room.generic.items()},
        room.features,
        room.users if most[ALONE] >= WHOLE else max(room.users, 1),
    )
