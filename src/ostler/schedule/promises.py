"""Starts that are promised, and who may start without delaying any of them.

Two policies need more than the one promise of EASY. `reserved-K` promises a start to the first K
elements that cannot start now, anew in each pass. `conservative` promises one to every element that
waits, and keeps it from pass to pass: a newcomer gets the earliest start behind all promises there
are, and when room comes back, each promise in order of rank is put at the earliest start that all
the others leave. So it only moves to an earlier time.
Source: Mu'alem and Feitelson, IEEE TPDS 12(6), 2001; here on nodes rather than on processors.

What was promised can be lost with what it was promised on: a node that is gone, an allocation that
is there after its planned end, a start that came a moment late. Then the promises that do not fit
any more move later, in order of their starts, as little as it takes; within a second, not elsewhere.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from math import inf, nextafter

from msgspec import Struct
from msgspec.structs import replace

from ostler.schedule.agenda import Agenda
from ostler.schedule.choose import Seats
from ostler.schedule.table import Table
from ostler.schedule.waits import Waits

MOST = 500  # elements of a partition that conservative promises a start to at a time
_LEAST = 50  # the same on machines of any size
_LOOKS = 200_000  # nodes times promises that a pass can look at in a fraction of a second


class Promise(Struct):
    """The start of one element."""

    start: float  # Unix seconds; inf: nobody can tell
    seats: tuple[tuple[str, int], ...]  # node, tasks; by name, for rows change
    asked: tuple[object, ...]  # what it was promised for


class Promises:
    """Those of one partition."""

    def __init__(self, most: int | None) -> None:
        """Promise a start to so many elements at a time; None: to all, and keep what is promised."""
        self.reserved = most
        self._most = MOST if most is None else most
        self._kept: dict[int, list[Promise]] = {}  # by job, in order of start
        self._count = 0
        self._now = -inf  # when the last pass was
        self.voided = False  # what was promised has been taken back in this pass
        self._before: dict[
            int, list[float]
        ] = {}  # starts promised by the last pass, to be made anew
        self._pressing = 0  # the job to which others give way: it is promised a start before all
        self._agenda: Agenda
        self._table: Table

    def begin(self, agenda: Agenda, table: Table, entries: list[Waits]) -> bool:
        """Begin a pass: put on the agenda what is promised. Return whether any of it is lost.

        entries: of what waits in the partition all to which anything is promised, in order of rank.
        """
        self._agenda, self._table, self._now = agenda, table, agenda.now
        self.voided = False
        if self.reserved is not None:
            for job, kept in self._kept.items():
                self._before[job] = [promise.start for promise in kept]
            self._kept.clear()
            self._count = self._pressing = 0
            return False
        self._most = most_on(len(table.views))
        lost = self._trim(entries)
        self._lay(entries)
        return lost

    def passed(self) -> None:
        """Take note that a pass has looked at all that waits."""
        self._before.clear()

    @property
    def before(self) -> Iterable[int]:
        """Return the jobs to which the last pass promised a start, and that were not served yet."""
        return self._before.keys()

    @property
    def jobs(self) -> Iterable[int]:
        """Return the jobs to which anything is promised."""
        return self._kept.keys()

    def count(self, job: int) -> int:
        """Return how many elements of a job something is promised to."""
        return len(self._kept.get(job, ()))

    def copy(self) -> "Promises":
        """Return others, to be changed on their own."""
        other = Promises(self.reserved)
        other._kept = {job: [replace(one) for one in kept] for job, kept in self._kept.items()}
        other._count, other._now, other._most = self._count, self._now, self._most
        other._pressing = self._pressing
        other._before = {job: starts.copy() for job, starts in self._before.items()}
        return other

    def forget(self, job: int) -> None:
        """Take back what was promised to a job."""
        self._count -= len(self._kept.pop(job, ()))

    def press(self, entry: Waits) -> None:
        """Let the next element of an entry be first until it starts: others give way to it.

        What is promised to all others is laid anew behind it by the next pass.
        """
        self._pressing = entry.job
        if entry.job not in self._kept:
            self._kept[entry.job] = [Promise(inf, (), entry.asked)]
            self._count += 1

    def taken(self, job: int) -> None:
        """Take note that an element has started that did not wait for its promised start."""
        if job in self._kept:
            self._drop(job)
        self._pressing = 0 if job == self._pressing else self._pressing

    @property
    def full(self) -> bool:
        """Say whether nobody else is promised a start in this pass."""
        return self._count >= self._most

    @property
    def settled(self) -> bool:
        """Say whether what comes behind others that ask for the same could change nothing."""
        return self.full and self.reserved is None

    @property
    def due(self) -> list[int]:
        """Return the jobs that were promised to start by now."""
        return [job for job, kept in self._kept.items() if kept[0].start <= self._now]

    def is_due(self, now: float) -> bool:
        """Say whether anything was promised to start by then."""
        return any(kept[0].start <= now for kept in self._kept.values())

    @property
    def wake(self) -> float:
        """Return the next promised start; inf: none, or none that time alone brings."""
        soon = nextafter(self._now, inf)  # as soon as what is overdue ends
        return min(
            (kept[0].start for kept in self._kept.values() if kept[0].start > soon), default=inf
        )

    def start_of(self, job: int) -> float | None:
        """Return when the next element should start; None: nothing is promised."""
        kept = self._kept.get(job)
        return kept[0].start if kept else None

    def next_of(self, job: int) -> Promise | None:
        """Return the promise of its next element; None: nothing is promised."""
        kept = self._kept.get(job)
        return kept[0] if kept else None

    def within(self, nodes: Collection[str], until: float) -> list[tuple[float, int]]:
        """Return starts that are promised before then on any of these nodes, with the jobs."""
        return sorted(
            (promise.start, job)
            for job, kept in self._kept.items()
            for promise in kept
            if promise.start < until and any(name in nodes for name, _ in promise.seats)
        )

    def add_to(self, agenda: Agenda, table: Table, queue: Iterable[Waits]) -> None:
        """Put what is promised to these entries on an agenda, as it is."""
        self._table = table
        for entry in queue:
            for promise in self._kept.get(entry.job, ()):
                agenda.add(entry, promise.start, self._rows(promise))

    def serve(
        self, entry: Waits, limited: Callable[[], bool], may: Callable[[Seats], bool]
    ) -> Iterator[Seats]:
        """Yield where elements of the entry start now; the others get promises if there are any.

        limited: whether a limit forbids it to have any more now: then nothing is promised to it,
        unless that was promised by the last pass, and what the limit counts is back by then.
        may: whether limits and licences allow a start in these seats. If they do not, what was
        promised for now is void, and nothing more is promised.
        """
        kept, before = self._kept.get(entry.job, []), self._before.pop(entry.job, [])
        left = entry.left
        while kept and kept[0].start <= self._now:
            seats = self._rows(kept[0])
            if not may(seats):
                self._void(entry)
                return
            self.taken(entry.job)
            left -= 1
            yield seats
        for _ in range(left - len(self._kept.get(entry.job, []))):
            by = before.pop(0) if before else -inf
            found = None if limited() and not self._is_kept(entry, by) else self._place(entry)
            if found is None or (found[0] <= self._now and not may(found[1])):
                return
            start, seats = found
            self._agenda.add(entry, start, seats)
            if start <= self._now:
                yield seats
            else:
                self._note(entry, start, seats)

    def _is_kept(self, entry: Waits, by: float) -> bool:
        """Say whether limits will hold by the time that was promised to an entry; -inf: none was."""
        if by == -inf:
            return False
        at = self._agenda.allowed(entry)
        return at <= max(by, nextafter(self._now, inf)) and at < inf

    def _place(self, entry: Waits) -> tuple[float, Seats] | None:
        if not self.full:
            return self._agenda.earliest(entry)
        if not self._table.fits(entry.shape):
            return None
        seats = self._agenda.at_once(entry)
        return None if seats is None else (self._now, seats)

    # -- what is kept -----------------------------------------------------------------------------

    def _note(self, entry: Waits, start: float, seats: Seats) -> None:
        names = tuple((self._table.views[row].name, tasks) for row, tasks in seats)
        kept = self._kept.setdefault(entry.job, [])
        kept.append(Promise(start, names, entry.asked))
        kept.sort(key=_start)
        self._count += 1

    def _drop(self, job: int) -> None:
        kept = self._kept[job]
        kept.pop(0)
        self._count -= 1
        if not kept:
            del self._kept[job]

    def _void(self, entry: Waits) -> None:
        """Take back what was promised to the entry for now."""
        self.voided = True
        while (kept := self._kept.get(entry.job)) and kept[0].start <= self._now:
            self._agenda.remove(entry, self._now, self._rows(kept[0]))
            self._drop(entry.job)

    def _trim(self, entries: list[Waits]) -> bool:
        """Forget what was promised to those that are no more, or that ask for something else.

        Return whether there was any of that.
        """
        old, self._kept, count = self._kept, {}, self._count
        for entry in entries:
            kept = [promise for promise in old[entry.job] if promise.asked == entry.asked]
            if kept:
                self._kept[entry.job] = kept[: entry.left]
        self._count = sum(map(len, self._kept.values()))
        return self._count < count

    def _lay(self, entries: list[Waits]) -> None:
        """Put all promises on the timeline, in order of their starts; later if they must be.

        The job that is pressing comes before all that are behind it in the queue.
        """
        found = [
            (max(promise.start, self._now), place, promise, entry)
            for place, entry in enumerate(entries)
            for promise in self._kept.get(entry.job, ())
        ]
        found.sort(key=lambda one: one[:2])
        first = next((one for one in found if one[3].job == self._pressing), None)
        if first is not None:
            found = [one for one in found if one is not first]
            found.sort(key=lambda one: one[1] > first[1])
            found.insert(sum(one[1] <= first[1] for one in found), first)
        for start, _, promise, entry in found:
            if first is not None and promise is first[2]:
                place = self._agenda.earliest(entry)
            else:
                place = self._agenda.earliest_from(entry, start, self._rows(promise))
            self._move(entry, promise, place)
        self._sort(entries)

    def improve(self, entries: list[Waits]) -> None:
        """Put each promise at the earliest start that all the others leave, in order of rank."""
        for entry in entries:
            for promise in self._kept.get(entry.job, ()):
                if promise.start > self._now:
                    seats = self._rows(promise)
                    self._agenda.remove(entry, promise.start, seats)
                    place = self._agenda.earliest(entry)
                    if place is None or place[0] >= promise.start:
                        place = promise.start, seats
                    self._move(entry, promise, place)
        self._sort(entries)

    def _move(self, entry: Waits, promise: Promise, place: tuple[float, Seats] | None) -> None:
        """Note where it is now; nowhere: it is dropped by `_sort`."""
        promise.start, seats = place or (inf, [])
        promise.seats = tuple((self._table.views[row].name, tasks) for row, tasks in seats)
        self._agenda.add(entry, promise.start, seats)

    def _sort(self, entries: list[Waits]) -> None:
        for entry in entries:
            kept = [promise for promise in self._kept.get(entry.job, ()) if promise.seats]
            kept.sort(key=_start)
            self._kept[entry.job] = kept
            if not kept:
                del self._kept[entry.job]
        self._count = sum(map(len, self._kept.values()))

    def _rows(self, promise: Promise) -> Seats:
        """Return its seats as rows of the table; none if one of the nodes is no more."""
        rows = self._table.rows
        if any(name not in rows for name, _ in promise.seats):
            return []
        return [(rows[name], tasks) for name, tasks in promise.seats]


def most_on(nodes: int) -> int:
    """Return to how many elements of a partition conservative promises a start on such a machine.

    >>> most_on(4), most_on(1000), most_on(10_000)
    (500, 200, 50)
    """
    return min(MOST, max(_LEAST, _LOOKS // max(nodes, 1)))


def _start(promise: Promise) -> float:
    return promise.start
