"""Promised starts, found by trying every moment: `reserved-K` and `conservative` by the definitions.

An element is promised the first moment from which on its tasks have room for as long as it may
take, beside what runs until its planned end and beside all that is promised to others. After all
moments there is one that nobody can tell, inf: then nothing runs that runs now, and what was
promised for then, or has no limit and was planned in this pass, is there.

The same holds for licences, and for the CPUs and CPU-minutes of a user, which are those of the whole
machine: all partitions' promises count. A node that is shut for a while takes nothing that would be there then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil, floor, inf, nextafter

from ostler.schedule.limits import Bucket
from ostler.schedule.snapshot import WaitingView
from tests.slow_machine import End, Machine, counts_in, passes, seconds, spent_by
from tests.slow_seats import Rooms, Seats, asked_of, change, copy_of, less_of

Promise = tuple[float, Seats]
FIRST = 500  # elements of a partition that conservative promises a start to


Window = tuple[str, float, float]  # node, shut from, until


@dataclass
class Hold:
    """What an element takes from its start to its end."""

    start: float
    end: float
    takes: Rooms
    user: str
    cpus: int
    licences: Mapping[str, int]
    duration: float
    project: str
    partition: str
    running: int = 1
    runs: bool = False  # it has begun in this pass: at inf it is thought gone, like all that runs

    def spends(self, time: float) -> int:
        """Return the CPU-seconds that it may still use, if it is there."""
        if self.duration == inf:
            return 0
        if time == inf:
            return self.cpus * ceil(self.duration)
        return seconds(self.cpus, self.end, time)

    def is_there(self, time: float) -> bool:
        """Say whether it is there at a moment."""
        return (self.start <= time < self.end) or (time == inf == self.end and not self.runs)


class SlowPromises:
    """Those of one partition."""

    def __init__(
        self,
        machine: Machine,
        partition: str,
        most: int | None,
        books: Mapping[str, "SlowPromises"],
        windows: Iterable[Window] = (),
    ) -> None:
        """Know the nodes. books: of all partitions. windows: when nodes are shut."""
        self.machine = machine
        self.books = books
        self.windows = list(windows)
        self.now = machine.now
        self.rooms = copy_of(machine.rooms.get(partition, {}))
        self.whole = machine.whole.get(partition, {})
        self.soon = soon = nextafter(machine.now, inf)  # what is overdue is still there
        self.ends = [replace(end, at=max(end.at, soon)) for end in machine.ends]
        self.holds: list[Hold] = []
        self.keeps = most is None
        self.held: list[tuple[int, WaitingView, Promise, Hold]] = []
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
            for end in self.ends:
                if end.at <= time:
                    for name in end.gives.keys() & rooms.keys():
                        change(rooms[name], end.gives[name], +1)
        for hold in self.holds:
            if hold.is_there(time):
                for name in hold.takes.keys() & rooms.keys():
                    change(rooms[name], hold.takes[name], -1)
        return rooms

    def moments(self) -> list[float]:
        """Return all times at which anything changes."""
        times = {end.at for end in self.ends}
        times |= {time for hold in self.everybody() for time in (hold.start, hold.end)}
        times |= {time for _, begin, end in self.windows for time in (begin, end)}
        if self.machine.snapshot.rules.limits:  # who is exempted may pass what begins before
            times |= {floor(hold.start) + 1.0 for hold in self.everybody() if hold.start < inf}
        if self.machine.minutes:  # these come back second by second
            last = max((time for time in times if time < inf), default=self.now)
            times |= {float(time) for time in range(ceil(self.now), ceil(last))}
        return sorted(time for time in times if time > self.now)

    def everybody(self) -> list[Hold]:
        """Return what is promised in all partitions."""
        return [hold for book in self.books.values() for hold in book.holds]

    def during(self, start: float, duration: float) -> list[float]:
        """Return the moments from one on at which anything may be different, for so long."""
        end = start + duration
        later = [time for time in self.moments() if start < time < end]
        return [start, *later, *([inf] if end == inf and start < inf else [])]

    def room(self, start: float, duration: float) -> Rooms:
        """Return what is free from a moment on for so long, on nodes that are not shut then."""
        rooms = self.free_at(start)
        for time in self.during(start, duration):
            rooms = less_of(rooms, self.free_at(time))
        if start < inf:
            for name, begin, end in self.windows:
                if begin < start + duration and start < end:
                    rooms.pop(name, None)
        return rooms

    def within(self, entry: WaitingView, start: float, places: Seats) -> bool:
        """Say whether its licences are there, and its user has few enough CPUs, all the time."""
        machine, most = self.machine, self.machine.snapshot.max_cpus_per_user
        asked, limits = machine.cpus_of(entry.request, places), machine.limits_of(entry)
        for time in self.during(start, entry.duration):
            there: list[End | Hold] = [hold for hold in self.everybody() if hold.is_there(time)]
            there += [end for end in self.ends if time < end.at and time < inf]
            if most and asked + sum(one.cpus for one in there if one.user == entry.user) > most:
                return False
            for name, count in entry.request.licences.items():
                used = sum(one.licences.get(name, 0) for one in there)
                if used + count > machine.snapshot.licences.get(name, 0):
                    return False
            mine = spent_by(entry, asked)
            if start < time < inf and mine < inf:
                mine = seconds(asked, start + entry.duration, time)
            for bucket, limit in limits:
                if any(passes(limit, *one) for one in _with(there, bucket, time, asked, mine)):
                    return False
        return not self._fills(entry, start, asked)

    def _fills(self, entry: WaitingView, start: float, asked: int) -> bool:
        """Say whether it counts for too much under limits of others as what they wait for begins."""
        machine, end = self.machine, start + entry.duration
        others = machine.limits_of_others(entry)
        for other in self.everybody() if others else ():
            at = other.start
            if not (self.now < at < inf and start < floor(at) + 1 and at < end):
                continue
            there: list[End | Hold] = [hold for hold in self.everybody() if hold.is_there(at)]
            there += [end for end in self.ends if at < end.at]
            spends = seconds(asked, end, at) if end < inf else 0
            for bucket, limit in machine.limits_of(other):
                counts = _with(there, bucket, at, asked, spends)
                if any(passes(limit, *c) for c in counts if (bucket, c[0]) in others):
                    return True
        return False

    def allowed_by(self, entry: WaitingView, time: float) -> bool:
        """Say whether by then its licences are there, and its limits hold, wherever it goes."""
        moments = (self.now, *self.moments())
        return any(self.within(entry, at, []) for at in moments if at <= time and at < inf)

    def earliest(self, entry: WaitingView, after: float) -> Promise | None:
        """Return the first moment from then on, and the places."""
        for time in (after, *(time for time in self.moments() if time > after), inf):
            found = self.places(entry, self.room(time, entry.duration), time)
            if found is not None:
                return time, found
        return None

    def places(self, entry: WaitingView, rooms: Rooms, time: float) -> Seats | None:
        """Return where it goes then, if anywhere."""
        return self.machine.seats_within(
            rooms, entry.request, lambda found: self.within(entry, time, found)
        )

    def take(self, entry: WaitingView, promise: Promise) -> Hold:
        """Plan it."""
        start, places = promise
        takes = self.machine.takes(entry.request, places)
        hold = self.hold(entry, start, places, takes)
        self.holds.append(hold)
        return hold

    def hold(self, entry: WaitingView, start: float, places: Seats, takes: Rooms) -> Hold:
        """Return what it holds."""
        cpus = self.machine.cpus_of(entry.request, places)
        end = start + entry.duration
        whose, used = (entry.project, entry.partition), entry.request.licences
        return Hold(start, end, takes, entry.user, cpus, used, entry.duration, *whose)

    def keep(self, before: dict[int, list[Promise]], queue: Iterable[WaitingView]) -> None:
        """Keep what was promised, later where that must be."""
        planned: list[tuple[float, int, WaitingView, Seats]] = [
            (max(start, self.now), rank, entry, places)
            for rank, entry in enumerate(queue)
            for start, places in before.get(entry.job, [])[: entry.elements]
        ]
        for start, rank, entry, places in sorted(planned, key=lambda one: one[:2]):
            found: Promise | None = next(
                (
                    (time, places)
                    for time in [start, *(t for t in self.moments() if start < t < start + 1.0)]
                    if self._has_room(entry, time, places) and self.within(entry, time, places)
                ),
                None,
            )
            found = found or self.earliest(entry, start)
            if found is not None:
                self.held.append((rank, entry, found, self.take(entry, found)))

    def improve(self, *, freed: bool) -> None:
        """Put all that is kept earlier, in order of rank, if room has come back."""
        held = sorted(self.held, key=lambda one: (one[0], one[2][0]))
        for _, entry, (start, places), hold in held:
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
            self.holds.remove(self.hold(entry, self.now, places, takes))

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


def _with(
    there: Iterable[End | Hold], bucket: Bucket, time: float, cpus: int, spends: float
) -> list[tuple[str, float]]:
    """Return what counts under a limit of what is there, and of one more."""
    held = [one for one in there if counts_in(one, bucket)]
    return [
        ("running", 1 + sum(one.running for one in held)),
        ("cpus", cpus + sum(one.cpus for one in held)),
        ("cpu_minutes", (spends + sum(one.spends(time) for one in held)) / 60),
    ]
