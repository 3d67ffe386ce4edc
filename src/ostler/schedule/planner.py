"""One planning pass: entries are looked at in the order of the queue, and start or learn why not.

EASY backfilling: the first entry of a partition that does not fit is its head. It gets a shadow
time, the earliest planned end by which it fits, and nodes then. A later entry starts only if it
ends by the shadow time, or does not use what the head needs then.
Source: Mu'alem and Feitelson, IEEE TPDS 12(6), 2001; here with memory, GPUs and nodes.
"""

from bisect import insort
from collections.abc import Mapping
from functools import cached_property, lru_cache
from math import floor, inf
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ostler.model.resources import Request
from ostler.model.states import Rule
from ostler.schedule import licences
from ostler.schedule.choose import Seats
from ostler.schedule.classes import Class
from ostler.schedule.head import BESIDE, Beside, Head, Told, joined
from ostler.schedule.limits import Breach, Claim
from ostler.schedule.picture import Picture
from ostler.schedule.policy import Policy, parse_policy
from ostler.schedule.profile import Release, assumed, releases, when
from ostler.schedule.reservations import narrowed, shut_to
from ostler.schedule.room import Room
from ostler.schedule.snapshot import Line, Resume, Start, Wait, WaitingView
from ostler.schedule.supplies import Supplies, asks_of
from ostler.schedule.table import Shape
from ostler.schedule.waits import Waits
from ostler.schedule.whole_nodes import within

if TYPE_CHECKING:
    from ostler.schedule.agenda import Agenda
    from ostler.schedule.promises import Promises
from ostler.schedule.why import Sizes, cannot_fit

_SHUT = frozenset({Rule.RESOURCES, Rule.NODES, Rule.NODE_LEFT})
policy_of = lru_cache(maxsize=64)(parse_policy)


class Planner:
    """The state of a pass. It changes its picture as if what it plans were carried out."""

    def __init__(
        self,
        picture: Picture,
        now: float,
        heads: dict[str, Head] | None = None,
        books: Mapping[str, "Promises"] | None = None,
        beside: dict[Beside, Head] | None = None,
        told: dict[int, Told] | None = None,
    ) -> None:
        """Let go on what is to. heads, books: promises that still hold, by partition.

        beside: those of EASY to who waits for something else than room. told: what EASY promised
        before this pass, by job.
        """
        self.picture = picture
        self.now = now
        if picture.claims is not None:
            picture.claims.spend(now)
        self.resumes = picture.go_on(now)
        self.lines: list[Line] = [
            Resume(alloc) for alloc, found in self.resumes.all.items() if found.wait is None
        ]
        self.table = picture.table
        self.heads = {} if heads is None else heads
        self.beside_heads: dict[Beside, Head] = {} if beside is None else beside
        self.told: dict[int, Told] = {} if told is None else told
        self.books: Mapping[str, Promises] = {} if books is None else books
        self.beside: dict[str, Agenda] = {}  # partition -> what promises to others leave
        self.pledged: set[int] = set()  # jobs for which room is being made, and kept
        self.started = 0
        self.room_at = inf  # from when on time alone gives somebody CPU-minutes
        self.owed = False  # whom we looked at last waits for what is counted and promised
        self.hints: dict[str, float] = {}  # partition -> when the head was to start before
        self.sizes = Sizes(picture.nodes.values(), picture.known_ever)
        self._coming: list[Release] | None = None
        self._policies: dict[str, Policy] = {}
        self._memo: dict[object, Wait] = {}

    @cached_property
    def supplies(self) -> Supplies | None:
        """Return how much of licences and limits is in use when; None: nothing is counted."""
        rules = self.picture.rules
        if not (rules.licences or rules.max_cpus_per_user or rules.limits):
            return None
        found = Supplies(self.picture, self.now)
        for head in (*self.heads.values(), *self.beside_heads.values()):
            self._count_on(found, head)
        return found

    def count_on(self, head: Head) -> None:
        """Let what is promised to a head be in use from then on."""
        if (supplies := vars(self).get("supplies")) is not None:
            self._count_on(supplies, head)

    def _count_on(self, supplies: Supplies, head: Head) -> None:
        cpus = self.cpus(head.view.request, head.seats)
        supplies.change(head.view, cpus, head.shadow, head.view.duration)

    def count_anew(self) -> None:
        """Take note that promises have been taken back."""
        vars(self).pop("supplies", None)

    def heads_of(self, partition: str) -> list[Head]:
        """Return those to whom EASY promises a start in the partition."""
        found = [self.heads.get(partition)]
        if self.beside_heads:
            found += [self.beside_heads.get((partition, rule)) for rule in BESIDE]
        return [head for head in found if head is not None]

    def late_heads(self, entry: WaitingView) -> list[Head]:
        """Return those that the entry would outlast if it began now, and that it must leave alone.

        It need not on nodes that are kept for it before then, and shut to them.
        """
        late, calendar = self._outlasted(entry), self.picture.calendar
        if not late or calendar is None or not (own := calendar.key(entry.user, entry.project)):
            return late
        found = []
        for head in late:
            shut = own - calendar.key(head.view.user, head.view.project)
            nodes = calendar.kept(shut, self.now, head.shadow)
            kept = {self.table.rows.get(node) for node in nodes}
            after = {row: counts for row, counts in head.after.items() if row not in kept}
            if len(after) == len(head.after):
                found.append(head)
            elif after:
                found.append(replace(head, after=after, kept=None))
        return found

    def _outlasted(self, entry: WaitingView) -> list[Head]:
        others = (head for head in self.heads_of(entry.partition) if head.job != entry.job)
        return [head for head in others if head.outlasts(self.now, entry.duration)]

    # -- looking ----------------------------------------------------------------------------------

    def shape(self, entry: WaitingView, at: float | None = None) -> Shape:
        """Return the shape of the entry, on the nodes that are open to it now, or at a time."""
        own, less = narrowed(self.picture.calendar, entry, self.now if at is None else at)
        found = self.shape_on(entry, own)
        if less is own:
            return found
        inner = self.shape_on(entry, less)
        inner.open = found
        return inner

    def shape_on(self, entry: WaitingView, request: Request) -> Shape:
        """Return the shape of a request that is the entry's, but for the nodes that it names."""
        known = entry.shape
        if request is not entry.request:
            known = (*known, request.nodelist, request.exclude)
        return self.table.shape(entry.partition, request, known)

    def shape_of(self, found: Class, entry: WaitingView) -> Shape:
        """Return the shape of an entry of the class."""
        if self.picture.calendar is None and not entry.request.reservation:
            return found.shape_in(self.table)
        return self.shape(entry)  # what is shut to it depends on the time

    def look(self, shape: Shape, entry: WaitingView) -> Seats | Rule:
        """Return where one element would start now, or why it waits. Changes nothing."""
        found = self._look(shape, entry)
        return self._unless_reserved(shape, found) if isinstance(found, Rule) else found

    def _unless_reserved(self, shape: Shape, found: Rule) -> Rule:
        if shape.open is None or found not in _SHUT:
            return found
        if self.table.fits(shape.open):
            return Rule.RESERVED
        if found is Rule.RESOURCES:  # of the nodes that are not reserved
            return found
        return self.table.why_never(shape.open) or Rule.RESERVED

    def _look(self, shape: Shape, entry: WaitingView) -> Seats | Rule:
        self.owed = False
        if (rule := self.over(shape, entry)) is not None:
            return rule
        if not self.table.fits(shape):
            return self.table.why_never(shape) or Rule.RESOURCES
        if shape.request.exclusive and self.seats(shape, entry) is None:
            return Rule.LIMIT
        if (agenda := self.beside.get(shape.partition)) is not None:
            seats = agenda.at_once(Waits(entry.job, 1, shape, entry.duration, (), entry))
            return Rule.BEHIND if seats is None or self.over(shape, entry, seats) else seats
        if shape.partition in self.heads and not self.backfills(shape.partition):
            return Rule.BEHIND
        late = self.late_heads(entry)
        if not late:
            found = self.seats(shape, entry)
            if found is None:
                return Rule.RESOURCES
        else:
            found = self.seats(shape, entry, joined(late))
            if found is None or self.over(shape, entry, found) is not None:
                return Rule.BEHIND
        self.owed = self.is_promised(shape, entry, found)
        return Rule.BEHIND if self.owed else found

    def seats(self, shape: Shape, entry: WaitingView, head: Head | None = None) -> Seats | None:
        """Return where one element goes now; whole nodes only where limits allow them."""
        if not shape.request.exclusive:
            return self.table.seats(shape, head)
        return within(
            self,
            shape,
            entry,
            lambda smaller: self.table.seats(smaller, head),
            lambda seats: self.over(shape, entry, seats) is None,
        )

    def is_promised(self, shape: Shape, entry: WaitingView, seats: Seats) -> bool:
        """Say whether a start now would take licences, or what limits count, from a promise."""
        if not (self.books or self.heads or self.beside_heads):
            return False
        asks = asks_of(self.picture, entry, self.cpus(shape.request, seats))
        if not asks or self.supplies is None:
            return False
        return self.supplies.first(asks, self.now, entry.duration) > self.now

    def why(self, shape: Shape, entry: WaitingView) -> Rule:
        """Return why an entry waits that does not start now, in a partition with promises."""
        if (rule := self.over(shape, entry)) is not None:
            return rule
        if (seats := self.table.seats(shape)) is None:
            return self._unless_reserved(shape, self.table.why_never(shape) or Rule.RESOURCES)
        return self.over(shape, entry, self.seats(shape, entry) or seats) or Rule.BEHIND

    def over(self, shape: Shape, entry: WaitingView, seats: Seats | None = None) -> Rule | None:
        """Return which limit forbids another start, in these seats if they are known."""
        picture, request = self.picture, shape.request
        most = picture.rules.max_cpus_per_user
        if most and picture.held.get(entry.user, 0) + self.cpus(request, seats) > most:
            return Rule.LIMIT
        if picture.claims is not None and self.breach(entry, seats) is not None:
            return Rule.LIMIT
        if request.licences and licences.lacking(request, self.licences_left()):
            return Rule.LICENCES
        return None

    def breach(self, entry: WaitingView, seats: Seats | None = None) -> Breach | None:
        """Return the limit of its user, project or partition that another start would pass."""
        claims = self.picture.claims
        if claims is None:
            return None
        cpus, ends_at = self.cpus(entry.request, seats), floor(self.now) + entry.duration
        claim = Claim(entry.user, entry.project, entry.partition, cpus, ends_at)
        found = claims.breach(claim, self.now)
        if found is not None:
            self.room_at = min(self.room_at, found.until)
        return found

    def breach_of(self, entry: WaitingView) -> Breach | None:
        """Return the limit that an entry would pass, of whole nodes on those it would get now."""
        seats = self.table.seats(self.shape(entry)) if entry.request.exclusive else None
        return self.breach(entry, seats) or self.breach(entry)

    def licences_left(self) -> dict[str, int]:
        """Return how many of each licence nobody has."""
        left = dict(self.picture.rules.licences)
        licences.change(left, self.picture.licensed, -1)
        return left

    def cpus(self, request: Request, seats: Seats | None) -> int:
        """Return for how many CPUs it counts: of whole nodes, once they are known, for all."""
        if request.exclusive and seats:
            return sum(len(self.table.views[row].facts.cpus) for row, _ in seats)
        return request.tasks * request.cpus

    def backfills(self, partition: str) -> bool:
        known = self._policies.get(partition)
        if known is None:
            known = policy_of(self.picture.rules.of(partition).policy)
            self._policies[partition] = known
        return known.reserved != 0

    def start(
        self, entry: WaitingView, shape: Shape, seats: Seats, *, counted: bool = False
    ) -> None:
        """Give these seats to an element. counted: promises know of it already."""
        supplies = vars(self).get("supplies")  # if anybody has asked for them
        if supplies is not None and not counted:
            cpus = self.cpus(shape.request, seats)
            supplies.begin(entry, cpus)
        request = shape.request
        places = self.table.take(request, seats)
        for head in self._outlasted(entry):
            head.kept = None
            for (row, _), place in zip(seats, places, strict=True):
                if row in head.after:
                    taken = self.table.counts_of(place)
                    pairs = zip(head.after[row], taken, strict=True)
                    head.after[row] = [count - less for count, less in pairs]
        self.lines.append(Start(entry.job, places))
        self.started += 1
        one = self.picture.assume(entry, places, self.now + entry.duration)
        if self._coming is not None:
            insort(self._coming, assumed(one, self.now), key=when)

    # -- for who wants to know more ---------------------------------------------------------------

    def would_start(self, entry: WaitingView) -> bool:
        """Say whether one element would start now. Changes nothing."""
        return not isinstance(self.look(self.shape(entry), entry), Rule)

    def wait(self, entry: WaitingView, rule: Rule) -> Wait:
        """Return the numbers behind the rule by which the entry waits now."""
        request = entry.request
        match rule:
            case Rule.LIMIT if (breach := self.breach_of(entry)) is not None:
                return breach.wait
            case Rule.LIMIT:
                held = self.picture.held.get(entry.user, 0)
                most, asked = self.picture.rules.max_cpus_per_user, request.tasks * request.cpus
                if request.exclusive and held + asked <= most:
                    asked = self.cpus(request, self.table.seats(self.shape(entry)))
                known: object = rule, held, asked
                made = Wait(rule, {"limit": most, "held": held, "asked": asked})
            case Rule.LICENCES:
                made = Wait(rule, licences.lacking(request, self.licences_left()))
                known = rule, entry.shape
            case Rule.RESERVED:
                known, made = (rule, entry.job), self._reserved(entry)
            case Rule.BEHIND:
                ahead, start = self._delayed(entry)
                known = rule, ahead
                shadow = {} if start == inf else {"shadow": start}
                policy = {} if self.backfills(entry.partition) else {"policy": "fcfs"}
                made = Wait(rule, {"ahead": ahead, **shadow, **policy} if ahead else {})
            case _:
                shape = self.shape(entry)
                if rule is not Rule.RESOURCES and shape.open is not None:
                    shape = shape.open  # no window that passes would bring it its nodes
                known = shape.known
                if known in self._memo:  # room only shrinks: what was short is short
                    return self._memo[known]
                rooms = self.rooms(entry.partition)
                made = cannot_fit(self.sizes, rooms, shape.request, entry.partition)
        return self._memo.setdefault(known, made)

    def _delayed(self, entry: WaitingView) -> tuple[int, float]:
        """Return the job that it would delay if it started now, and the start promised to that.

        0: none any more; what was ahead of it has started since it was looked at.
        """
        if entry.partition in self.heads and not self.backfills(entry.partition):
            first = self.heads[entry.partition]  # nobody goes before it, delayed or not
            return first.job, first.shadow
        late, seen = self.late_heads(entry), self.shape(entry)
        late = [head for head in late if self.table.seats(seen, head) is None] or late
        if not late and entry.partition not in self.books:  # what counts for all partitions
            late = [*self.heads.values(), *self.beside_heads.values()]
        if late:
            head = min(late, key=lambda head: head.shadow)
            return head.job, head.shadow
        books = self.books
        if not books:
            return 0, inf
        book = books.get(entry.partition) or books[min(books)]
        names = {self.table.views[row].name for row, _ in self.table.seats(seen) or []}
        found = [*book.within(names, self.now + entry.duration), *book.within(names, inf)]
        others = [(job, start) for start, job in found if job != entry.job]
        others += [(job, inf) for job in book.jobs if job != entry.job]
        return others[0] if others else (0, inf)

    def _reserved(self, entry: WaitingView) -> Wait:
        calendar, own = self.picture.calendar, entry.request.reservation
        by: dict[str, float | int | str] = {"own": own} if own else {}
        if calendar is None:
            return Wait(Rule.RESERVED, by | {"reservations": own})
        key, shut = (
            calendar.key(entry.user, entry.project),
            shut_to(calendar, entry, self.now, self.picture.nodes),
        )
        if own and (opens := calendar.begins(own, key, self.now)) > self.now:
            by["reservations"] = own
        else:
            names = calendar.names(key, shut, self.now, self.now + entry.duration)
            by = {"reservations": ", ".join(names)}
            opens = min(calendar.opens(node, key, self.now, entry.duration) for node in shut)
        return Wait(Rule.RESERVED, by | ({} if opens == inf else {"opens": opens}))

    def rooms(self, partition: str) -> list[Room]:
        """Return what is free in the partition now, in order of nodes."""
        table = self.table
        return [
            table.room(row)
            for row, view in enumerate(table.views)
            if view.usable and view.partition == partition
        ]

    def coming(self) -> list[Release]:
        """Return what will come free, starts of this pass included, in order of time."""
        if self._coming is None:
            self._coming = releases(self.picture, self.now)
        return self._coming
