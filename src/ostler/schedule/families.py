"""A pass where limits tell users apart: of 20,000 classes few are looked at.

Classes that differ only in their owner (who is limited together) form a family. Whether there is
room is the same for all of a family, and room only shrinks in a pass: so once one of them had to
wait for room, so do all behind it, and nobody looks at them. Whether an owner is at a limit depends
on the owner and on the CPUs that are asked for alone: so a class is *shut* or open by what its
owner has left, and only the open ones of a family, first in the queue first, are its line.

Between passes everything stays as it was found: a class gets another rule when what its owner has
left moves past what it asks for, when its family gets another rule, or its first entry is another.
"""

from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import Protocol

from ostler.model.states import Rule
from ostler.schedule.choose import Seats
from ostler.schedule.classes import Class, Kind, Queue
from ostler.schedule.heads import LEADING, lead
from ostler.schedule.news import News
from ostler.schedule.picture import Picture
from ostler.schedule.planner import Planner, policy_of
from ostler.schedule.policy import Scan
from ostler.schedule.priority import Key
from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import Shape


class Starter(Protocol):
    """The engine, as far as a pass needs it."""

    queue: Queue
    news: News
    picture: Picture
    looks: int

    def starts(self, planner: Planner, view: WaitingView, shape: Shape, seats: Seats) -> bool:
        """Start an element in these seats."""


class Owner:
    """Those who are limited together."""

    __slots__ = ("classes", "kind", "left", "names", "view")

    def __init__(self, kind: Kind, view: WaitingView, names: tuple[object, ...]) -> None:
        self.kind = kind
        self.view = view  # an entry of such a one
        self.names = names  # under which what they hold is counted
        self.classes: dict[int, set[int]] = {}  # their numbers, by the CPUs that they ask for
        self.left: float | None = None  # CPUs by which classes are open; None: look at each


class Family:
    """Classes that are alike but for their owners."""

    __slots__ = ("fresh", "kind", "line", "members", "open", "partition", "rule")

    def __init__(self, kind: Kind, partition: str) -> None:
        self.kind = kind
        self.partition = partition
        self.members = 0
        self.open: set[int] = set()  # numbers of those whose owners have enough left
        self.line: list[Key] = []  # a heap of their first places, with places of others
        self.rule: Rule | None = None  # of all that are open, but for the fresh ones; None: mixed
        self.fresh: set[int] = set()


class Families:
    """Kept from pass to pass. A copy of an engine makes its own."""

    def __init__(self) -> None:
        self._queue: Queue | None = None  # of which the rest is
        self._begin(None)

    def _begin(self, queue: Queue | None) -> None:
        self._queue = queue
        self.families: dict[Kind, Family] = {}
        self.apart: set[int] = set()  # classes that are looked at one by one
        self._owners: dict[Kind, Owner] = {}
        self._named: dict[object, dict[int, Owner]] = {}  # name -> whom it limits, by identity
        self.of: dict[int, tuple[Family, Owner, int]] = {}  # number -> where it is; its CPUs

    def serve(self, planner: Planner, engine: Starter, most: float) -> set[str] | None:
        """Make a pass over all partitions; return those that are left once `most` have started.

        Returns None, and does nothing, where that is no way to do it: nobody is limited, or time
        alone, the promises of others or the length of jobs have a say in who comes next.
        """
        queue = engine.queue
        if planner.books or not _applies(planner.picture, queue):
            self._queue = None
            queue.moved.clear()
            return None
        if self._queue is not queue:
            self._begin(queue)
            queue.moved.update(queue.classes)
        for owner in self._owners.values():
            self.limit(planner.picture, engine, owner)
        for number in sorted(queue.moved):
            self._enter(planner.picture, engine, number)
        queue.moved.clear()
        queue.prune(planner.table)
        return _Pass(self, planner, engine).go(most)

    # -- who is where -----------------------------------------------------------------------------

    def _enter(self, picture: Picture, engine: Starter, number: int) -> None:
        """Take note of a class that is new, or is no more, or whose first entry is another."""
        queue = engine.queue
        found = queue.classes.get(number)
        first = None if found is None else queue.first(found)
        if found is None or first is None:
            if found is not None:
                queue.drop(found)
                engine.news.dropped(found)
            self._leave(number)
            return
        if number in self.apart:
            return
        if number not in self.of:
            request = found.view.request
            if request.exclusive or request.licences or request.reservation:
                self.apart.add(number)
                return
            self._join(picture, found)
        family, _, _ = self.of[number]
        if number in family.open:
            family.fresh.add(number)
            self.line_up(queue, family, first)
        else:
            note(engine, found, Rule.LIMIT, first)

    def _join(self, picture: Picture, found: Class) -> None:
        view, alike, whose = found.view, found.kind[:-2], found.kind[-2:]
        if (family := self.families.get(alike)) is None:
            family = self.families[alike] = Family(alike, view.partition)
        if (owner := self._owners.get(whose)) is None:
            owner = self._owners[whose] = Owner(whose, view, _names(picture, view))
            owner.left = _left(picture, view)
            for name in owner.names:
                self._named.setdefault(name, {})[id(owner)] = owner
        cpus = view.request.tasks * view.request.cpus
        family.members += 1
        owner.classes.setdefault(cpus, set()).add(found.number)
        self.of[found.number] = family, owner, cpus
        if owner.left is None or cpus <= owner.left:
            family.open.add(found.number)

    def _leave(self, number: int) -> None:
        self.apart.discard(number)
        family, owner, cpus = self.of.pop(number, (None, None, 0))
        if family is None or owner is None:
            return
        family.open.discard(number)
        family.fresh.discard(number)
        family.members -= 1
        if not family.members:
            del self.families[family.kind]
        owner.classes[cpus].discard(number)
        if not owner.classes[cpus]:
            del owner.classes[cpus]
        if not owner.classes:
            del self._owners[owner.kind]
            for name in owner.names:
                del self._named[name][id(owner)]

    # -- who may have more ------------------------------------------------------------------------

    def limited(self, picture: Picture, view: WaitingView) -> list[Owner]:
        """Return whose limits count what such an entry takes."""
        found: dict[int, Owner] = {}
        for name in _names(picture, view):
            found |= self._named.get(name, {})
        return list(found.values())

    def limit(
        self, picture: Picture, engine: Starter, owner: Owner, after: Key | None = None
    ) -> None:
        """Open and shut classes by what their owner has left.

        after: a place in the queue; those who had their turn before it keep their rules until the
        next pass.
        """
        left, was, queue = _left(picture, owner.view), owner.left, engine.queue
        if left == was:
            return
        owner.left = left
        for cpus, numbers in owner.classes.items():
            shut = cpus > left
            if was is not None and (cpus > was) is shut:
                continue
            for number in numbers:
                family = self.of[number][0]
                found = queue.classes.get(number)
                first = None if found is None else queue.first(found)
                if found is None or first is None or shut is (number not in family.open):
                    continue
                if after is not None and first < after:
                    owner.left = None
                elif shut:
                    family.open.discard(number)
                    family.fresh.discard(number)
                    note(engine, found, Rule.LIMIT, first)
                else:
                    family.open.add(number)
                    family.fresh.add(number)
                    self.line_up(queue, family, first)

    # -- the line of a family ---------------------------------------------------------------------

    def line_up(self, queue: Queue, family: Family, key: Key) -> None:
        """Take note of the first place of an open class."""
        heappush(family.line, key)
        if len(family.line) > 2 * len(family.open) + 16:
            firsts = (queue.first(queue.classes[number]) for number in family.open)
            family.line = [first for first in firsts if first is not None]
            heapify(family.line)

    def first(self, queue: Queue, family: Family, but: set[int]) -> Key | None:
        """Return the first place of all open classes, apart from some."""
        while family.line:
            key = family.line[0]
            entry = queue.entries.get(key[-1])
            there = entry is not None and entry.of in family.open and entry.of not in but
            if entry is not None and there and queue.first(queue.classes[entry.of]) == key:
                return key
            heappop(family.line)
        return None


class _Pass:
    """One pass."""

    def __init__(self, families: Families, planner: Planner, engine: Starter) -> None:
        self._all = families
        self._planner = planner
        self._engine = engine
        self._queue = engine.queue
        self._odd: set[int] = set()  # classes whose rule is theirs alone
        self._behind: list[tuple[Family, Shape]] = []  # that have room, if it were not promised

    def go(self, most: float) -> set[str]:
        """Go through the queue until so many have started; return the partitions that are left."""
        queue = self._queue
        apart = [queue.classes[number] for number in sorted(self._all.apart)]
        for found in apart:
            found.rule, found.seen = None, None
        entries = [queue.entries[job] for job in self._planner.told if job in queue.entries]
        self._odd |= {entry.of for entry in entries if entry.of in self._all.of}
        apart += [queue.classes[number] for number in sorted(self._odd)]  # shut ones, too
        there: list[Family | Class] = [*self._all.families.values(), *apart]
        firsts = ((self._next(one), one) for one in there)
        heap = [(first, first[-1], one) for first, one in firsts if first is not None]
        heapify(heap)
        while heap and self._planner.started < most:
            key, _, one = heap[0]
            following = self._next(one)  # others of its owner may have started meanwhile
            if following == key:
                following = self._visit(key, one)
            if following is None:
                heappop(heap)
            else:
                heapreplace(heap, (following, following[-1], one))
        for number in self._odd:
            family = self._all.of[number][0]
            first = queue.first(queue.classes[number])
            if first is not None and number in family.open:
                family.fresh.add(number)
                self._all.line_up(queue, family, first)
        return {one.partition for _, _, one in heap}

    def _next(self, one: Family | Class) -> Key | None:
        if isinstance(one, Class):
            return self._queue.first(one)
        return self._all.first(self._queue, one, self._odd)

    def _visit(self, key: Key, one: Family | Class) -> Key | None:
        """Start an element, or learn why it waits; return the place at which to go on."""
        queue, planner, engine = self._queue, self._planner, self._engine
        entry = queue.entries[key[-1]]
        view, found = entry.view, queue.classes[entry.of]
        shape = planner.shape_of(found, view)
        engine.looks += 1
        seats = planner.look(shape, view)
        if not isinstance(seats, Rule):
            engine.starts(planner, view, shape, seats)
            self._started(key, view, found)
            return self._next(one)
        note(engine, found, seats, key)
        if seats in LEADING:
            lead(planner, shape, view, key, seats)
        if isinstance(one, Class):
            return None
        if self._is_for_all(one, seats):
            self._shut(one, shape, seats)
            return None
        self._odd.add(found.number)
        return self._next(one)

    def _is_for_all(self, family: Family, rule: Rule) -> bool:
        """Say whether all of the family wait by this rule that may wait by another than a limit."""
        if rule is Rule.RESOURCES:  # else the next may have to be promised a start
            return family.partition in self._planner.heads
        return rule is not Rule.LIMIT and not (rule is Rule.BEHIND and self._planner.owed)

    def _shut(self, family: Family, shape: Shape, rule: Rule) -> None:
        """Let all that are left of a family wait by this rule."""
        numbers = family.fresh if family.rule is rule else family.open
        for number in numbers - self._odd:
            found = self._queue.classes[number]
            if (first := self._queue.first(found)) is not None:
                note(self._engine, found, rule, first)
        family.rule, family.fresh = rule, set()
        if rule is Rule.BEHIND:
            self._behind.append((family, shape))

    def _started(self, key: Key, view: WaitingView, found: Class) -> None:
        """Take note of what a start takes from others whose turn is still to come."""
        queue, every, picture = self._queue, self._all, self._planner.picture
        if found.number in every.of and (first := queue.first(found)) not in {None, key}:
            family = every.of[found.number][0]
            family.fresh.add(found.number)
            every.line_up(queue, family, first)
        for owner in every.limited(picture, view):
            every.limit(picture, self._engine, owner, key)
        table, fitting = self._planner.table, []
        for family, shape in self._behind:
            if table.fits(shape):
                fitting.append((family, shape))
                continue
            rule = table.why_never(shape) or Rule.RESOURCES
            for number in family.open - self._odd:
                other = queue.classes[number]
                if (first := queue.first(other)) is not None and first > key:
                    note(self._engine, other, rule, first)
            family.rule = None
        self._behind = fitting


def note(engine: Starter, found: Class, rule: Rule, first: Key) -> None:
    """Let the first entry of a class wait by this rule."""
    if found.rule is not rule or found.seen != first:
        engine.queue.waits(found, rule, first)
    engine.news.changed(found)


def _applies(picture: Picture, queue: Queue) -> bool:
    rules = picture.rules
    if picture.calendar is not None or not (rules.max_cpus_per_user or rules.limits):
        return False
    if any(limit.cpu_minutes is not None for limit in rules.limits):
        return False
    policies = [policy_of(rules.of(partition).policy) for partition in queue.partitions]
    return all(one.reserved in {0, 1} and one.scan is not Scan.SHORTEST for one in policies)


def _names(picture: Picture, view: WaitingView) -> tuple[object, ...]:
    """Return under which names what such an entry takes is counted."""
    claims = picture.claims
    user = (view.user,) if picture.rules.max_cpus_per_user else ()
    if claims is None:
        return user
    return *user, *claims.limits.buckets(view.user, view.project, view.partition)


def _left(picture: Picture, view: WaitingView) -> float:
    """Return how many more CPUs such a job may have; below 0: it may not start at all."""
    most = picture.rules.max_cpus_per_user
    left = most - picture.held.get(view.user, 0) if most else inf
    if picture.claims is None:
        return left
    return min(left, picture.claims.left(view.user, view.project, view.partition))
