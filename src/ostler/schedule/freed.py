"""What a partition has room for when some give back what they hold.

Sums are kept for each node that has any of it, so one more or one less that is gone costs a look at
its own nodes. How many tasks have room on all the others is known to the table.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from math import inf

from ostler.model.resources import Placement
from ostler.schedule import licences
from ostler.schedule.choose import Seats, choose
from ostler.schedule.head import Head
from ostler.schedule.planner import Planner
from ostler.schedule.pledges import Pledge
from ostler.schedule.preempt import Running
from ostler.schedule.room import Room, lowest, mask_of
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import ALONE, CPUS, GPUS, MEMORY, NAMED, WHOLE, Counts, Shape, Table

Extra = dict[int, Counts]  # row -> how much more is free there


class _Sum:
    """What comes free on a node by those that are gone."""

    def __init__(self) -> None:
        self.cpus = self.gpus = 0  # as bits; no two of those that run have the same
        self.memory = self.users = 0
        self.generic: Counter[str] = Counter()
        self.stood: dict[int, int] = {}  # CPUs of those that stood by, by allocation

    def change(self, each: Running, place: Placement, *, stays: bool, there: bool) -> None:
        """Let one be gone, or there again. stays: it keeps all but its CPUs."""
        if each.stands:
            if there:
                del self.stood[each.alloc]
            else:
                self.stood[each.alloc] = mask_of(place.cpus)
        elif not each.suspended:
            self.cpus ^= mask_of(place.cpus)
        if not stays:
            sign = -1 if there else 1
            self.gpus ^= mask_of(place.gpus)
            self.memory += sign * place.memory
            self.users += sign
            for name, count in place.generic.items():
                self.generic[name] += sign * count

    def room(self, room: Room, free: int, standby: dict[int, int]) -> Room:
        """Return the room with it.

        free: CPUs that nobody runs on. standby: those for which allocations stand by, that keep
        them while they are there.
        """
        kept = stood = 0
        for alloc, mask in standby.items():
            if alloc not in self.stood:
                kept |= mask
        for mask in self.stood.values():
            stood |= mask
        found = room.copy()
        found.cpus |= (self.cpus | stood & free) & ~kept
        found.gpus |= self.gpus
        found.memory += self.memory
        found.users -= self.users
        if self.generic:
            found.generic = {
                name: room.generic.get(name, 0) + self.generic[name]
                for name in {**room.generic, **self.generic}
            }
        return found


class Freed:
    """The room for an entry when some are gone, each in the way that its partition says."""

    def __init__(
        self,
        planner: Planner,
        shape: Shape,
        entry: WaitingView,
        before: Collection[Head],
        pledges: Iterable[Pledge],
    ) -> None:
        """Begin with what is free. before: promises to those before the entry in the queue.

        pledges: room that is kept for others. What leaves already is gone.
        """
        self._planner, self._shape, self._table = planner, shape, planner.table
        known = {head.job for head in before}
        self._late = [head for head in planner.late_heads(entry) if head.job in known]
        self._free = planner.licences_left() if shape.request.licences else {}
        self._members = self._table.members(shape)
        self._caps = self._table.caps(shape)  # tasks that have room, by row
        self._total, self._sizes = (
            sum(self._caps),
            Counter(self._caps if shape.request.nodes else ()),
        )
        self._rooms: dict[int, Room] = {}  # as they are, of rows that have been looked at
        self._sums: dict[int, _Sum] = {}
        self._beyond: dict[int, dict[int, _Sum]] = {head.job: {} for head in self._late}
        self._standby = _standby(planner)
        self._pledged: dict[int, list[tuple[Pledge, int]]] = {}
        for pledge in (pledge for pledge in pledges if pledge.job != entry.job):
            licences.change(self._free, pledge.request.licences, -1)
            for node, tasks in pledge.seats:
                if (row := self._table.rows.get(node, -1)) >= 0:
                    self._pledged.setdefault(row, []).append((pledge, tasks))
        self._stale = {*self._pledged, *(row for head in self._late for row in head.after)}
        for each in planner.picture.givers.leaving.values():
            self.give(each)

    def give(self, each: Running) -> None:
        """Let it be gone, too."""
        self._change(each, there=False)

    def keep(self, each: Running) -> None:
        """Let it be there again."""
        self._change(each, there=True)

    def _change(self, each: Running, *, there: bool) -> None:
        view, stays = self._planner.picture.running[each.alloc], self._stays(each)
        if self._free and not stays:
            licences.change(self._free, view.licences, -1 if there else 1)
        late = [head.job for head in self._late if self._is_beyond(each, head)]
        for place in view.placements:
            row = self._table.rows.get(place.node, -1)
            if row < 0:
                continue
            self._stale.add(row)
            for sums in (self._sums, *(self._beyond[job] for job in late)):
                if (found := sums.get(row)) is None:
                    found = sums[row] = _Sum()
                found.change(each, place, stays=stays, there=there)

    def fits(self) -> bool:
        """Say whether the entry fits now."""
        request = self._shape.request
        if request.licences and licences.lacking(request, self._free):
            return False
        self._settle()
        if self._total < request.tasks:
            return False
        if self._shape.grouped:
            return self._seats() is not None
        return not request.nodes or self._on(request.nodes) >= request.tasks >= request.nodes

    def seats(self) -> tuple[tuple[str, int], ...]:
        """Return where its tasks go now; it fits."""
        self._settle()
        return tuple((self._table.views[row].name, tasks) for row, tasks in self._seats() or ())

    def _seats(self) -> Seats | None:
        found = [(tasks, row) for row, tasks in enumerate(self._caps) if tasks]
        return choose(found, self._shape.request, self._members)

    def _on(self, nodes: int) -> int:
        """Return how many tasks have room on so many nodes; 0: there are no more with any."""
        found = 0
        for size in sorted(self._sizes, reverse=True):
            here = min(self._sizes[size], nodes) if size else 0
            found, nodes = found + here * size, nodes - here
        return 0 if nodes else found

    def _settle(self) -> None:
        for row in self._stale:
            old = self._caps[row]
            new = self._capacity(row)
            if new != old:
                self._caps[row] = new
                self._total += new - old
                self._sizes[old] -= 1
                self._sizes[new] += 1
        self._stale.clear()

    def _capacity(self, row: int) -> int:
        if not self._table.eligible(row, self._shape):
            return 0
        request, room = self._shape.request, self._room(row, self._sums)
        if (others := self._pledged.get(row)) is not None:
            room = room.copy()
            for pledge, tasks in others:
                room.remove(room.place(pledge.request, tasks, 0))
        for head in self._late:
            if (after := head.after.get(row)) is not None:
                more = self._extra(row, self._beyond[head.job])
                room = _capped(self._table, room, list(map(sum, zip(after, more, strict=True))))
        return room.capacity(request)

    def _room(self, row: int, sums: dict[int, _Sum]) -> Room:
        room, found = self._rooms.get(row), sums.get(row)
        if room is None:
            room = self._rooms[row] = self._table.room(row)
        if found is None:
            return room
        return found.room(room, self._table.cpus[row], self._standby.get(row, {}))

    def later(self) -> dict[int, Extra]:
        """Return what comes free by them that a promised start does not count on, by its job."""
        views, partition = self._table.views, self._shape.partition
        return {
            job: {
                row: self._extra(row, sums)
                for row in sums
                if views[row].usable and views[row].partition == partition
            }
            for job, sums in self._beyond.items()
        }

    def _extra(self, row: int, sums: dict[int, _Sum]) -> Counts:
        """Return what a node has more than now by some of those that are gone."""
        room, table = self._room(row, sums), self._table
        old = self._rooms[row]
        generic = [room.generic.get(name, 0) - old.generic.get(name, 0) for name in table.generic]
        return [
            room.cpus.bit_count() - old.cpus.bit_count(),
            room.memory - old.memory,
            room.gpus.bit_count() - old.gpus.bit_count(),
            (old.users - room.users) * WHOLE,
            *generic,
        ]

    def _is_beyond(self, each: Running, head: Head) -> bool:
        """Say whether what it holds is not counted on by a promised start."""
        hold = None if each.leaving else self._table.holds.get(each.alloc)
        return hold is not None and (hold.at > head.shadow or hold.at == inf)

    def _stays(self, each: Running) -> bool:
        """Say whether it gives up nothing but its CPUs."""
        its = self._planner.picture.rules.of(each.partition).preemption
        return not each.leaving and (each.stands or its is Preemption.SUSPEND)


def _standby(planner: Planner) -> dict[int, dict[int, int]]:
    """Return which CPUs are kept on each row, by the allocation that is to go on there."""
    found: dict[int, dict[int, int]] = {}
    for each in planner.picture.resumes.pending:
        for place in each.view.placements:
            if (row := planner.table.rows.get(place.node, -1)) >= 0:
                found.setdefault(row, {})[each.view.alloc] = mask_of(place.cpus)
    return found


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
