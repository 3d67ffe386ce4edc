"""What a partition has room for when some of what runs gives back what it holds, one by one.

How much fits on a node depends on what is gone there and on nothing else, so whoever goes or stays
after all costs a look at its own nodes, and the question whether a job fits then costs none: it is
answered by how many nodes have room for how many of its tasks.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from math import inf

from ostler.schedule import licences
from ostler.schedule.fit import allowed, seats
from ostler.schedule.head import Head
from ostler.schedule.planner import Planner
from ostler.schedule.pledges import Pledge
from ostler.schedule.preempt import Running
from ostler.schedule.room import Room, lowest, mask_of
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import ALONE, CPUS, GPUS, MEMORY, NAMED, WHOLE, Counts, Shape, Table

Extra = dict[int, Counts]  # row -> how much more is free there
Gone = dict[int, Running]  # by allocation


class After:
    """Room for one element of a shape. Nobody is gone at first."""

    def __init__(
        self,
        planner: Planner,
        shape: Shape,
        entry: WaitingView,
        before: Collection[Head],
        pledges: Iterable[Pledge],
    ) -> None:
        """Begin with what is free. before: promises to those before the entry in the queue."""
        self._planner, self._shape = planner, shape
        self._views = planner.picture.running
        self._rooms = planner.rooms(shape.partition)
        self._at = {room.node: number for number, room in enumerate(self._rooms)}
        self._ok = [allowed(room.node, room.features, shape.request) for room in self._rooms]
        known = {head.job for head in before}
        self._late = [head for head in planner.late_heads(entry) if head.job in known]
        self._left = planner.licences_left() if shape.request.licences else {}
        self._pledged: defaultdict[int, list[tuple[Pledge, int]]] = defaultdict(list)
        for pledge in (pledge for pledge in pledges if pledge.job != entry.job):
            licences.change(self._left, pledge.request.licences, -1)
            for node, tasks in pledge.seats:
                if (number := self._at.get(node)) is not None:
                    self._pledged[number].append((pledge, tasks))
        self._waited_for = planner.picture.resumes.kept()
        self._gone: Gone = {}
        self._on: defaultdict[int, Gone] = defaultdict(dict)  # the same, by node
        self._capacity = [0] * len(self._rooms)  # tasks
        self._nodes = Counter({0: len(self._rooms)})  # tasks -> nodes with room for so many
        self._total = 0
        for number in range(len(self._rooms)):
            self._count(number)

    @property
    def useful(self) -> frozenset[str]:
        """Return the nodes that the job may use."""
        return frozenset(room.node for room, ok in zip(self._rooms, self._ok, strict=True) if ok)

    def give(self, each: Running) -> None:
        """Let an allocation go, in the way its partition says."""
        self._gone[each.alloc] = each
        self._change(each, 1)

    def keep(self, each: Running) -> None:
        """Let it stay after all."""
        del self._gone[each.alloc]
        self._change(each, -1)

    def _change(self, each: Running, sign: int) -> None:
        view = self._views[each.alloc]
        if self._left and not self._stays(each):
            licences.change(self._left, view.licences, sign)
        for node in each.nodes:
            if (number := self._at.get(node)) is not None:
                if sign > 0:
                    self._on[number][each.alloc] = each
                else:
                    del self._on[number][each.alloc]
                self._count(number)

    def fits(self) -> bool:
        """Say whether one element has room, and its licences."""
        request = self._shape.request
        if request.licences and licences.lacking(request, self._left):
            return False
        if self._total < request.tasks:
            return False
        if self._shape.grouped:
            return bool(self.seats())
        return not request.nodes or self._has_nodes(request.nodes, request.tasks)

    def _has_nodes(self, nodes: int, tasks: int) -> bool:
        """Say whether so many nodes have room for all of the tasks, and each for one at least."""
        if tasks < nodes:
            return False
        for room in sorted(self._nodes, reverse=True):
            count = min(self._nodes[room], nodes) if room else 0
            nodes, tasks = nodes - count, tasks - count * room
        return nodes == 0 and tasks <= 0

    def seats(self) -> tuple[tuple[str, int], ...]:
        """Return on which nodes how many tasks go; empty: they do not all fit."""
        rooms = self._rooms
        chosen = seats([self._room(n) for n in range(len(rooms))], self._shape.request)
        return tuple((rooms[number].node, tasks) for number, tasks in chosen or ())

    def later(self) -> dict[int, Extra]:
        """Return what comes free by them that a promised start does not count on, by its job."""
        table = self._planner.table
        return {
            head.job: {
                table.rows[self._rooms[number].node]: extra
                for number in self._on
                if (extra := self._extra(number, head)) is not None
            }
            for head in self._late
        }

    # -- one node ---------------------------------------------------------------------------------

    def _count(self, number: int) -> None:
        """Count anew how many tasks fit on a node."""
        request, old = self._shape.request, self._capacity[number]
        new = self._room(number).capacity(request) if self._ok[number] else 0
        if new != old:
            self._capacity[number] = new
            self._total += new - old
            self._nodes[old] -= 1
            if not self._nodes[old]:
                del self._nodes[old]
            self._nodes[new] += 1

    def _room(self, number: int) -> Room:
        """Return what is free on a node, beside what is kept and promised; not to be changed."""
        gone = self._on.get(number)
        room = self._rooms[number] if not gone else self._with(number, gone.values())
        if number in self._pledged:
            room = room.copy()
            for pledge, tasks in self._pledged[number]:
                room.remove(room.place(pledge.request, tasks, 0))
        row = self._planner.table.rows[room.node] if self._late else -1
        for head in self._late:
            if (after := head.after.get(row)) is not None:
                if (extra := self._extra(number, head)) is not None:
                    after = list(map(sum, zip(after, extra, strict=True)))
                room = _capped(self._planner.table, room, after)
        return room

    def _with(self, number: int, gone: Iterable[Running]) -> Room:
        """Return the room when these are gone, which have something there."""
        table, room = self._planner.table, self._rooms[number].copy()
        node, gone = room.node, list(gone)
        waited_for = self._waited_for
        if any(each.stands for each in gone):
            waited_for = self._planner.picture.resumes.kept(
                {each.alloc for each in self._gone.values() if each.stands}
            )
        for each in gone:
            for place in self._views[each.alloc].placements:
                if place.node == node:
                    mask = mask_of(place.cpus) & ~waited_for.get(node, 0)
                    if each.stands or each.suspended:  # others may run there
                        mask &= table.cpus[table.rows[node]]
                    if self._stays(each):
                        room.cpus |= mask
                    else:
                        room.give(mask, place)
        return room

    def _extra(self, number: int, head: Head) -> Counts | None:
        """Return how much more is free there at a promised start; None: no more."""
        holds = self._planner.table.holds
        beyond = [
            each
            for each in self._on.get(number, {}).values()
            if not each.leaving
            and (hold := holds.get(each.alloc)) is not None
            and (hold.at > head.shadow or hold.at == inf)
        ]
        if not beyond:
            return None
        return _more(self._planner.table, self._rooms[number], self._with(number, beyond))

    def _stays(self, each: Running) -> bool:
        """Say whether it gives up nothing but its CPUs."""
        its = self._planner.picture.rules.of(each.partition).preemption
        return not each.leaving and (each.stands or its is Preemption.SUSPEND)


def _more(table: Table, old: Room, room: Room) -> Counts:
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
