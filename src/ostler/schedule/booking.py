"""A pass over a partition in which more than one start is promised: entry after entry.

There it is not enough to look at the first of each class, for those behind it are promised a start
as well. Once no more is promised, what keeps an entry waiting keeps its class waiting.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from ostler.schedule.choose import Seats
from ostler.schedule.classes import Entry, Queue
from ostler.schedule.planner import Planner
from ostler.schedule.policy import Policy
from ostler.schedule.priority import Key
from ostler.schedule.promises import Promises, Waits
from ostler.schedule.table import Table
from ostler.schedule.table_lists import ListTable
from ostler.schedule.timeline import Timeline
from ostler.schedule.timeline_lists import ListTimeline


class Booking:
    """What waits in the partition, in order of rank, as far as anything is to be decided of it."""

    def __init__(self, planner: Planner, queue: Queue, partition: str, book: Promises) -> None:
        """Bring the promises up to date. The partition has a class in which something waits."""
        self.partition = partition
        self._planner = planner
        self._queue = queue
        self._book = book
        self._rest: dict[int, list[Key]] = {}  # class -> what is behind its first, the last first
        self._served: set[int] = set()
        table, now = planner.table, planner.now
        entries = [queue.entries[job] for job in book.jobs if job in queue.entries]
        entries = [entry for entry in entries if entry.view.partition == partition]
        entries.sort(key=_key)
        freed = partition in planner.picture.freed
        book.begin(timeline_of(table, now), table, map(self._asks, entries), freed=freed)
        self._heap: list[tuple[Key, int]] = [(queue.entries[job].key, 0) for job in book.due]
        for found in queue.of(partition):
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
        asks, view = self._asks(entry), entry.view
        return self._book.serve(
            asks, lambda seats: self._planner.over(asks.shape, view, seats) is None
        )

    def done(self, entry: Entry) -> None:
        """Go on. Where not all that is left of the entry got a promise, none behind it would."""
        left = self._queue.entries.get(entry.view.job)
        _, number = self._heap[0]
        self._served.add(entry.view.job)
        if left is not None and self._book.count(entry.view.job) < left.left:
            self._rest[number] = []
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


def beside(planner: Planner, queue: Queue, partition: str, job: int) -> Timeline:
    """Return what all promises of the partition leave but those of one job."""
    timeline = timeline_of(planner.table, planner.now)
    entries = [queue.entries[n] for n in planner.books[partition].jobs if n in queue.entries]
    others = [asks(planner, entry) for entry in entries if entry.view.job != job]
    planner.books[partition].copy().add_to(timeline, planner.table, others)
    return timeline


def asks(planner: Planner, entry: Entry) -> Waits:
    """Return what an entry asks for."""
    view = entry.view
    shape = planner.shape(view)
    return Waits(view.job, entry.left, shape, view.duration, (view.duration, view.shape))


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
