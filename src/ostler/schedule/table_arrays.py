"""The table of a machine of many nodes: arrays, with how often each shape fits on each node.

That matrix is kept up to date: a change of a few nodes is a few columns, worked out for all shapes
at once. NumPy is imported with this module, so small machines never load it.
"""

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ostler.schedule.choose import Seats, choose
from ostler.schedule.choose_arrays import candidates, capacity
from ostler.schedule.head import Head
from ostler.schedule.snapshot import NodeView
from ostler.schedule.table import WHOLE, Counts, Hold, Shape, Table

Ints = NDArray[np.int64]
Caps = NDArray[np.int32]  # tasks of a shape that have room, by row
Bools = NDArray[np.bool_]

_CELLS = 1 << 24  # of the matrix, at most: 64 MiB. Shapes beyond that are worked out when asked for
_FEW = 16  # shapes there is room for at first
_MANY = 16  # one row of so many has changed: then the matrix is made anew
_MOVES = 64  # planned ends of which the order is mended; of more it is made anew
_PARTS = 64  # the same for parts of allocations


class _Beside(NamedTuple):
    """What is left beside what is promised, as long as no row has changed."""

    changes: int
    rows: Ints
    room: Ints


class ArrayTable(Table):
    """Columns are the first index, so that one column of all nodes lies together."""

    def __init__(self, views: Iterable[NodeView]) -> None:
        super().__init__(views)
        size = len(self.views)
        free = [self._counts(c, v, WHOLE) for v, c in zip(self.views, self.cpus, strict=True)]
        self._free: Ints = np.array(free, np.int64).reshape(size, self.width).T.copy()
        whole = [self.whole(view.facts) for view in self.views]
        self._whole: Ints = np.array(whole, np.int64).reshape(size, self.width).T.copy()
        self._states: dict[object, int] = {}  # of a node as far as it decides who may use it
        self._kinds: dict[object, int] = {}  # features
        self._state: Ints = np.zeros(size, np.int64)
        self._kind: Ints = np.zeros(size, np.int64)
        for row in range(size):
            self._describe(row)
        self._changes = 0  # how often rows have
        self._stale: set[int] = set()  # rows that changed since the matrix was made
        self._slots: list[tuple[object, ...] | None] = []  # key of the shape that has it
        self._caps: Caps = np.zeros((_FEW, size), np.int32)
        self._ok: Bools = np.zeros((_FEW, size), np.bool_)
        self._need: Ints = np.zeros((self.width, _FEW), np.int64)
        self._most: Ints = np.zeros(_FEW, np.int64)
        self._total: Ints = np.zeros(_FEW, np.int64)  # tasks that have room
        self._some: Ints = np.zeros(_FEW, np.int64)  # nodes with room for any
        self._end: NDArray[np.float64] = np.full(_PARTS, inf)
        self._where: Ints = np.zeros(_PARTS, np.int64)
        self._gives: Ints = np.zeros((self.width, _PARTS), np.int64)
        self._parts: dict[int, list[int]] = {}  # allocation -> places in these arrays
        self._spare = list(range(_PARTS - 1, -1, -1))
        self._order: Ints = np.zeros(0, np.int64)  # places of planned ends, in order of time
        self._moved: set[int] = set()  # places that are not where they belong in that order

    # -- rows -----------------------------------------------------------------------------------

    def free(self, row: int) -> Counts:
        """Return what is free there now; the caller may change the list."""
        found: Counts = self._free[:, row].tolist()
        return found

    def set_free(self, changed: dict[int, Counts]) -> None:
        """Take note of what is free on these rows."""
        self._changes += 1
        for row, counts in changed.items():
            self._free[:, row] = counts
        self._stale.update(changed)

    def _other_state(self, row: int) -> None:
        self._whole[:, row] = self.whole(self.views[row].facts)
        self._describe(row)
        for shape in self.shapes.values():
            if shape.slot >= 0:
                self._ok[shape.slot, row] = self.eligible(row, shape)
            else:
                shape.kept = None
        self._stale.add(row)

    def _describe(self, row: int) -> None:
        view = self.views[row]
        state = view.partition, view.usable, view.gone
        self._state[row] = self._states.setdefault(state, len(self._states))
        self._kind[row] = self._kinds.setdefault(view.facts.features, len(self._kinds))

    # -- shapes -----------------------------------------------------------------------------------

    def fits(self, shape: Shape) -> bool:
        """Say whether one element fits now."""
        self._settle()
        if shape.slot < 0 or not (shape.single or _by_total(shape)):
            return self.seats(shape) is not None
        if shape.single:
            return bool(self._some[shape.slot])
        return bool(self._total[shape.slot] >= shape.request.tasks)

    def seats(self, shape: Shape, head: Head | None = None) -> Seats | None:
        """Return where one element goes now; beside what is promised to the head, if given."""
        caps = self._caps_of(shape)
        if head is not None:
            rows, room = self._beside(head)
            had = caps[rows]
            left = np.minimum(capacity(shape, room, had > 0), had)
            if shape.slot >= 0 and _by_total(shape):
                total = self._total[shape.slot] - (had - left).sum(dtype=np.int64)
                if total < shape.request.tasks:
                    return None
            caps = caps.copy()
            caps[rows] = left
        return self.choose(shape, caps)

    def caps(self, shape: Shape) -> list[int]:
        """Return how many tasks have room now, by row."""
        found: list[int] = self._caps_of(shape).tolist()
        return found

    def _beside(self, head: Head) -> tuple[Ints, Ints]:
        """Return the rows of what is promised, and what is free there now and beside it then."""
        known = head.kept
        if not isinstance(known, _Beside) or known.changes != self._changes:
            rows = np.fromiter(head.after, np.int64, len(head.after))
            after = np.array(list(head.after.values()), np.int64).T
            known = head.kept = _Beside(self._changes, rows, np.minimum(self._free[:, rows], after))
        return known.rows, known.room

    def idle_seats(self, shape: Shape, *, usable: bool) -> Seats | None:
        """Return where one element goes if nothing runs, on usable nodes or all configured ones."""
        caps = capacity(shape, self._whole, self.eligible_rows(shape, idle=not usable))
        return self.choose(shape, caps)

    def forget(self, known: tuple[object, ...]) -> None:
        """Do not keep this shape any more."""
        shape = self.shapes[known]
        if shape.slot >= 0:
            self._slots[shape.slot] = None
            shape.slot = -1
        super().forget(known)

    def _caps_of(self, shape: Shape) -> Caps:
        """Return how many tasks fit on each node; not to be changed."""
        self._settle()
        if shape.slot < 0 and not self._enter(shape):
            ok = shape.kept
            if not isinstance(ok, np.ndarray):
                ok = shape.kept = self.eligible_rows(shape)
            return capacity(shape, self._free, ok)
        caps: Caps = self._caps[shape.slot]
        return caps

    def _enter(self, shape: Shape) -> bool:
        """Give the shape a row of the matrix, if there is any for it."""
        if self.shapes.get(shape.known) is not shape:
            return False
        if None in self._slots:
            slot = self._slots.index(None)
        elif (len(self._slots) + 1) * len(self.views) > _CELLS:
            return False
        else:
            slot = len(self._slots)
            self._slots.append(None)
            self._grow(len(self._slots))
        self._slots[slot] = shape.known
        shape.slot, shape.kept = slot, None
        self._ok[slot] = self.eligible_rows(shape)
        self._need[:, slot] = 0
        for column, need in shape.needs:
            self._need[column, slot] = need
        self._most[slot] = shape.most
        self._caps[slot] = caps = capacity(shape, self._free, self._ok[slot])
        self._total[slot] = caps.sum(dtype=np.int64)
        self._some[slot] = np.count_nonzero(caps)
        return True

    def _grow(self, slots: int) -> None:
        if slots <= len(self._most):
            return
        more, size = len(self._most), len(self.views)
        self._caps = np.concatenate([self._caps, np.zeros((more, size), np.int32)])
        self._ok = np.concatenate([self._ok, np.zeros((more, size), np.bool_)])
        self._need = np.concatenate([self._need, np.zeros((self.width, more), np.int64)], axis=1)
        self._most = np.concatenate([self._most, np.zeros(more, np.int64)])
        self._total = np.concatenate([self._total, np.zeros(more, np.int64)])
        self._some = np.concatenate([self._some, np.zeros(more, np.int64)])

    def _settle(self) -> None:
        """Bring the columns of changed rows up to date, for all shapes at once."""
        if not self._stale:
            return
        rows = np.fromiter(self._stale, np.int64, len(self._stale))
        self._stale.clear()
        slots = len(self._slots)
        if len(rows) * _MANY > len(self.views):
            self._count_anew()
            return
        free = self._free[:, rows]
        found = np.repeat(self._most[:slots, None], len(rows), axis=1)
        for column in range(self.width):
            need = self._need[column, :slots]
            asking = np.flatnonzero(need)
            if len(asking):
                room = free[column][None, :] // need[asking][:, None]
                found[asking] = np.minimum(found[asking], room)
        np.maximum(found, 0, out=found)
        found *= self._ok[:slots, rows]
        old = self._caps[:slots, rows]
        self._total[:slots] += found.sum(axis=1) - old.sum(axis=1, dtype=np.int64)
        self._some[:slots] += np.count_nonzero(found, axis=1) - np.count_nonzero(old, axis=1)
        self._caps[:slots, rows] = found

    def _count_anew(self) -> None:
        for known in self._slots:
            if known is not None:
                slot = self.shapes[known].slot
                caps = capacity(self.shapes[known], self._free, self._ok[slot])
                self._caps[slot] = caps
                self._total[slot] = caps.sum(dtype=np.int64)
                self._some[slot] = np.count_nonzero(caps)

    def eligible_rows(self, shape: Shape, *, idle: bool = False) -> Bools:
        """Return which nodes may be given to it, as `eligible` says of each."""
        states = np.array(
            [
                state[0] == shape.partition and (not state[2] if idle else state[1])
                for state in self._states
                if isinstance(state, tuple)
            ],
            np.bool_,
        )
        found: Bools = states[self._state]
        if shape.constraint is not None:
            matches = shape.constraint.matches
            kinds = np.array([matches(k) for k in self._kinds if isinstance(k, tuple)], np.bool_)
            found &= kinds[self._kind]
        request = shape.request
        if request.nodelist:
            named = np.zeros(len(found), np.bool_)
            named[self._rows_of(request.nodelist)] = True
            found &= named
        if request.exclude:
            found[self._rows_of(request.exclude)] = False
        return found

    def _rows_of(self, names: Iterable[str]) -> list[int]:
        return [self.rows[name] for name in names if name in self.rows]

    def _is_possible(self, shape: Shape, caps: Caps) -> bool:
        if _by_total(shape):
            return bool(caps.sum(dtype=np.int64) >= shape.request.tasks)
        return self.choose(shape, caps) is not None

    def choose(self, shape: Shape, caps: Caps) -> Seats | None:
        """Return which nodes an element gets. caps: tasks that have room, by row."""
        if shape.single:
            # Zero becomes the largest number, so that the least that fits is the least of all.
            row = int((caps.view(np.uint32) - np.uint32(1)).argmin())
            return [(row, 1)] if caps[row] else None
        rows = np.flatnonzero(caps) if shape.grouped else candidates(caps, shape.request)
        if rows is None:
            return None
        found = list(zip(caps[rows].tolist(), rows.tolist(), strict=True))
        return choose(found, shape.request, self.members(shape))

    # -- planned ends -----------------------------------------------------------------------------

    def earliest(
        self, shape: Shape, now: float, hint: float = inf, start: float = -inf
    ) -> tuple[float, Seats, dict[int, Counts]] | None:
        """Return when one element fits as allocations end, where, and what is free there then.

        Room only grows as allocations end, so the time is found by halving, after a look at the
        one it may well be and the one before.
        """
        ok = self.eligible_rows(shape)
        order = self._in_order()
        order = order[ok[self._where[order]]]
        ends = np.maximum(self._end[order], max(now, start))
        last = np.flatnonzero(np.append(ends[1:] != ends[:-1], [True] * bool(len(ends)))) + 1
        times = ends[last - 1]
        if now < start < inf and start not in times[:1]:  # nothing ends by then
            times, last = np.insert(times, 0, start), np.insert(last, 0, 0)
        free, done, low, high = self._free, 0, 0, len(last) if start < inf else 0
        guess = int(np.searchsorted(times, hint)) if hint < inf else -1
        while low < high:
            middle = guess if low <= guess < high else (low + high) // 2
            guess -= 1
            then = self._after(free, order[done : last[middle]], shape)
            if self._is_possible(shape, capacity(shape, then, ok)):
                high = middle
            else:
                free, done, low = then, int(last[middle]), middle + 1
        if low == len(last) or start == inf:
            seats = self.choose(shape, capacity(shape, self._whole, ok))
            return None if seats is None else (inf, seats, _at(self._whole, seats))
        then = self._after(self._free, order[: last[low]])
        seats = self.choose(shape, capacity(shape, then, ok)) or []
        return float(times[low]), seats, _at(then, seats)

    def rows_for(self, shape: Shape) -> Bools:
        """Return which nodes may be given to the shape; not to be changed."""
        self._caps_of(shape)  # which has it remembered, if there is room for that
        return self._ok[shape.slot] if shape.slot >= 0 else self.eligible_rows(shape)

    def columns(self) -> tuple[Ints, Ints]:
        """Return what is free now and what there is, column by column; not to be changed."""
        return self._free, self._whole

    def ends(self) -> tuple[Ints, NDArray[np.float64], Ints]:
        """Return rows, times and amounts of all that has a planned end, in order of time."""
        order = self._in_order()
        return self._where[order], self._end[order], self._gives[:, order]

    def next_end(self, after: float) -> float:
        """Return the first planned end later than this; inf if there is none."""
        later = self._end[self._end > after]
        return float(later.min()) if len(later) else inf

    def copy(self) -> "ArrayTable":
        """Return another that may be changed on its own."""
        self._settle()
        other = ArrayTable.__new__(ArrayTable)
        self.copy_into(other)
        names = "free whole state kind caps ok need most total some end where gives order"
        for name in [f"_{one}" for one in names.split()]:
            setattr(other, name, getattr(self, name).copy())
        return other

    def _after(self, free: Ints, parts: Ints, shape: Shape | None = None) -> Ints:
        """Return what is free when these parts were given back; in what the shape asks for only."""
        then, where = free.copy(), self._where[parts]
        for column in [c for c, _ in shape.needs] if shape else range(self.width):
            more = np.bincount(where, self._gives[column, parts], then.shape[1])
            then[column] += more.astype(np.int64)
        return then

    def _in_order(self) -> Ints:
        moved = np.fromiter(self._moved, np.int64, len(self._moved))
        self._moved.clear()
        if len(moved) > _MOVES:
            finite = np.flatnonzero(self._end < inf)
            self._order = finite[np.argsort(self._end[finite])]
        elif len(moved):
            order = self._order[np.isin(self._order, moved, invert=True)]
            moved = moved[self._end[moved] < inf]
            moved = moved[np.argsort(self._end[moved])]
            at = np.searchsorted(self._end[order], self._end[moved])
            self._order = np.insert(order, at, moved)
        return self._order

    def _came(self, number: int, hold: Hold) -> None:
        if hold.at == inf:
            return
        places = self._parts[number] = []
        for row, counts in hold.parts:
            if not self._spare:
                self._more_parts()
            place = self._spare.pop()
            places.append(place)
            self._moved.add(place)
            self._end[place], self._where[place] = hold.at, row
            self._gives[:, place] = counts

    def _left(self, number: int, at: float) -> None:
        if at < inf:
            places = self._parts.pop(number)
            self._moved.update(places)
            self._end[places] = inf
            self._spare += places

    def _more_parts(self) -> None:
        size = len(self._end)
        self._end = np.concatenate([self._end, np.full(size, inf)])
        self._where = np.concatenate([self._where, np.zeros(size, np.int64)])
        self._gives = np.concatenate([self._gives, np.zeros((self.width, size), np.int64)], axis=1)
        self._spare = list(range(2 * size - 1, size - 1, -1))


def _by_total(shape: Shape) -> bool:
    """Say whether it fits wherever there is room for so many tasks together."""
    return not (shape.grouped or shape.request.nodes)


def _at(free: Ints, seats: Seats) -> dict[int, Counts]:
    return {row: free[:, row].tolist() for row, _ in seats}
