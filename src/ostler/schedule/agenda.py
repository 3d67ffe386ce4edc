"""When one element can start at the earliest, beside all that runs and is promised.

On nodes with room for it, that are open to its user for all of its time, within all licences and
limits. Where no licence, limit or reservation is asked about, that is the timeline of the nodes.
"""

from math import inf
from typing import Protocol

from ostler.schedule.choose import Seats
from ostler.schedule.planner import Planner
from ostler.schedule.supplies import Ask, Supplies, asks_of
from ostler.schedule.table import Shape
from ostler.schedule.timeline import Timeline
from ostler.schedule.waits import Waits
from ostler.schedule.whole_nodes import within

_MOMENT = 1.0  # seconds by which work may begin or end late, with nothing amiss
_TRIES = 1_000  # times that are looked at for one start; behind them nobody can tell

Place = tuple[float, Seats]


class Nodes(Protocol):
    """When there is room on nodes."""

    def earliest(self, shape: Shape, duration: float) -> Place | None:
        """Return when one element can start at the earliest, and where; None: it never can."""

    def earliest_from(
        self, shape: Shape, duration: float, start: float, seats: Seats
    ) -> Place | None:
        """Return when it can start at this time or later."""

    def changes(self, shape: Shape, duration: float, start: float) -> list[float]:
        """Return times after the start at which anything may be otherwise; the first, at least."""


class Search:
    """Of one partition in one pass. The counts of licences and limits are all partitions'."""

    def __init__(self, planner: Planner, nodes: Nodes) -> None:
        self.now = planner.now
        self._planner = planner
        self._nodes = nodes
        self._calendar = planner.picture.calendar

    @property
    def _supplies(self) -> Supplies | None:
        return self._planner.supplies  # made when they are first asked for

    def earliest(self, entry: Waits) -> Place | None:
        """Return when one element can start at the earliest, and where; None: it never can.

        Time inf: the idle nodes have room beside what is promised then, but nobody can tell when.
        """
        return self._first(entry, self.now)

    def allowed(self, entry: Waits) -> float:
        """Return from when on its licences are there and its limits hold, wherever it goes."""
        asks = self._asks(entry, [])
        if not asks:
            return self.now
        return (
            inf if self._supplies is None else self._supplies.first(asks, self.now, entry.duration)
        )

    # -- one try after the other ------------------------------------------------------------------

    def _first(self, entry: Waits, after: float) -> Place | None:
        asks = self._asks(entry, [])
        if not asks and self._calendar is None:
            return self._from(entry.shape, entry.duration, after)
        supplies = self._supplies if asks else None
        if asks and supplies is None:  # a licence, and there are none at all
            return None
        time = after
        for _ in range(_TRIES):
            if supplies is not None:
                time = supplies.first(asks, time, entry.duration)
            if time == inf:
                break
            shape = self._shape(entry, time)
            found = self._from(shape, entry.duration, time)
            at = inf if found is None else found[0]
            if found is not None and at == time:
                seats, later = self._within(entry, shape, time, found[1])
                if seats is not None:
                    return time, seats
                at = min(later, self._change_after(shape, entry.duration, time))
            time = min(at, self._opens(entry, time))
        shape = entry.shape.open or entry.shape
        found = self._from(shape, entry.duration, inf)
        seats = None if found is None else self._within(entry, shape, inf, found[1])[0]
        return None if seats is None else (inf, seats)

    def _within(
        self, entry: Waits, shape: Shape, time: float, seats: Seats
    ) -> tuple[Seats | None, float]:
        """Return these seats or, of whole nodes, others that have room then, if limits allow them.

        Else when they do, though nothing changes until then: CPU-minutes come back.
        """
        later = inf

        def find(smaller: Shape) -> Seats | None:
            if smaller is shape:
                return seats
            found = self._from(smaller, entry.duration, time)
            return found[1] if found is not None and found[0] == time else None

        def allows(seats: Seats) -> bool:
            nonlocal later
            asks = self._asks(entry, seats)
            if self._is_there(asks, time, entry.duration):
                return True
            if self._supplies is not None and time < inf:
                later = min(later, self._supplies.first(asks, time, entry.duration))
            return False

        if entry.view.request.exclusive:
            return within(self._planner, shape, entry.view, find, allows), later
        return seats if allows(seats) else None, later

    def _from(self, shape: Shape, duration: float, time: float) -> Place | None:
        """Return when and where nodes have room, at a time or later."""
        if time <= self.now:
            return self._nodes.earliest(shape, duration)
        return self._nodes.earliest_from(shape, duration, time, [])

    def _shape(self, entry: Waits, time: float) -> Shape:
        """Return its shape on the nodes that are open to it from a time on."""
        if self._calendar is None or time == inf:
            return entry.shape
        return self._planner.shape(entry.view, time)

    def _opens(self, entry: Waits, time: float) -> float:
        """Return the next time at which it may have more nodes than it may have then."""
        calendar, view = self._calendar, entry.view
        if calendar is None:
            return inf
        key, own = calendar.key(view.user, view.project), view.request.reservation
        if own and (begin := calendar.begins(own, key, time)) > time:
            return begin
        shut = calendar.shut(key, time, entry.duration)
        return min((calendar.opens(n, key, time, entry.duration) for n in shut), default=inf)

    def _change_after(self, shape: Shape, duration: float, time: float) -> float:
        """Return when next anything may be otherwise: whole nodes may be other ones then."""
        later = inf if self._supplies is None else self._supplies.after(time)
        return min([*self._nodes.changes(shape, duration, time)[:1], later])

    # -- licences and limits ----------------------------------------------------------------------

    def _asks(self, entry: Waits, seats: Seats) -> list[Ask]:
        planner, view = self._planner, entry.view
        return asks_of(planner.picture, view, planner.cpus(view.request, seats))

    def _is_there(self, asks: list[Ask], start: float, duration: float) -> bool:
        if not asks:
            return True
        if self._supplies is None:
            return False
        if start == inf:
            return self._supplies.at_last(asks)
        return self._supplies.first(asks, start, duration) == start


class Agenda(Search):
    """A search over nodes on which starts are promised, and the promises."""

    def __init__(self, planner: Planner, timeline: Timeline) -> None:
        super().__init__(planner, timeline)
        self._timeline = timeline

    def earliest_from(self, entry: Waits, start: float, seats: Seats) -> Place | None:
        """Return when it can start at this time or later.

        On these seats, if they are free then or a moment later: on others, which may be free a bit
        earlier since something began late, it would be in the way of whom those were promised to.
        """
        asks, time = self._asks(entry, seats), start
        changes: list[float] | None = None
        while seats and (self._supplies is not None or not asks):
            at = time
            if asks and self._supplies is not None:
                at = self._supplies.first(asks, time, entry.duration)
            if at == time:
                shape = self._shape(entry, time)
                if self._timeline.is_free(shape, entry.duration, time, seats):
                    return time, seats
                if changes is None:
                    changes = self._timeline.changes_of(seats, start)
                at = next((change for change in changes if change > time), inf)
            if at >= start + _MOMENT:
                break
            time = at
        return self._first(entry, start)

    def at_once(self, entry: Waits) -> Seats | None:
        """Return where one element can start now and stay for its duration."""
        if not self._is_there(self._asks(entry, []), self.now, entry.duration):
            return None
        seats = self._timeline.at_once(entry.shape, entry.duration)
        return None if seats is None else self._within(entry, entry.shape, self.now, seats)[0]

    def add(self, entry: Waits, start: float, seats: Seats) -> None:
        """Take these seats from a time on."""
        self._timeline.add(entry.shape, entry.duration, start, seats)
        self._change(entry, start, seats, 1)

    def remove(self, entry: Waits, start: float, seats: Seats) -> None:
        """Give them back."""
        self._timeline.remove(entry.shape, entry.duration, start, seats)
        self._change(entry, start, seats, -1)

    def _change(self, entry: Waits, start: float, seats: Seats, sign: int) -> None:
        if self._supplies is not None and seats:
            cpus = self._planner.cpus(entry.view.request, seats)
            self._supplies.change(entry.view, cpus, start, entry.duration, sign)
