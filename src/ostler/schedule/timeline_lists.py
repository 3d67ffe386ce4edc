"""The timeline of a machine of few nodes: lists, row by row."""

from bisect import bisect_right
from math import inf, nextafter

from ostler.schedule.choose import Found, Seats, choose
from ostler.schedule.table import Counts, Shape, Table
from ostler.schedule.table_lists import capacity
from ostler.schedule.timeline import Timeline
from ostler.schedule.use import Steps


class _Row(Steps[Counts]):
    """The step function of one row."""

    __slots__ = ("changes", "last")

    def __init__(self, now: float, free: Counts, last: Counts) -> None:
        self.times = [now]
        self.counts = [free]
        self.last = last  # at inf
        self.changes = 0

    def change(self, start: float, end: float, amounts: Counts, sign: int) -> None:
        """Give (1) or take (-1) something from a time up to another, which inf is beyond."""
        self.changes += 1
        if start == inf:
            return
        for at in self.between(start, end):
            self.counts[at] = _sum(self.counts[at], amounts, sign)

    def change_last(self, amounts: Counts, sign: int) -> None:
        """Give or take something at inf."""
        self.changes += 1
        self.last = _sum(self.last, amounts, sign)

    def window(self, shape: Shape, start: float, end: float) -> int:
        """Return how many tasks have room from a time up to another."""
        tasks = capacity(shape, self.last) if end == inf else shape.most
        if start < inf:
            at = max(bisect_right(self.times, start) - 1, 0)
            while tasks and at < len(self.times) and self.times[at] < end:
                tasks = min(tasks, capacity(shape, self.counts[at]))
                at += 1
        return tasks


class _Found:
    """What was found out about one row, for a shape and duration."""

    __slots__ = ("at_once", "caps", "changes", "first")

    def __init__(self) -> None:
        self.changes = -1
        self.caps: list[int] = []  # tasks that have room, step by step
        self.at_once = 0  # tasks that have room from now on for the duration
        self.first = inf  # the first time at which one task has


class _Kept:
    """What was found out about a shape and duration."""

    __slots__ = ("found", "groups", "rows", "shape")

    def __init__(self, shape: Shape, rows: list[int], groups: dict[int, int]) -> None:
        self.shape = shape  # by whose identity this is known
        self.rows = rows
        self.groups = groups
        self.found = [_Found() for _ in rows]


class ListTimeline(Timeline):
    """See `Timeline`."""

    def __init__(self, table: Table, now: float) -> None:
        """Read from the table what is free, and what its allocations give back when."""
        super().__init__(table, now)
        self._rows = [
            _Row(now, table.free(row), table.whole(view.facts))
            for row, view in enumerate(table.views)
        ]
        self._kept: dict[tuple[int, float], _Kept] = {}
        for hold in table.holds.values():
            if hold.at < inf:
                at = max(hold.at, nextafter(now, inf))  # overdue: it is still there
                for row, counts in hold.parts:
                    self._rows[row].change(at, inf, counts, 1)

    def earliest(self, shape: Shape, duration: float) -> tuple[float, Seats] | None:
        """Return when one element can start at the earliest, and where; None: it never can."""
        kept = self._look(shape, duration)
        found = self._single(shape, kept, duration)
        if found is None and not shape.single:
            found = self._several(shape, kept, duration, -inf)
        if found is None:
            seats = self._seats(shape, kept, inf, inf)
            found = None if seats is None else (inf, seats)
        return found

    def at_once(self, shape: Shape, duration: float) -> Seats | None:
        """Return where one element can start now and stay for its duration."""
        kept = self._look(shape, duration)
        found = [
            (f.at_once, row) for row, f in zip(kept.rows, kept.found, strict=True) if f.at_once
        ]
        return choose(found, shape.request, kept.groups) if found else None

    def changes(self, shape: Shape, duration: float, start: float) -> list[float]:
        rows = self._look(shape, duration).rows
        return sorted({time for row in rows for time in self._rows[row].times if time > start})

    def changes_of(self, seats: Seats, start: float) -> list[float]:
        return sorted({time for row, _ in seats for time in self._rows[row].times if time > start})

    def _seats_from(self, shape: Shape, duration: float, start: float) -> Seats | None:
        return self._seats(shape, self._look(shape, duration), start, start + duration)

    def _window(self, row: int, shape: Shape, start: float, end: float) -> int:
        return self._rows[row].window(shape, start, end)

    def _change(self, row: int, start: float, end: float, amounts: Counts, sign: int) -> None:
        self._rows[row].change(start, end, amounts, sign)
        if end == inf:
            self._rows[row].change_last(amounts, sign)

    def _look(self, shape: Shape, duration: float) -> _Kept:
        """Return what is known, for all rows as they are now."""
        key = id(shape), duration
        kept = self._kept.get(key)
        if kept is None:
            table = self._table
            rows = [row for row in range(len(table.views)) if table.eligible(row, shape)]
            kept = self._kept[key] = _Kept(shape, rows, table.members(shape))
        for at, row in enumerate(kept.rows):
            if kept.found[at].changes != self._rows[row].changes:
                self._search(self._rows[row], kept.found[at], shape, duration)
        return kept

    def _search(self, row: _Row, found: _Found, shape: Shape, duration: float) -> None:
        """Find when one task can start there at the earliest."""
        found.changes = row.changes
        caps = found.caps = [capacity(shape, counts) for counts in row.counts]
        times, steps = row.times, len(caps)
        found.at_once, found.first = 0, inf
        if duration == inf and not capacity(shape, row.last):
            return
        first = at = 0
        while first < steps:
            end = times[first] + duration
            while at < steps and times[at] < end and caps[at]:
                at += 1
            if at == steps or times[at] >= end:
                found.first = times[first]
                if not first:
                    found.at_once = row.window(shape, times[0], end)
                return
            first = at = at + 1

    def _single(self, shape: Shape, kept: _Kept, duration: float) -> tuple[float, Seats] | None:
        """Return the first time at which any task can start, if that is all there is to start."""
        at = min((found.first for found in kept.found), default=inf)
        if at == inf:
            return None
        seats = self._seats(shape, kept, at, at + duration)
        return None if seats is None else (at, seats)

    def _later(self, shape: Shape, duration: float, start: float) -> tuple[float, Seats] | None:
        return self._several(shape, self._look(shape, duration), duration, start)

    def _several(
        self, shape: Shape, kept: _Kept, duration: float, after: float
    ) -> tuple[float, Seats] | None:
        """Walk the times at which anything changes; look closely where enough is free at all."""
        news: list[tuple[float, int, int]] = []  # time, index in kept.rows, tasks from then on
        for at, found in enumerate(kept.found):
            if found.first < inf:
                times = self._rows[kept.rows[at]].times
                news += [(times[step], at, tasks) for step, tasks in enumerate(found.caps)]
        news.sort()
        tasks_on = [0] * len(kept.rows)
        total, step, request = 0, 0, shape.request
        while step < len(news):
            time, more = news[step][0], False
            while step < len(news) and news[step][0] == time:
                _, at, tasks = news[step]
                more = more or tasks > tasks_on[at]
                total += tasks - tasks_on[at]
                tasks_on[at] = tasks
                step += 1
            if more and time > after and total >= request.tasks:
                seats = self._seats(shape, kept, time, time + duration)
                if seats is not None:
                    return time, seats
        return None

    def _seats(self, shape: Shape, kept: _Kept, start: float, end: float) -> Seats | None:
        found: Found = []
        for at, row in enumerate(kept.rows):
            if kept.found[at].first <= start and (
                tasks := self._rows[row].window(shape, start, end)
            ):
                found.append((tasks, row))
        return choose(found, shape.request, kept.groups)


def _sum(counts: Counts, amounts: Counts, sign: int) -> Counts:
    return [have + sign * more for have, more in zip(counts, amounts, strict=True)]
