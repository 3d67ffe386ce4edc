"""What waits, in classes: entries that are alike, so that only the first of each is looked at.

Entries of a class ask for the same in the same partition for the same time, and where limits by
user count they are of one user. What keeps the first of them waiting keeps all of them waiting.
"""

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from ostler.model.states import Rule
from ostler.schedule.priority import Key
from ostler.schedule.snapshot import Wait, WaitingView
from ostler.schedule.table import Shape, Table

Kind = tuple[object, ...]  # what entries of one class have in common
Order = Callable[[WaitingView], Key]

_SHAPES = 64  # that a table may know although nobody asks for them
WAITS = {rule: Wait(rule) for rule in Rule}
QUEUED = WAITS[Rule.QUEUE]


class Entry:
    """One job with elements that wait."""

    __slots__ = ("key", "left", "of", "view")

    def __init__(self, view: WaitingView, key: Key, of: int, left: int) -> None:
        self.view = view
        self.key = key
        self.of = of  # number of its class
        self.left = left  # elements; fewer than in the view where the last plan started some


class Class:
    """Entries that are alike, and why the first of them waits."""

    __slots__ = (
        "duration",
        "heap",
        "kind",
        "live",
        "number",
        "partition",
        "rule",
        "seen",
        "shape",
        "told",
        "view",
    )

    def __init__(self, number: int, kind: Kind, view: WaitingView) -> None:
        self.number = number
        self.kind = kind
        self.partition = view.partition
        self.view = view  # one of them, to tell what they ask for
        self.shape: tuple[Table, Shape] | None = None  # as that table knows it
        self.duration = view.duration
        self.heap: list[Key] = []  # with those of entries that are no longer in it
        self.live = 0  # without those
        self.rule: Rule | None = None  # of the first; None: it has not been looked at
        self.seen: Key | None = None  # the first when `rule` was found
        self.told: tuple[int, Rule | None] | None = None  # what of that was told

    def shape_in(self, table: Table) -> Shape:
        """Return what its entries ask for."""
        if self.shape is None or self.shape[0] is not table:
            view = self.view
            self.shape = table, table.shape(view.partition, view.request, view.shape)
        return self.shape[1]

    def copy(self) -> "Class":
        """Return another to be changed on its own."""
        other = Class.__new__(Class)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.heap = self.heap.copy()
        return other


class Queue:
    """All that waits and is not blocked."""

    def __init__(self, order: Order, *, by_user: bool = False) -> None:
        """Begin with none. by_user: entries of two users are not alike."""
        self.order = order
        self.key_of: Callable[[WaitingView], object] = _alike  # who may use the same nodes
        self.by_user = by_user
        self.entries: dict[int, Entry] = {}
        self.classes: dict[int, Class] = {}  # by number
        self.partitions: dict[str, set[int]] = {}  # numbers of their classes
        self.touched: set[int] = set()  # classes whose first entry may be another one
        self.moved: set[int] = set()  # the same, and those that are no more, since a whole pass
        self.short: dict[str, int] = {}  # partition -> the first job seen that lacks licences
        self.held_up: dict[str, int] = {}  # likewise, that lacks room beside what is promised
        self._kinds: dict[Kind, int] = {}
        self._next = 0

    def waits(self, found: Class, rule: Rule, key: Key) -> None:
        """Note why the first entry of a class does not start."""
        found.rule, found.seen = rule, key
        if rule is Rule.LICENCES:
            self.short.setdefault(found.partition, key[-1])

    def put(self, view: WaitingView) -> None:
        """Add an entry, or take note of how it has changed."""
        key = self.order(view)
        kind: Kind = (
            view.duration,
            *view.shape,
            view.user if self.by_user else "",
            self.key_of(view),
        )
        number = self._kinds.get(kind)
        if number is None:
            number = self._new(kind, view)
        self._touch(number)
        old = self.entries.get(view.job)
        if old is not None:
            if old.of == number and old.key == key:
                self.entries[view.job] = Entry(view, key, number, view.elements)
                return
            self.remove(view.job)
        self.entries[view.job] = Entry(view, key, number, view.elements)
        found = self.classes[number]
        heappush(found.heap, key)
        found.live += 1

    def _new(self, kind: Kind, view: WaitingView) -> int:
        self._next += 1
        self._kinds[kind] = self._next
        self.classes[self._next] = Class(self._next, kind, view)
        self.partitions.setdefault(view.partition, set()).add(self._next)
        return self._next

    def remove(self, job: int) -> None:
        """Take an entry away, if there is one."""
        entry = self.entries.pop(job, None)
        if entry is None:
            return
        found = self.classes[entry.of]
        found.live -= 1
        self._touch(entry.of)
        if len(found.heap) > 2 * found.live + 16:
            found.heap = [key for key in found.heap if self.is_live(key, found)]
            heapify(found.heap)

    def _touch(self, number: int) -> None:
        self.touched.add(number)
        self.moved.add(number)

    def first(self, of: Class) -> Key | None:
        """Return the key of the first entry of the class; its job is the last part of it."""
        heap = of.heap
        while heap and not self.is_live(heap[0], of):
            heappop(heap)
        return heap[0] if heap else None

    def before(self, key: Key, of: Class) -> list[Key]:
        """Return the places of the class's entries that come before this one, in no order."""
        return [other for other in of.heap if other < key and self.is_live(other, of)]

    def is_live(self, key: Key, of: Class) -> bool:
        entry = self.entries.get(key[-1])
        return entry is not None and entry.of == of.number and entry.key == key

    def of(self, partition: str) -> Iterator[Class]:
        """Yield the classes of a partition."""
        for number in self.partitions.get(partition, ()):
            yield self.classes[number]

    def rank_anew(self) -> None:
        """Give every entry its place by the order as it is now."""
        for found in self.classes.values():
            found.heap, found.live = [], 0
        for job, entry in self.entries.items():
            key, found = self.order(entry.view), self.classes[entry.of]
            self.entries[job] = Entry(entry.view, key, entry.of, entry.left)
            found.heap.append(key)
            found.live += 1
        for found in self.classes.values():
            heapify(found.heap)
        self.touched.update(self.classes)
        self.moved.update(self.classes)

    def started(self, job: int) -> bool:
        """Take note that one element starts; say whether others of the entry wait."""
        entry = self.entries[job]
        if entry.left <= 1:
            self.remove(job)
            return False
        self.add(job, -1)
        return True

    def add(self, job: int, elements: int) -> None:
        """Let so many more elements of an entry wait. A copy of the queue keeps the old number."""
        entry = self.entries[job]
        self.entries[job] = Entry(entry.view, entry.key, entry.of, entry.left + elements)

    def firsts(self, partition: str) -> Iterator[Key]:
        """Yield the first entries of the classes of a partition."""
        for found in self.of(partition):
            first = self.first(found)
            if first is not None:
                yield first

    def drop(self, of: Class) -> None:
        """Forget a class in which nothing waits."""
        del self.classes[of.number]
        del self._kinds[of.kind]
        self.partitions[of.partition].discard(of.number)
        self.touched.discard(of.number)
        self.moved.add(of.number)

    def wait_of(self, job: int) -> Wait | None:
        """Return why an entry waits; None if there is none, or it is blocked."""
        entry = self.entries.get(job)
        if entry is None:
            return None
        found = self.classes[entry.of]
        if found.seen is None or found.seen[-1] != job or found.rule is None:
            return QUEUED
        return WAITS[found.rule]

    def prune(self, table: Table) -> None:
        """Let the table forget shapes that nobody asks for any more, once that is most of them."""
        if len(table.shapes) > 2 * len(self.classes) + _SHAPES:
            asked = {found.view.shape for found in self.classes.values()}
            for known in [known for known in table.shapes if known not in asked]:
                table.forget(known)

    def copy(self) -> "Queue":
        """Return another to be changed on its own."""
        other = Queue(self.order, by_user=self.by_user)
        for name, value in vars(self).items():
            setattr(other, name, value.copy() if isinstance(value, dict | set) else value)
        other.classes = {number: found.copy() for number, found in self.classes.items()}
        other.partitions = {name: numbers.copy() for name, numbers in self.partitions.items()}
        return other


def _alike(view: WaitingView) -> object:  # noqa: ARG001  as all others
    return None
