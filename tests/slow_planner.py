"""A planner that is slow and easy to see right, written from the definitions.

It shares the records of snapshots with the real one and nothing else. Everything is found by
trying: how many tasks fit on a node by adding one more, a shadow time by walking the planned ends.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from ostler.model.resources import Request
from ostler.model.states import Rule
from ostler.schedule.snapshot import Snapshot, WaitingView
from tests.slow_machine import Machine
from tests.slow_promises import Promise, SlowPromises, Window
from tests.slow_seats import Rooms, Seats, change, copy_of, less_of

Leads = tuple[str, Rule]  # in which partition, and by which rule it waits


@dataclass
class Told:
    """What is planned: who starts, in this order and where; who goes on; why the rest waits."""

    starts: list[tuple[int, Seats]]
    resumes: list[int]
    rules: dict[int, Rule]
    heads: dict[Leads, tuple[int, float]]  # the job with the promise, and its start
    promises: dict[str, dict[int, list[Promise]]]  # partition -> job -> starts and places
    asked: dict[int, tuple[float, Request]]  # what jobs asked for then


@dataclass
class Head:
    """The first job of a partition that waits by a rule, and what is left beside it."""

    job: int
    shadow: float
    beside: Rooms  # on its nodes
    takes: Rooms


def in_rank(waiting: Iterable[WaitingView]) -> list[WaitingView]:
    """Return the queue: high priority first, then the returned, then the oldest, then by number."""
    return sorted(waiting, key=lambda e: (-e.priority, not e.head, e.submitted_at, e.job))


class Pass:
    """`offer` jobs in order."""

    def __init__(
        self,
        machine: Machine,
        policies: Mapping[str, str],
        windows: Collection[Window] = (),
        before: Told | None = None,
    ) -> None:
        self.machine = machine
        self.before = before
        self.policies = policies  # partition -> policy
        self.heads: dict[Leads, Head] = {}  # that wait for room, for licences, for windows to end
        self.windows = windows
        self.begun: set[int] = set()  # jobs of which anything has started
        self.told: set[object] = set()  # what those ask for that wait: the first speaks for all
        self.starts: list[tuple[int, Seats]] = []
        self.books: dict[str, SlowPromises] = {}
        self.plans: dict[str, SlowPromises] = {}  # of all partitions
        for part in sorted({*policies, *machine.whole}):
            most = promised_to(policies.get(part, "easy"))
            made = self.plans[part] = SlowPromises(machine, part, most, self.plans, windows)
            if most != 1:
                self.books[part] = made

    def offer(self, entry: WaitingView) -> None:
        """Start as many elements as may start; note why the rest waits."""
        if entry.partition in self.books:
            self._offer_with_promises(entry, self.books[entry.partition])
            return
        for _ in range(entry.elements):
            found = self.look(entry)
            if isinstance(found, Rule):
                self.machine.rules[entry.job] = found
                self.told.add(self._alike(entry))
                return
            self._start(entry, found)
            self.begun.add(entry.job)

    def look(self, entry: WaitingView) -> Seats | Rule:
        """Return where one element starts now, or why it waits; it may be promised a start then."""
        found = self._look(entry)
        if isinstance(found, Rule) and found not in (Rule.NODES, Rule.NODE_LEFT):
            self._lead(entry, found)
        return found

    def _look(self, entry: WaitingView) -> Seats | Rule:
        machine, fcfs = self.machine, self.policies.get(entry.partition) == "fcfs"
        if (rule := self._over(entry)) is not None:
            return rule
        rooms = self._open(machine.rooms.get(entry.partition, {}), entry, machine.now)
        found = machine.seats(rooms, entry.request)
        if found is None:
            if (never := machine.never(entry)) is not None:
                return never
            idle = self._open(machine.whole[entry.partition], entry, machine.now)
            room = machine.rooms[entry.partition]
            shut = machine.seats(room, entry.request) or not machine.seats(idle, entry.request)
            return Rule.RESERVED if shut else Rule.RESOURCES
        if self._allowed(rooms, entry) is None:
            return Rule.LIMIT
        if fcfs and self._heads(entry):
            return Rule.BEHIND
        late = [head for head in self._heads(entry) if self._late(entry, head)]
        for head in late:
            both = {name: rooms[name] for name in head.beside if name in rooms}
            rooms = rooms | less_of(both, head.beside)
        if (found := self._allowed(rooms, entry)) is None:
            return Rule.BEHIND
        plan = self.plans[entry.partition]
        if plan.everybody() and not plan.within(entry, machine.now, found):
            return Rule.BEHIND
        return found

    def _alike(self, entry: WaitingView) -> object:
        snapshot = self.machine.snapshot
        user = entry.user if snapshot.max_cpus_per_user else ""
        limits = tuple(bucket for bucket, _ in self.machine.limits_of(entry))
        others = tuple(self.machine.limits_of_others(entry))
        return entry.partition, entry.shape, entry.duration, user, limits, others

    def _allowed(self, rooms: Rooms, entry: WaitingView) -> Seats | None:
        """Return where it goes now if limits allow it there."""
        return self.machine.seats_within(
            rooms, entry.request, lambda found: not self.machine.over_limit(entry, found)
        )

    def _heads(self, entry: WaitingView) -> list[Head]:
        return [head for (part, _), head in self.heads.items() if part == entry.partition]

    def _open(self, rooms: Rooms, entry: WaitingView, start: float) -> Rooms:
        """Return the nodes that are not shut while it would run; at inf nobody can tell."""
        end = start + entry.duration
        shut = {n for n, begin, until in self.windows if begin < end and start < until}
        return {name: room for name, room in rooms.items() if name not in shut}

    def _offer_with_promises(self, entry: WaitingView, book: SlowPromises) -> None:
        machine, left = self.machine, entry.elements
        while (places := book.due(entry)) is not None:
            if self._over(entry, places):
                book.kept[entry.job].insert(0, (machine.now, places))
                book.void(entry)
                machine.rules[entry.job] = self._why(entry)
                return
            self._start(entry, places)
            left -= 1
        told = {} if self.before is None else self.before.promises.get(entry.partition, {})
        known = [start for start, _ in told.get(entry.job, [])]
        for _ in range(left - len(book.kept.get(entry.job, []))):
            by = max(known.pop(0), book.soon) if known and not book.keeps else -inf
            kept = by > -inf and book.allowed_by(entry, by)
            found = None if machine.over_limit(entry) and not kept else book.newcomer(entry)
            if found is None or (found[0] <= machine.now and self._over(entry, found[1])):
                break
            book.plan(entry, found)
            if found[0] <= machine.now:
                self._start(entry, found[1])
                left -= 1
        if left:
            machine.rules[entry.job] = self._why(entry)

    def _over(self, entry: WaitingView, places: Seats | None = None) -> Rule | None:
        if self.machine.over_limit(entry, places):
            return Rule.LIMIT
        return Rule.LICENCES if self.machine.unlicensed(entry.request) else None

    def _why(self, entry: WaitingView) -> Rule:
        """Return why it waits: it would start now if nothing were promised, or not even then."""
        rooms = self.machine.rooms.get(entry.partition, {})
        free = self.machine.seats(rooms, entry.request)
        if (rule := self._over(entry)) is not None:
            return rule
        if free is None:
            return self.machine.never(entry) or Rule.RESOURCES
        return Rule.LIMIT if self._allowed(rooms, entry) is None else Rule.BEHIND

    def _late(self, entry: WaitingView, head: Head, time: float | None = None) -> bool:
        start = self.machine.now if time is None else time
        return entry.duration == inf or start + entry.duration > head.shadow

    def _lead(self, entry: WaitingView, rule: Rule) -> None:
        """Try every moment until all is there; if it never is, nobody can tell when.

        It is looked at as if what is promised to others began then and lasted for ever.
        """
        machine, part, plan = self.machine, entry.partition, self.plans[entry.partition]
        if part not in machine.whole or self._alike(entry) in self.told:
            return
        own, others = self._own(entry, rule), self._heads(entry)
        told = {} if self.before is None or entry.job in self.begun else self.before.heads
        mine = {leads: start for leads, (job, start) in told.items() if job == entry.job}
        leads = [(part, own)] if own is not None else []
        leads = [*mine, *(one for one in leads if one not in mine)]
        if self.policies.get(part) == "fcfs":
            leads = [one for one in leads if one[1] is Rule.RESOURCES]
        leads = [one for one in leads if one not in self.heads]
        if not leads:
            return
        for time in (machine.now, *plan.moments(), inf):
            then = copy_of(machine.whole[part]) if time == inf else machine.after(part, time)
            for head in others if time < inf else ():
                for name, amounts in head.takes.items() if self._late(entry, head, time) else ():
                    change(then[name], amounts, -1)
            found = plan.places(entry, self._open(then, entry, time), time)
            if found is not None:
                break
        else:
            return
        for start in mine.values():
            by = max(start, plan.soon)
            short = rule in (Rule.LIMIT, Rule.LICENCES)
            if not (plan.allowed_by(entry, by) if short else time <= by):
                leads = [one for one in leads if one[1] is own]
        if not leads:
            return
        takes = machine.takes(entry.request, found)
        for name, amounts in takes.items():
            change(then[name], amounts, -1)
        self.heads[leads[0]] = Head(entry.job, time, {name: then[name] for name in takes}, takes)
        plan.take(entry, (time, found))

    def _own(self, entry: WaitingView, rule: Rule) -> Rule | None:
        """Return as what it may be promised a start; at a limit if that allows it smaller nodes."""
        if rule is not Rule.LIMIT:
            return None if rule is Rule.BEHIND else rule
        idle = self._open(self.machine.whole[entry.partition], entry, self.machine.now)
        if not entry.request.exclusive or self.machine.over_limit(entry):
            return None
        return None if self._allowed(idle, entry) is None else Rule.RESOURCES

    def _start(self, entry: WaitingView, chosen: Seats) -> None:
        for head in self._heads(entry):
            if self._late(entry, head):
                for name, amounts in self.machine.takes(entry.request, chosen).items():
                    if name in head.beside:
                        change(head.beside[name], amounts, -1)
        if entry.partition not in self.books:
            self.plans[entry.partition].take(entry, (self.machine.now, chosen)).runs = True
        self.machine.start(entry, chosen)
        self.starts.append((entry.job, chosen))


def promised_to(policy: str) -> int | None:
    """Return to how many elements the policy promises a start; None: to all."""
    if policy == "conservative":
        return None
    return int(policy.removeprefix("reserved-")) if policy.startswith("reserved-") else 1


def slow_plan(
    snapshot: Snapshot,
    now: float,
    policies: Mapping[str, str] | None = None,
    before: Told | None = None,
    freed: Collection[str] = (),
    windows: Collection[Window] = (),
) -> Told:
    """Return the plan.

    policies: of partitions that have another than EASY. before: the plan before this one, whose
    promises are kept; freed: partitions in which room has come back since then. windows: when
    nodes are shut, which only promises look at.
    """
    machine = Machine(snapshot, now)
    work = Pass(machine, policies or {}, windows, before)
    machine.rules |= {e.job: e.blocked.rule for e in snapshot.waiting if e.blocked is not None}
    queue = in_rank(entry for entry in snapshot.waiting if entry.blocked is None)
    back = {*freed}
    for part, book in work.books.items():
        if before is not None and book.keeps:
            mine = {entry.job: entry for entry in queue if entry.partition == part}
            kept, lost = _kept(before, part, mine)
            book.keep(kept, mine.values())
            back |= {part} if lost else set()
    limited = bool(snapshot.max_cpus_per_user or snapshot.rules.limits)
    shared = limited or bool(snapshot.licences)  # by all partitions
    for part, book in work.books.items():
        book.improve(freed=part in back or bool(back and shared))
    while queue:
        entry = _next(work, queue)
        queue.remove(entry)
        work.offer(entry)
    heads = {leads: (head.job, head.shadow) for leads, head in work.heads.items()}
    promises = {part: book.kept for part, book in work.books.items()}
    asked = {entry.job: (entry.duration, entry.request) for entry in snapshot.waiting}
    return Told(work.starts, machine.resumes, machine.rules, heads, promises, asked)


def _kept(
    before: Told, partition: str, mine: Mapping[int, WaitingView]
) -> tuple[dict[int, list[Promise]], bool]:
    """Return what is still promised, and whether anything is not: to who left or asks for else."""
    kept, lost = {}, False
    for job, promises in before.promises.get(partition, {}).items():
        entry = mine.get(job)
        same = entry is not None and before.asked[job] == (entry.duration, entry.request)
        kept[job] = promises[: entry.elements] if entry is not None and same else []
        lost = lost or len(kept[job]) < len(promises)
    return kept, lost


def _next(work: Pass, queue: list[WaitingView]) -> WaitingView:
    """Return who is offered next: the first; partition by partition the shortest after all others."""
    short = [
        entry
        for entry in queue
        if (entry.partition, Rule.RESOURCES) in work.heads
        and work.policies.get(entry.partition) == "easy-sjbf"
    ]
    if len(short) < len(queue):
        return next(entry for entry in queue if entry not in short)
    return min(short, key=lambda entry: (entry.partition, entry.duration, queue.index(entry)))
