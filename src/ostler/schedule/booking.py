"""A pass over a partition in which more than one start is promised: entry after entry.

There it is not enough to look at the first of each class, for those behind it are promised a start
as well. Once no more is promised, what keeps an entry waiting keeps its class waiting.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from ostler.model.states import Rule
from ostler.schedule.agenda import Agenda
from ostler.schedule.choose import Seats
from ostler.schedule.classes import Entry, Queue
from ostler.schedule.planner import Planner
from ostler.schedule.policy import Policy
from ostler.schedule.priority import Key
from ostler.schedule.promises import Promises
from ostler.schedule.table import Table
from ostler.schedule.table_lists import ListTable
from ostler.schedule.timeline import Timeline
from ostler.schedule.timeline_lists import ListTimeline
from ostler.schedule.waits import Waits


class Booking:
    """What waits in the partition, in order of rank, as far as anything is to be decided of it."""

    def __init__(self, planner: Planner, queue: Queue, partition: str, book: Promises) -> None:
        """Put on the agenda what is promised. The partition has a class in which something waits."""
        self.partition = partition
        self._planner = planner
        self._queue = queue
        self._book = book
        self._rest: dict[int, list[Key]] = {}  # class -> what is behind its first, the last first
        self._served: set[int] = set()
        self._heap: list[tuple[Key, int]] = []  # who is to be looked at, and its class
        entries = [queue.entries[job] for job in book.jobs if job in queue.entries]
        entries = [entry for entry in entries if entry.view.partition == partition]
        entries.sort(key=_key)
        self._promised = [self._asks(entry) for entry in entries]
        agenda = Agenda(planner, timeline_of(planner.table, planner.now))
        self.lost = book.begin(agenda, planner.table, self._promised)

    def open(self, *, freed: bool) -> None:
        """Go to the first entry. freed: something came back since the last pass."""
        queue, book = self._queue, self._book
        if freed:
            book.improve(self._promised)
        self._heap = [(queue.entries[job].key, 0) for job in book.due]
        for found in queue.of(self.partition):
            first = queue.first(found)
            if first is not None:
                self._heap.append((first, found.number))
        heapify(self._heap)

    @property
    def over(self) -> bool:
        """Say whether nothing is left to be decided."""
        while self._heap and self._heap[0][0][-1] in self._served:
            self._go_on()
        return not self._heap

    @property
    def voided(self) -> bool:
        """Say whether a promise has been taken back, so that another pass may make a new one."""
        return self._book.voided

    def next(self) -> Key:
        """Return the place of the entry that comes next."""
        return self._heap[0][0]

    def serve(self, entry: Entry) -> Iterator[Seats]:
        """Yield where elements of the entry start now."""
        asks, view, over = self._asks(entry), entry.view, self._planner.over
        return self._book.serve(
            asks,
            lambda: over(asks.shape, view) is Rule.LIMIT,
            lambda seats: over(asks.shape, view, seats) is None,
        )

    def done(self, entry: Entry) -> None:
        """Go on. Where not all that is left of the entry got a promise, none behind it would.

        But for those that keep theirs at a limit.
        """
        left = self._queue.entries.get(entry.view.job)
        _, number = self._heap[0]
        self._served.add(entry.view.job)
        if left is not None and self._book.count(entry.view.job) < left.left:
            known = self._queue.entries
            before = (known[job] for job in self._book.before if job in known)
            alike = (one.key for one in before if one.of == number and one.key > entry.key)
            self._rest[number] = sorted(alike, reverse=True)
        self._go_on()

    def _asks(self, entry: Entry) -> Waits:
        return asks(self._planner, entry)

    def _go_on(self) -> None:
        key, number = heappop(self._heap)
        if number:
            rest = self._rest.get(number)
            if rest is None:
                rest = self._rest[number] = self._behind(key, number)
            if rest:
                heappush(self._heap, (rest.pop(), number))

    def _behind(self, key: Key, number: int) -> list[Key]:
        found = self._queue.classes[number]
        behind = [
            other for other in found.heap if other > key and self._queue.is_live(other, found)
        ]
        return sorted(behind, reverse=True)


def book_of(books: dict[str, Promises], partition: str, policy: Policy) -> Promises | None:
    """Return the promises of a partition, made if there are none; None: it has no such policy."""
    book = books.get(partition)
    if policy.reserved is not None and policy.reserved < 2:
        books.pop(partition, None)
        return None
    if book is None or book.reserved != policy.reserved:
        book = books[partition] = Promises(policy.reserved)
    return book


def opened(
    planner: Planner, bookings: list[Booking], books: dict[str, Promises]
) -> list[tuple[Key, int, Booking]]:
    """Improve promises where something came back; return the bookings with their first entries.

    Licences and limits that count in several partitions come back to all of them. Books of
    partitions in which nothing waits are closed.
    """
    freed = {*planner.picture.freed, *(one.partition for one in bookings if one.lost)}
    shared = bool(freed) and planner.supplies is not None
    for one in bookings:
        one.open(freed=shared or one.partition in freed)
        if one.over:
            del books[one.partition]
    return [(one.next(), one.next()[-1], one) for one in bookings if not one.over]


def beside(planner: Planner, queue: Queue, partition: str, job: int) -> Agenda:
    """Return what all promises leave but those of one job: nodes of the partition, and the rest."""
    lay_others(planner, queue, partition)
    agenda = Agenda(planner, timeline_of(planner.table, planner.now))
    _lay(planner, queue, planner.books[partition], agenda, but=job)
    return agenda


def lay_others(planner: Planner, queue: Queue, partition: str) -> None:
    """Let what is promised in other partitions be in use then, as far as it counts for this one."""
    for name, book in planner.books.items():
        if name != partition and planner.supplies is not None:
            nodes = timeline_of(planner.table, planner.now)
            _lay(planner, queue, book, Agenda(planner, nodes), but=0)


def _lay(planner: Planner, queue: Queue, book: Promises, agenda: Agenda, but: int) -> None:
    entries = [queue.entries[job] for job in book.jobs if job in queue.entries and job != but]
    book.copy().add_to(agenda, planner.table, [asks(planner, entry) for entry in entries])


def asks(planner: Planner, entry: Entry) -> Waits:
    """Return what an entry asks for."""
    view = entry.view
    shape = planner.shape(view)
    return Waits(view.job, entry.left, shape, view.duration, (view.duration, view.shape), view)


def timeline_of(table: Table, now: float) -> Timeline:
    """Return what will be free, for a table of either kind."""
    if isinstance(table, ListTable):
        return ListTimeline(table, now)
    from ostler.schedule.table_arrays import ArrayTable  # loads NumPy
    from ostler.schedule.timeline_arrays import ArrayTimeline

    if not isinstance(table, ArrayTable):
        raise TypeError(table)
    return ArrayTimeline(table, now)


def _key(entry: Entry) -> Key:
    return entry.key
