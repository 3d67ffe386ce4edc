"""The table of a machine of few nodes: plain lists, nothing to import, no work before it is asked."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from math import inf

from ostler.schedule.choose import Seats, choose
from ostler.schedule.head import Head
from ostler.schedule.snapshot import NodeView
from ostler.schedule.table import WHOLE, Counts, Hold, Shape, Table


class _Kept:
    """What is known of a shape until a row changes."""

    __slots__ = ("caps", "changes", "groups", "rows", "seats", "states")

    def __init__(self) -> None:
        self.states = -1  # when the rows were found
        self.rows: list[int] = []  # that may be given to it
        self.groups: dict[int, int] = {}
        self.changes = -1  # when the seats were found
        self.seats: Seats | None = None


class ListTable(Table):
    """Counts row by row. A shape is looked at when it is asked for, and once for each change."""

    def __init__(self, views: Iterable[NodeView]) -> None:
        super().__init__(views)
        self._free = [
            self._counts(cpus, view, WHOLE)
            for view, cpus in zip(self.views, self.cpus, strict=True)
        ]
        self._ends: list[tuple[float, int]] = []  # planned ends, in order
        self._changes = 0  # how often a row has changed
        self._states = 0  # how often a node's state has

    def free(self, row: int) -> Counts:
        """Return what is free there now; the caller may change the list."""
        return self._free[row].copy()

    def set_free(self, changed: dict[int, Counts]) -> None:
        """Take note of what is free on these rows."""
        self._changes += 1
        for row, counts in changed.items():
            self._free[row] = counts

    def fits(self, shape: Shape) -> bool:
        """Say whether one element fits now."""
        return self.seats(shape) is not None

    def seats(self, shape: Shape, head: Head | None = None) -> Seats | None:
        """Return where one element goes now; beside what is promised to the head, if given."""
        kept = self._kept(shape)
        if head is None:
            if kept.changes != self._changes:
                kept.seats = self._seats(shape, kept, self._free)
                kept.changes = self._changes
            return kept.seats
        free = self._free.copy()
        for row, after in head.after.items():
            free[row] = [min(pair) for pair in zip(free[row], after, strict=True)]
        return self._seats(shape, kept, free)

    def caps(self, shape: Shape) -> list[int]:
        """Return how many tasks have room now, by row."""
        found = [0] * len(self.views)
        for row in self._kept(shape).rows:
            found[row] = capacity(shape, self._free[row])
        return found

    def idle_seats(self, shape: Shape, *, usable: bool) -> Seats | None:
        """Return where one element goes if nothing runs, on usable nodes or all configured ones."""
        kept = _Kept()
        kept.groups = self.members(shape)
        whole = [self.whole(view.facts) for view in self.views]
        kept.rows = [row for row in range(len(whole)) if self.eligible(row, shape, idle=not usable)]
        return self._seats(shape, kept, whole)

    def earliest(
        self,
        shape: Shape,
        now: float,
        hint: float = inf,  # noqa: ARG002  the ends are gone through in order
        start: float = -inf,
    ) -> tuple[float, Seats, dict[int, Counts]] | None:
        """Return when one element fits as allocations end, where, and what is free there then."""
        kept = self._kept(shape)
        free = self._free.copy()
        caps = {row: capacity(shape, free[row]) for row in kept.rows}
        total, mine, at = sum(caps.values()), set(kept.rows), 0
        first = now < start < inf  # whether to look at the start, though nothing may end then
        while start < inf and (first or at < len(self._ends)):
            end, news, first = start if first else max(self._ends[at][0], now), first, False
            while at < len(self._ends) and self._ends[at][0] <= end:
                for row, counts in self.holds[self._ends[at][1]].parts:
                    if row in mine:
                        free[row] = [a + b for a, b in zip(free[row], counts, strict=True)]
                        more = capacity(shape, free[row])
                        news = news or more > caps[row]
                        total += more - caps[row]
                        caps[row] = more
                at += 1
            if news and total >= shape.request.tasks:
                seats = self._seats(shape, kept, free)
                if seats is not None:
                    return end, seats, {row: free[row].copy() for row, _ in seats}
        whole = [self.whole(view.facts) for view in self.views]
        seats = self._seats(shape, kept, whole)
        return None if seats is None else (inf, seats, {row: whole[row] for row, _ in seats})

    def next_end(self, after: float) -> float:
        """Return the first planned end later than this; inf if there is none."""
        at = bisect_right(self._ends, after, key=lambda end: end[0])
        return self._ends[at][0] if at < len(self._ends) else inf

    def copy(self) -> "ListTable":
        """Return another that may be changed on its own."""
        other = ListTable.__new__(ListTable)
        self.copy_into(other)
        return other

    def _kept(self, shape: Shape) -> _Kept:
        kept = shape.kept
        if not isinstance(kept, _Kept):
            kept = shape.kept = _Kept()
        if kept.states != self._states:
            kept.rows = [row for row in range(len(self.views)) if self.eligible(row, shape)]
            kept.groups = self.members(shape)
            kept.states, kept.changes = self._states, -1
        return kept

    def _seats(self, shape: Shape, kept: _Kept, free: list[Counts]) -> Seats | None:
        found = [(tasks, row) for row in kept.rows if (tasks := capacity(shape, free[row]))]
        return choose(found, shape.request, kept.groups)

    def _other_state(self, row: int) -> None:  # noqa: ARG002  every shape looks at all rows anew
        self._states += 1

    def _came(self, number: int, hold: Hold) -> None:
        if hold.at < inf:
            insort(self._ends, (hold.at, number))

    def _left(self, number: int, at: float) -> None:
        if at < inf:
            del self._ends[bisect_left(self._ends, (at, number))]


def capacity(shape: Shape, counts: Counts) -> int:
    """Return how many tasks have room there."""
    tasks = shape.most
    for column, need in shape.needs:
        most = counts[column] // need
        tasks = min(tasks, most)
    return max(tasks, 0)
