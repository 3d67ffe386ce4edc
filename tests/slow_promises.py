"""Promised starts, found by trying every moment: `reserved-K` and `conservative` by the definitions.

An element is promised the first moment from which on its tasks have room for as long as it may
take, beside what runs until its planned end and beside all that is promised to others. After all
moments there is one that nobody can tell, inf: then nothing runs that runs now, and what was
promised for then, or has no limit and was planned in this pass, is there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, nextafter

from ostler.schedule.snapshot import WaitingView
from tests.slow_machine import Machine
from tests.slow_seats import Rooms, Seats, asked_of, change, copy_of, less_of

Promise = tuple[float, Seats]
FIRST = 500  # elements of a partition that conservative promises a start to


@dataclass
class Hold:
    """What an element takes from its start to its end."""

    start: float
    end: float
    takes: Rooms


class SlowPromises:
    """Those of one partition."""

    def __init__(self, machine: Machine, partition: str, most: int | None) -> None:
        self.machine = machine
        self.now = machine.now
        self.rooms = copy_of(machine.rooms.get(partition, {}))
        self.whole = machine.whole.get(partition, {})
        soon = nextafter(machine.now, inf)  # what is overdue is still there
        self.ends = [(max(end.at, soon), end.gives) for end in machine.ends]
        self.holds: list[Hold] = []
        self.keeps = most is None
        self.most = FIRST if most is None else most
        self.kept: dict[int, list[Promise]] = {}

    @property
    def full(self) -> bool:
        """Say whether no more is promised."""
        return sum(map(len, self.kept.values())) >= self.most

    def free_at(self, time: float) -> Rooms:
        """Return what is free at a moment."""
        rooms = copy_of(self.whole if time == inf else self.rooms)
        if time < inf:
            for at, gives in self.ends:
                if at <= time:
                    for name in gives.keys() & rooms.keys():
                        change(rooms[name], gives[name], +1)
        for hold in self.holds:
            if (hold.start <= time < hold.end) or (time == inf == hold.end):
                for name in hold.takes.keys() & rooms.keys():
                    change(rooms[name], hold.takes[name], -1)
        return rooms

    def moments(self) -> list[float]:
        """Return all times at which anything changes."""
        times = {at for at, _ in self.ends}
        times |= {time for hold in self.holds for time in (hold.start, hold.end)}
        return sorted(time for time in times if time > self.now)

    def room(self, start: float, duration: float) -> Rooms:
        """Return what is free from a moment on for so long."""
        rooms = self.free_at(start)
        for time in (*self.moments(), inf):
            if start < time < start + duration or (time == inf == start + duration):
                rooms = less_of(rooms, self.free_at(time))
        return rooms

    def earliest(self, entry: WaitingView, after: float) -> Promise | None:
        """Return the first moment from then on, and the places."""
        for time in (after, *(time for time in self.moments() if time > after), inf):
            found = self.machine.seats(self.room(time, entry.duration), entry.request)
            if found is not None:
                return time, found
        return None

    def take(self, entry: WaitingView, promise: Promise) -> Hold:
        """Plan it."""
        start, places = promise
        takes = self.machine.takes(entry.request, places)
        hold = Hold(start, start + entry.duration, takes)
        self.holds.append(hold)
        return hold

    def keep(
        self, before: dict[int, list[Promise]], queue: Iterable[WaitingView], *, freed: bool
    ) -> None:
        """Keep what was promised, later where that must be; earlier if room has come back."""
        planned: list[tuple[float, int, WaitingView, Seats]] = [
            (max(start, self.now), rank, entry, places)
            for rank, entry in enumerate(queue)
            for start, places in before.get(entry.job, [])[: entry.elements]
        ]
        held = []
        for start, rank, entry, places in sorted(planned, key=lambda one: one[:2]):
            found: Promise | None = (start, places)
            if not self._has_room(entry, start, places):
                found = self.earliest(entry, start)
            if found is not None:
                held.append((rank, entry, found, self.take(entry, found)))
        for _, entry, (start, places), hold in sorted(held, key=lambda one: (one[0], one[2][0])):
            kept = start, places
            if freed and start > self.now:
                self.holds.remove(hold)
                again = self.earliest(entry, self.now)
                if again is not None and again[0] < start:
                    kept = again
                self.take(entry, kept)
            self.kept.setdefault(entry.job, []).append(kept)
            self.kept[entry.job].sort(key=lambda promise: promise[0])

    def _has_room(self, entry: WaitingView, start: float, places: Seats) -> bool:
        rooms = self.room(start, entry.duration)
        return all(
            name in rooms
            and all(
                count <= rooms[name].get(kind, 0)
                for kind, count in asked_of(entry.request, tasks).items()
            )
            for name, tasks in places
        )

    def void(self, entry: WaitingView) -> None:
        """Forget what was promised for now."""
        while (places := self.due(entry)) is not None:
            takes = self.machine.takes(entry.request, places)
            self.holds.remove(Hold(self.now, self.now + entry.duration, takes))

    def due(self, entry: WaitingView) -> Seats | None:
        """Return the places of an element that was promised to start by now."""
        kept = self.kept.get(entry.job, [])
        return kept.pop(0)[1] if kept and kept[0][0] <= self.now else None

    def newcomer(self, entry: WaitingView) -> Promise | None:
        """Return the start of an element to which nothing is promised; None: it gets no promise."""
        found = self.earliest(entry, self.now)
        return None if found is None or (self.full and found[0] > self.now) else found

    def plan(self, entry: WaitingView, found: Promise) -> None:
        """Take it, and keep it if it is a promise."""
        self.take(entry, found)
        if found[0] > self.now:
            kept = self.kept.setdefault(entry.job, [])
            kept.append(found)
            kept.sort(key=lambda promise: promise[0])
