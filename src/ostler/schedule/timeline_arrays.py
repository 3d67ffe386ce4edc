"""The timeline of a machine of many nodes: all rows in arrays, with the same answers.

Each row has as many slots as any has steps. What a shape and duration found out is kept for all
rows, and worked out again only for the rows that changed since. NumPy is imported with this module.
"""

from math import inf, nextafter

import numpy as np
from numpy.typing import NDArray

from ostler.schedule.choose import Seats
from ostler.schedule.choose_arrays import tasks_in
from ostler.schedule.table import Counts, Shape
from ostler.schedule.table_arrays import ArrayTable
from ostler.schedule.timeline import Timeline

_MOST = 1 << 30

Ints = NDArray[np.int64]
Caps = NDArray[np.int32]
Times = NDArray[np.float64]

_FEW = 3  # steps of a row on which little runs
_SPARE = 4  # slots beyond those that are used at first


class _Kept:
    """What was found out about a shape and duration."""

    __slots__ = ("at_once", "changes", "first", "ok", "shape")

    def __init__(self, shape: Shape, ok: NDArray[np.bool_]) -> None:
        self.shape = shape  # by whose identity this is known
        self.ok = ok  # rows that it may be given
        self.first: Times = np.full(len(ok), inf)  # when one task can start at the earliest
        self.at_once: Caps = np.zeros(len(ok), np.int32)  # tasks that can start now
        self.changes = 0  # of the timeline's changed rows, so many have been looked at


class ArrayTimeline(Timeline):
    """See `Timeline`. Counts have the column first, then the row, then the slot."""

    def __init__(self, table: ArrayTable, now: float) -> None:
        """Read from the table what is free, and what its allocations give back when."""
        super().__init__(table, now)
        self._arrays = table
        where, ends, gives = table.ends()
        ends = np.maximum(ends, nextafter(now, inf))  # overdue: it is still there
        order = np.argsort(where, kind="stable")
        where, ends, gives = where[order], ends[order], gives[:, order]
        new = np.ones(len(where), np.bool_)
        new[1:] = (where[1:] != where[:-1]) | (ends[1:] != ends[:-1])
        starts = np.flatnonzero(new)
        rows, times = where[starts], ends[starts]
        if len(starts):
            gives = np.add.reduceat(gives, starts, axis=1)
        free, whole = table.columns()
        size = free.shape[1]
        self._used: Ints = np.bincount(rows, minlength=size) + 1  # slots
        slot = np.arange(len(rows)) - np.searchsorted(rows, rows) + 1
        slots = int(self._used.max(initial=1)) + _SPARE
        self._times: Times = np.full((size, slots), inf)
        self._times[:, 0] = now
        self._times[rows, slot] = times
        self._counts: Ints = np.zeros((*free.shape, slots), np.int64)
        self._counts[:, :, 0] = free
        self._counts[:, rows, slot] = gives
        np.cumsum(self._counts, axis=2, out=self._counts)
        self._last: Ints = whole.copy()
        self._kept: dict[tuple[int, float], _Kept] = {}
        self._changed: list[int] = []  # rows, in the order in which they changed

    def earliest(self, shape: Shape, duration: float) -> tuple[float, Seats] | None:
        """Return when one element can start at the earliest, and where; None: it never can."""
        kept = self._look(shape, duration)
        start = float(kept.first.min(initial=inf))
        if start <= self.now:
            seats = self._arrays.choose(shape, kept.at_once)
            if seats is not None:
                return self.now, seats
        if start < inf:
            seats = self._seats(shape, kept, start, duration)
            if seats is not None:
                return start, seats
            found = self._several(shape, kept, duration, start)
            if found is not None:
                return found
        seats = self._seats(shape, kept, inf, inf)
        return None if seats is None else (inf, seats)

    def at_once(self, shape: Shape, duration: float) -> Seats | None:
        """Return where one element can start now and stay for its duration."""
        return self._arrays.choose(shape, self._look(shape, duration).at_once)

    def changes(self, shape: Shape, duration: float, start: float) -> list[float]:
        rows = self._look(shape, duration).ok
        times = np.unique(self._times[rows])
        found: list[float] = times[(times > start) & (times < inf)].tolist()
        return found

    def changes_of(self, seats: Seats, start: float) -> list[float]:
        times = np.unique(self._times[[row for row, _ in seats]])
        found: list[float] = times[(times > start) & (times < inf)].tolist()
        return found

    def _later(self, shape: Shape, duration: float, start: float) -> tuple[float, Seats] | None:
        return self._several(shape, self._look(shape, duration), duration, start)

    def _seats_from(self, shape: Shape, duration: float, start: float) -> Seats | None:
        return self._seats(shape, self._look(shape, duration), start, duration)

    def _window(self, row: int, shape: Shape, start: float, end: float) -> int:
        found = self._windows(shape, np.array([row]), start, end)
        return int(found[0])

    def _change(self, row: int, start: float, end: float, amounts: Counts, sign: int) -> None:
        self._changed.append(row)
        column = sign * np.array(amounts, np.int64)
        if start < inf:
            first = self._split(row, start)
            stop = self._split(row, end) if end < inf else self._times.shape[1]
            self._counts[:, row, first:stop] += column[:, None]
        if end == inf:
            self._last[:, row] += column

    def _split(self, row: int, time: float) -> int:
        used = int(self._used[row])
        at = int(np.searchsorted(self._times[row, :used], time))
        if at < used and self._times[row, at] == time:
            return at
        if used == self._times.shape[1]:
            self._grow()
        self._times[row, at + 1 : used + 1] = self._times[row, at:used]
        self._times[row, at] = time
        counts = self._counts[:, row]
        counts[:, at + 1 :] = counts[:, at:-1].copy()
        counts[:, at] = counts[:, at - 1]
        self._used[row] = used + 1
        return at

    def _grow(self) -> None:
        more = self._times.shape[1]
        self._times = np.pad(self._times, ((0, 0), (0, more)), constant_values=inf)
        self._counts = np.pad(self._counts, ((0, 0), (0, 0), (0, more)), mode="edge")

    # -- looking ----------------------------------------------------------------------------------

    def _look(self, shape: Shape, duration: float) -> _Kept:
        """Return what is known, for all rows as they are now."""
        key = id(shape), duration
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(shape, self._arrays.rows_for(shape))
            rows = np.flatnonzero(kept.ok)
        elif kept.changes < len(self._changed):
            rows = np.unique(self._changed[kept.changes :])
            rows = rows[kept.ok[rows]]
        else:
            return kept
        kept.changes = len(self._changed)
        used = self._used[rows]
        for some in (rows[used <= _FEW], rows[used > _FEW]):  # most rows have few steps
            if len(some):
                kept.first[some], kept.at_once[some] = self._search(shape, duration, some)
        return kept

    def _search(self, shape: Shape, duration: float, rows: Ints) -> tuple[Times, Ints]:
        """Return for each row when one task can start at the earliest, and how many can now."""
        slots = int(self._used[rows].max())
        times = self._times[rows, :slots]
        caps = tasks_in(shape, self._counts[:, rows, :slots])
        full = caps == 0
        blocked = np.where(full, times, inf)  # when it is next full, from each slot on
        blocked = np.minimum.accumulate(blocked[:, ::-1], axis=1)[:, ::-1]
        fits = ~full & (blocked >= times + duration)
        found: Times = np.where(fits, times, inf).min(axis=1)
        at_once = np.where(times < self.now + duration, caps, _MOST).min(axis=1)
        if duration == inf:
            last = tasks_in(shape, self._last[:, rows])
            found[last == 0] = inf
            at_once = np.minimum(at_once, last)
        return found, np.minimum(at_once, _MOST)

    def _windows(self, shape: Shape, rows: Ints, start: float, end: float) -> Caps:
        """Return for each row how many tasks have room from a time up to another."""
        few = self._used[rows] <= _FEW
        if start < inf and few.any() and not few.all():
            both = np.zeros(len(rows), np.int32)
            both[few] = self._windows(shape, rows[few], start, end)
            both[~few] = self._windows(shape, rows[~few], start, end)
            return both
        found = np.full(len(rows), shape.most, np.int64)
        if end == inf:
            np.minimum(found, tasks_in(shape, self._last[:, rows]), out=found)
        if start < inf:
            slots = int(self._used[rows].max(initial=1))
            times = self._times[rows, :slots]
            caps = tasks_in(shape, self._counts[:, rows, :slots])
            inside = times < end
            inside[:, :-1] &= times[:, 1:] > start
            inside[:, -1] &= True
            caps[~inside] = shape.most
            np.minimum(found, caps.min(axis=1), out=found)
        return np.minimum(found, _MOST).astype(np.int32)

    def _seats(self, shape: Shape, kept: _Kept, start: float, duration: float) -> Seats | None:
        rows = np.flatnonzero(kept.ok if start == inf else kept.first <= start)
        caps = np.zeros(len(kept.ok), np.int32)
        caps[rows] = self._windows(shape, rows, start, start + duration)
        return self._arrays.choose(shape, caps)

    def _several(
        self, shape: Shape, kept: _Kept, duration: float, start: float
    ) -> tuple[float, Seats] | None:
        """Walk the times at which room grows; look closely where enough is free at all."""
        rows = np.flatnonzero(kept.first < inf)
        slots = int(self._used[rows].max(initial=1))
        times = self._times[rows, :slots].ravel()
        caps = np.minimum(tasks_in(shape, self._counts[:, rows, :slots]), shape.request.tasks)
        steps = np.diff(caps, axis=1, prepend=0).ravel()
        some = (steps != 0) & (times < inf)
        times, steps = times[some], steps[some]
        if not len(times):
            return None
        order = np.argsort(times, kind="stable")
        times, steps = times[order], steps[order]
        last = np.flatnonzero(np.append(times[1:] != times[:-1], True))
        total = np.cumsum(steps)[last]
        more = np.add.reduceat(np.maximum(steps, 0), np.append(0, last[:-1] + 1)) > 0
        for time in times[last[more & (total >= shape.request.tasks)]].tolist():
            if time > start:
                seats = self._seats(shape, kept, time, duration)
                if seats is not None:
                    return time, seats
        return None
