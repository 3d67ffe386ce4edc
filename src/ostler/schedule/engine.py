"""The scheduler: it is told what changed, and plans. Equal machines get equal plans.

An engine keeps its own picture of the machine. A plan changes that picture as if every line were
carried out; the next delta has the true state of all that the lines touched. What waits is kept in
classes of entries that are alike. Only the first of a class is looked at, and only when something
could have changed for it: see docs/decisions/0023.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heapreplace
from math import inf

from ostler.model.states import Rule
from ostler.schedule.booking import Booking, book_of, opened
from ostler.schedule.choose import Seats
from ostler.schedule.classes import Class, Queue
from ostler.schedule.families import Families
from ostler.schedule.firsts import HELD_UP, is_stirred
from ostler.schedule.giving import Due, give
from ostler.schedule.head import BESIDE, Beside, Head, Told
from ostler.schedule.heads import LEADING, comes_back, lead, promise_anew
from ostler.schedule.news import News, Silent
from ostler.schedule.picture import MANY, Picture
from ostler.schedule.planner import Planner, policy_of
from ostler.schedule.pledges import Pledge, kept
from ostler.schedule.policy import Scan
from ostler.schedule.priority import full_minute
from ostler.schedule.promises import Promises
from ostler.schedule.ranking import Ranking
from ostler.schedule.resumes import Resumption
from ostler.schedule.snapshot import Delta, Line, Plan, Resume, Snapshot, Wait, WaitingView, whole
from ostler.schedule.table import Shape
from ostler.schedule.yields import Slots

Place = tuple[tuple[float, ...], int, Class]  # in the order of a pass, the first job, its class
Booked = tuple[tuple[float, ...], int, Booking]  # likewise, of a whole partition with promises
STARTS = 100  # elements that one plan starts, at most: each is rows, orders and a commit
TELLS = 1_000  # jobs whose rule one plan tells, at most


class Engine:
    """What waits, what runs and what is free, kept from pass to pass."""

    def __init__(self, *, many: int = MANY, starts: float = STARTS, tells: float = TELLS) -> None:
        """Begin with an empty machine. many: nodes from which on NumPy is used.

        starts, tells: elements that one plan starts, and jobs whose rule it tells, at most. The
        next goes on where it stopped, and is wanted at once.
        """
        self.picture = Picture(many=many)
        self.ranking = Ranking()
        self.queue = Queue(self.ranking.enter)
        self.blocked: dict[int, Wait] = {}
        self.heads: dict[str, Head] = {}  # to whom EASY promises a start, for they lack room
        self.beside: dict[Beside, Head] = {}  # likewise, for they wait for something else
        self.told: dict[int, Told] = {}  # what EASY promised before a pass that has not ended
        self.books: dict[str, Promises] = {}  # of partitions that promise more than one start
        self.pledges: dict[int, Pledge] = {}  # room that is being made for jobs
        self.news, self.families = News(), Families()
        self._again: set[str] = set()  # partitions in which the last plan started something
        self._ends, self._due = inf, Due()  # the first planned end after the last pass
        self._room_at = inf  # from when on time alone gives somebody CPU-minutes
        self._yields: frozenset[int] = frozenset()
        self._rivals = False  # some slots may have to yield to others
        self._late_at = inf  # from when on another element of one would delay a head
        self._many, self._starts, self._tells = many, starts, tells
        self._cut = False  # the last pass stopped before its end
        self._owed: set[str] = set()  # partitions looked at since somebody last gave way
        self._number = self.looks = 0  # looks: how often at an entry; tests count it

    def apply(self, delta: Delta) -> None:
        """Take note of what changed."""
        if delta.reset:
            looks = self.looks
            fresh = Engine(many=self._many, starts=self._starts, tells=self._tells)
            vars(self).update(vars(fresh))
            self.looks = looks
        self._number = delta.number
        picture = self.picture
        picture.apply(delta)
        by_user = bool(picture.rules.max_cpus_per_user)
        if by_user != self.queue.by_user or delta.rules is not None:
            self._sort_anew(by_user=by_user)
        for number in (*delta.gone, *(view.job for view in delta.waiting)):
            self._again.update(part for part, book in self.books.items() if book.count(number))
        for number in delta.gone:
            self.queue.remove(number)
            self.blocked.pop(number, None)
            self.news.forget(number)
        for view in delta.waiting:
            self._put(view)

    def _put(self, view: WaitingView) -> None:
        self.news.put(view.job)
        if view.blocked is None:
            self.blocked.pop(view.job, None)
            self.queue.put(view)
        else:
            self.queue.remove(view.job)
            self.blocked[view.job] = view.blocked

    def _sort_anew(self, *, by_user: bool) -> None:
        views = [entry.view for entry in self.queue.entries.values()]
        self.queue = Queue(self.ranking.enter, by_user=by_user)
        self.queue.key_of = self.picture.key_of
        for view in views:
            self.queue.put(view)
            self.news.look(view.job)

    def _rank_anew(self, now: float) -> None:
        """Give all that waits its place in the queue as of now."""
        picture = self.picture
        views = [entry.view for entry in self.queue.entries.values()]
        self.ranking.renew(picture.scorer(now), views)
        self.queue.rank_anew()
        self.ranking.settled()
        picture.ranks_changed, picture.all_dirty = False, True

    def plan(self, now: float) -> Plan:
        """Return what to resume and start now, and the rules of waits that are new.

        now: Unix seconds. `waits` has the jobs whose rule differs from what was told last.
        """
        picture = self.picture
        if picture.ranks_changed or self.ranking.valid_until <= now:
            self._rank_anew(now)
        if picture.calendar is not None or picture.minutes_moved or self._room_at <= now:
            picture.all_dirty = True  # time alone opens and shuts nodes, and gives room
        self._ends = min([self._ends, *(view.ends_at for view, _ in picture.moved)])
        if not self._is_stirred(now):
            picture.moved.clear()
            return Plan([], self._tell(()), self._yields, self._number, self._wake(now))
        queue = self.queue
        slots = Slots(self) if picture.slots else None
        planner = Planner(picture, now, self.heads, self.books, self.beside, self.told)
        dirty = self._dirty(now)
        for number in sorted(queue.touched):
            found = queue.classes[number]
            if found.partition not in dirty and is_stirred(self, planner, found):
                dirty |= self._with_others({found.partition})
        self._again.clear()
        self._cut = False
        if dirty:
            with kept(self, planner, dirty):
                self._pass(planner, dirty)
            self._ends, self._room_at = picture.table.next_end(now), inf
        self._room_at = min(self._room_at, planner.room_at)
        turned: tuple[str, ...] = ()
        if not self._cut:
            self.told.clear()
            for book in self.books.values():
                book.passed()
            turned, self._due = give(self, planner, dirty | self._owed, self._due)
        self._owed = self._owed | dirty if self._cut else set()
        picture.settled()
        picture.all_dirty = any(isinstance(line, Resume) for line in planner.lines)
        self._yields, self._rivals, self._late_at = frozenset(), False, inf
        if self._cut:  # the next goes on, and knows what to tell
            return Plan(planner.lines, {}, self._yields, self._number, now)
        waits = self._tell(planner.resumes.pending)
        queue.touched.clear()
        self._yields = slots.that_yield(self, planner.resumes, now) if slots else frozenset()
        heads = [*self.heads.values(), *self.beside.values()]
        if slots is not None and slots.before is not None:
            self._rivals, self._late_at = True, slots.late_at(heads, now)
        news = self.news.promised(heads, self.books)
        return Plan(planner.lines, waits, self._yields, self._number, self._wake(now), turned, news)

    def _wake(self, now: float) -> float | None:
        """Return when time alone may change the plan: another order, a promised start.

        Now, if there is more to be told.
        """
        if self.news:
            return now
        at = self.ranking.valid_until if self.queue.entries else inf
        if self.queue.entries and self.picture.calendar is not None:
            at = min(at, self.picture.calendar.change(now))
        if self.queue.entries:
            at = min(at, full_minute(self._room_at))
            at = min(at, comes_back((*self.heads.values(), *self.beside.values()), now))
        at = min([at, self._due.at, self._late_at, *(book.wake for book in self.books.values())])
        return at if at < inf else None

    def lines(self, now: float) -> list[Line]:
        """Return what would be started: every partition is looked at."""
        planner = Planner(self.picture, now, self.heads, self.books, self.beside, self.told)
        with kept(self, planner, {*self.queue.partitions}):
            self._pass(planner, {*self.queue.partitions})
        return planner.lines

    # -- what is to be looked at ------------------------------------------------------------------

    def _is_stirred(self, now: float) -> bool:
        """Say whether anything may be different from what the last pass saw."""
        picture = self.picture
        return bool(
            picture.dirty
            or picture.all_dirty
            or self._is_moved()
            or picture.resuming
            or picture.slots_changed
            or self.queue.touched
            or self._again
            or self._ends <= now
            or self._due.at <= now
            or self._late_at <= now
            or picture.ways
            or any(book.is_due(now) for book in self.books.values())
        )

    def _is_moved(self) -> bool:
        """Say whether planned ends that are others now may matter: elements on slots have new ones."""
        moved = self.picture.moved
        if self.books or self._rivals:
            return bool(moved)
        shadows = [head.shadow for head in (*self.heads.values(), *self.beside.values())]
        return any(end <= max(shadows) for _, end in moved) if shadows else False

    def _dirty(self, now: float) -> set[str]:
        """Return the partitions of which everything must be looked at."""
        picture, partitions = self.picture, {*self.queue.partitions}
        if picture.all_dirty or self._ends <= now:
            return partitions
        due = {part for part, book in self.books.items() if book.is_due(now)}
        found = picture.dirty | self._again | due
        for view, end in picture.moved:
            for partition in self._with_others(picture.partitions(view)):
                others = (self.beside.get((partition, rule)) for rule in BESIDE)
                heads = self.heads.get(partition), *others
                if partition in self.books or any(h and end <= h.shadow for h in heads):
                    found.add(partition)
        return self._with_others(found) & partitions

    def _with_others(self, partitions: set[str]) -> set[str]:
        """Return them with those that depend on them."""
        rules = self.picture.rules
        if partitions and (rules.max_cpus_per_user or rules.licences or rules.limits):
            return {*self.queue.partitions}
        return partitions

    # -- the pass ---------------------------------------------------------------------------------

    def _pass(self, planner: Planner, partitions: set[str]) -> None:
        """Look at the first of every class, in the order of the queue."""
        heap: list[Place | Booked] = []
        later: dict[str, list[Place]] = {}
        bookings: list[Booking] = []
        promise_anew(planner, partitions)
        if (left := self.families.serve(planner, self, self._starts)) is not None:
            self._cut = bool(left)
            self._again |= left
            return
        for partition in sorted(partitions):
            self.queue.short.pop(partition, None)
            self.queue.held_up.pop(partition, None)
            policy = policy_of(self.picture.rules.of(partition).policy)
            if policy.scan is Scan.SHORTEST:
                later[partition] = []
            firsts = []
            for found in list(self.queue.of(partition)):
                first = self.queue.first(found)
                if first is None:
                    self.drop(found)
                else:
                    found.rule, found.seen = None, None
                    firsts.append((first, first[-1], found))
            if (book := book_of(self.books, partition, policy)) is None:
                heap += firsts
            elif firsts or book.jobs:
                bookings.append(Booking(planner, self.queue, partition, book))
            else:
                del self.books[partition]
        heap += opened(planner, bookings, self.books)
        self.queue.prune(planner.table)
        self._scan(planner, heap, later)
        for waiting in later.values():
            self._scan(planner, [((c.duration, *key), job, c) for key, job, c in waiting], {})

    def drop(self, found: Class) -> None:
        """Forget a class in which nothing waits."""
        self.queue.drop(found)
        self.news.dropped(found)

    def _scan(
        self,
        planner: Planner,
        heap: list[Place | Booked],
        later: dict[str, list[Place]],
    ) -> None:
        queue, heads = self.queue, self.heads
        heapify(heap)
        while heap:
            if planner.started >= self._starts:
                self._cut = True
                self._again.update(found.partition for _, _, found in heap)
                self._again.update(partition for partition, places in later.items() if places)
                return
            key, job, found = heap[0]
            if isinstance(found, Booking):
                self._serve(planner, found, job)
                if found.over:
                    heappop(heap)
                else:
                    heapreplace(heap, (found.next(), found.next()[-1], found))
                continue
            if found.partition in later and found.partition in heads:
                later[found.partition].append((key, job, found))
                heappop(heap)
                continue
            entry = queue.entries[job]
            view = entry.view
            shape = planner.shape_of(found, view)
            self.looks += 1
            seats = planner.look(shape, view)
            if isinstance(seats, Rule):
                queue.waits(found, seats, entry.key)
                if seats in LEADING:
                    lead(planner, shape, view, entry.key, seats)
                self.news.changed(found)
                heappop(heap)
                continue
            if self.starts(planner, view, shape, seats):
                continue
            first = queue.first(found)
            if first is None:
                heappop(heap)
            else:
                before = key[: len(key) - len(first)]  # the duration, where it counts
                heapreplace(heap, ((*before, *first), first[-1], found))

    def starts(self, planner: Planner, view: WaitingView, shape: Shape, seats: Seats) -> bool:
        """Start an element in these seats; say whether others of its entry wait."""
        planner.start(view, shape, seats)
        self._again.add(view.partition)
        self.told.pop(view.job, None)
        if self.queue.started(view.job):
            return True
        self.news.forget(view.job)
        return False

    def look_again(self, partition: str) -> None:
        """Look at the partition in the next pass, whatever happens until then."""
        self._again.add(partition)

    def _serve(self, planner: Planner, booking: Booking, job: int) -> None:
        """Start elements of an entry of a partition with promises, or learn why it waits."""
        self.looks += 1
        entry = self.queue.entries[job]
        found, rule = self.queue.classes[entry.of], None
        for seats in booking.serve(entry):
            planner.start(entry.view, planner.shape(entry.view), seats, counted=True)
            self._again.add(booking.partition)
            self.queue.started(job)
            self.news.forget(job)
            if planner.started >= self._starts:  # the pass ends here; all promises are kept
                return
        if job in self.queue.entries:
            rule = planner.why(planner.shape(entry.view), entry.view)
            if rule is Rule.LICENCES:
                self.queue.short.setdefault(booking.partition, job)
            elif rule in HELD_UP:
                self.queue.held_up.setdefault(booking.partition, job)
            if self.queue.first(found) == entry.key:
                found.rule, found.seen = rule, entry.key
                self.news.changed(found)
        booking.done(entry)
        if booking.voided:
            self._again.add(booking.partition)

    def _tell(self, pending: Iterable[Resumption]) -> dict[int, Wait]:
        """Return the rules that are new. pending: what is suspended and cannot go on yet."""
        queue = self.queue
        for found in (queue.classes[number] for number in queue.touched):
            if found.live:
                self.news.changed(found)
        return self.news.take(queue, self.blocked, pending, self._tells)

    def be_silent(self) -> None:
        """Tell no rules from now on; for a copy that is asked of starts alone."""
        self.news = Silent()

    def copy(self) -> "Engine":
        """Return another with the same picture, to be changed on its own."""
        other = Engine(many=self._many)
        for name, value in vars(self).items():
            setattr(other, name, value.copy() if isinstance(value, dict | set | News) else value)
        other._starts = other._tells = inf
        other.picture, other.queue = self.picture.copy(), self.queue.copy()
        other.ranking, other.families = self.ranking.copy(), Families()
        other.queue.order, other.queue.key_of = other.ranking.enter, other.picture.key_of
        other.books = {partition: book.copy() for partition, book in self.books.items()}
        return other


def plan(snapshot: Snapshot, now: float) -> Plan:
    """Return what a scheduler proposes that has just been shown this machine."""
    engine = Engine()
    engine.apply(whole(snapshot))
    return engine.plan(now)
