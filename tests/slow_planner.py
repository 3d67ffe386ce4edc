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


@dataclass
class Told:
    """What is planned: who starts, in this order and where; who goes on; why the rest waits."""

    starts: list[tuple[int, Seats]]
    resumes: list[int]
    rules: dict[int, Rule]
    heads: dict[str, tuple[int, float]]  # partition -> the job with the promise, and its start
    promises: dict[str, dict[int, list[Promise]]]  # partition -> job -> starts and places
    asked: dict[int, tuple[float, Request]]  # what jobs asked for then


@dataclass
class Head:
    """The first job of a partition that waits for room, and what is left beside it then."""

    job: int
    user: str
    shadow: float
    beside: Rooms
    user_left: float


def in_rank(waiting: Iterable[WaitingView]) -> list[WaitingView]:
    """Return the queue: high priority first, then the returned, then the oldest, then by number."""
    return sorted(waiting, key=lambda e: (-e.priority, not e.head, e.submitted_at, e.job))


class Pass:
    """`offer` jobs in order."""

    def __init__(
        self, machine: Machine, policies: Mapping[str, str], windows: Collection[Window] = ()
    ) -> None:
        self.machine = machine
        self.policies = policies  # partition -> policy
        self.heads: dict[str, Head] = {}
        self.starts: list[tuple[int, Seats]] = []
        self.books: dict[str, SlowPromises] = {}
        for part, policy in sorted(policies.items()):
            if (most := promised_to(policy)) != 1:
                self.books[part] = SlowPromises(machine, part, most, self.books, windows)

    def offer(self, entry: WaitingView) -> None:
        """Start as many elements as may start; note why the rest waits."""
        if entry.partition in self.books:
            self._offer_with_promises(entry, self.books[entry.partition])
            return
        for _ in range(entry.elements):
            found = self.look(entry)
            if isinstance(found, Rule):
                self.machine.rules[entry.job] = found
                return
            self._start(entry, found)

    def look(self, entry: WaitingView) -> Seats | Rule:
        """Return where one element starts now, or why it waits."""
        machine, head = self.machine, self.heads.get(entry.partition)
        if (rule := self._over(entry)) is not None:
            return rule
        rooms = machine.rooms.get(entry.partition, {})
        found = machine.seats(rooms, entry.request)
        if found is None:
            if (never := machine.never(entry)) is not None:
                return never
            if head is None:
                self.heads[entry.partition] = self._lead(entry)
            return Rule.RESOURCES
        if machine.over_limit(entry, found):
            return Rule.LIMIT
        if head is None:
            return found
        if self.policies.get(entry.partition) == "fcfs":
            return Rule.BEHIND
        if not self._late(entry, head):
            return found
        found = machine.seats(less_of(rooms, head.beside), entry.request)
        if found is None or machine.over_limit(entry, found):
            return Rule.BEHIND
        asked = machine.cpus_of(entry.request, found)
        return Rule.BEHIND if head.user == entry.user and asked > head.user_left else found

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
        for _ in range(left - len(book.kept.get(entry.job, []))):
            found = None if machine.over_limit(entry) else book.newcomer(entry)
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
        free = self.machine.seats(self.machine.rooms.get(entry.partition, {}), entry.request)
        if (rule := self._over(entry)) is not None:
            return rule
        if free is None:
            return self.machine.never(entry) or Rule.RESOURCES
        return self._over(entry, free) or Rule.BEHIND

    def _late(self, entry: WaitingView, head: Head) -> bool:
        return entry.duration == inf or self.machine.now + entry.duration > head.shadow

    def _lead(self, entry: WaitingView) -> Head:
        """Walk the planned ends until the job fits; if it never does, nobody can tell when."""
        machine, part, request = self.machine, entry.partition, entry.request
        shadow, then, found = inf, copy_of(machine.whole[part]), None
        for time in sorted({end.at for end in machine.ends if end.at < inf}):
            rooms = machine.after(part, time)
            if (found := machine.seats(rooms, request)) is not None:
                shadow, then = time, rooms
                break
        places = found or machine.seats(then, request) or []
        for name, amounts in machine.takes(request, places).items():
            change(then[name], amounts, -1)
        user_left = inf
        if most := machine.snapshot.max_cpus_per_user:
            ended = sum(e.cpus for e in machine.ends if e.user == entry.user and e.at <= shadow)
            user_left = most - machine.held[entry.user] + ended
            user_left -= machine.cpus_of(request, places)
        return Head(entry.job, entry.user, shadow, then, user_left)

    def _start(self, entry: WaitingView, chosen: Seats) -> None:
        head = self.heads.get(entry.partition)
        if head is not None and self._late(entry, head):
            for name, amounts in self.machine.takes(entry.request, chosen).items():
                change(head.beside[name], amounts, -1)
            if head.user == entry.user:
                head.user_left -= self.machine.cpus_of(entry.request, chosen)
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
    work = Pass(machine, policies or {}, windows)
    machine.rules |= {e.job: e.blocked.rule for e in snapshot.waiting if e.blocked is not None}
    queue = in_rank(entry for entry in snapshot.waiting if entry.blocked is None)
    back = {*freed}
    for part, book in work.books.items():
        if before is not None and book.keeps:
            mine = {entry.job: entry for entry in queue if entry.partition == part}
            kept, lost = _kept(before, part, mine)
            book.keep(kept, mine.values())
            back |= {part} if lost else set()
    shared = bool(snapshot.licences or snapshot.max_cpus_per_user)  # by all partitions
    for part, book in work.books.items():
        book.improve(freed=part in back or bool(back and shared))
    while queue:
        entry = _next(work, queue)
        queue.remove(entry)
        work.offer(entry)
    heads = {part: (head.job, head.shadow) for part, head in work.heads.items()}
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
        if entry.partition in work.heads and work.policies.get(entry.partition) == "easy-sjbf"
    ]
    if len(short) < len(queue):
        return next(entry for entry in queue if entry not in short)
    return min(short, key=lambda entry: (entry.partition, entry.duration, queue.index(entry)))
