"""The starts that EASY promises: to the first each that lacks room, lacks licences, meets a window.

The first that does not fit is the head: its promise is what EASY is about. Beside it, the first that
lacks licences is promised a start as well, and the first that waits for the window of a reservation
to end, so that who comes later takes neither them nor its room, and the head is protected however
long those waits take. Whoever of them comes later in the queue is promised a start as if those before
it took their places for ever once they begin: perhaps later than it could be, never earlier.
Who was promised a start by the last pass keeps it although what it waits for is something else now:
it would have lost it to a job behind it that has taken licences, or what a limit counts, and gives
them back in time. A job that waits for a limit is promised nothing otherwise, and holds up nobody;
nor is one that would delay another.
On nodes that a window keeps for somebody his work need not leave alone what is promised for after
that to those whom it is shut to: else it would have to end with the window.

A promise is for the first time at which, as all that runs ends as planned, nodes that are open to
it have room, its licences are there, and the limits of its user, project and partition hold.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from math import inf, nextafter

from ostler.model.states import Rule
from ostler.schedule.agenda import Place, Search
from ostler.schedule.choose import Seats
from ostler.schedule.head import BESIDE, Head, Told, promised
from ostler.schedule.planner import Planner
from ostler.schedule.priority import Key
from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import Counts, Shape, Table
from ostler.schedule.waits import Waits
from ostler.schedule.whole_nodes import could_be_within

# Rules by which a start may be promised
LEADING = frozenset({Rule.RESOURCES, Rule.LIMIT, Rule.BEHIND, *BESIDE})


class Clearing:
    """Nodes on which room only grows, as what runs ends."""

    def __init__(self, table: Table, now: float, hint: float) -> None:
        self._table = table
        self._now = now
        self._hint = hint
        self.after: dict[int, Counts] = {}  # what is free at the place found last

    def earliest(self, shape: Shape, duration: float) -> Place | None:
        """Return when one element fits: now, where limits alone keep it waiting."""
        if self._table.fits(shape) and (seats := self._table.seats(shape)) is not None:
            self.after = {row: self._table.free(row) for row, _ in seats}
            return self._now, seats
        return self.earliest_from(shape, duration, -inf, [])

    def earliest_from(
        self,
        shape: Shape,
        duration: float,  # noqa: ARG002  there is always more room later
        start: float,
        seats: Seats,  # noqa: ARG002  nobody has any yet
    ) -> Place | None:
        """Return when one element fits, at a time or later."""
        found = self._table.earliest(shape, self._now, self._hint, start)
        if found is None:
            return None
        time, places, self.after = found
        return time, places

    def changes(
        self,
        shape: Shape,  # noqa: ARG002  the first time is enough
        duration: float,  # noqa: ARG002
        start: float,
    ) -> list[float]:
        """Return when something ends next."""
        return [self._table.next_end(start)]


def promise_anew(planner: Planner, partitions: Iterable[str]) -> None:
    """Take back what EASY promises in these partitions; who is still to have it is looked at again."""
    for partition in partitions:
        for rule in BESIDE:
            if (head := planner.beside_heads.pop((partition, rule), None)) is not None:
                planner.told[head.job] = Told(rule, head.shadow)
        if (head := planner.heads.pop(partition, None)) is not None:
            planner.told[head.job] = Told(Rule.RESOURCES, head.shadow)
            planner.hints[partition] = head.shadow
    planner.count_anew()


def forget_head(planner: Planner, job: int) -> None:
    """Plan as if nothing were promised to this job."""
    for partition in [part for part, head in planner.heads.items() if head.job == job]:
        del planner.heads[partition]
        planner.count_anew()
    for beside in [key for key, head in planner.beside_heads.items() if head.job == job]:
        del planner.beside_heads[beside]
        planner.count_anew()


def lead(planner: Planner, shape: Shape, entry: WaitingView, key: Key, rule: Rule) -> None:
    """Promise when and where it will start to the first entry that waits by one of those rules."""
    partition, told = entry.partition, planner.told.get(entry.job)
    if told is None and rule is Rule.BEHIND:
        return
    own = _leads(planner, shape, entry, rule)
    kept = None if told is None else told.leads  # first of all: others keep theirs as well
    free = [one for one in dict.fromkeys((kept, own)) if one is not None]
    free = [one for one in free if _is_free(planner, partition, one)]
    if entry.job in planner.pledged or not free:
        return
    if rule is Rule.RESERVED and _waits_for_its_own(planner, entry):
        return
    hint = planner.hints.get(partition, inf) if free[0] is Rule.RESOURCES else inf
    clearing = Clearing(planner.table, planner.now, hint)
    search = Search(planner, clearing)
    waits = Waits(entry.job, 1, shape, entry.duration, (), entry)
    found = _beside(planner.heads_of(partition), planner.table, search, waits)
    if found is None:  # what is usable could not hold it: that is another rule's business
        return
    if told is not None and not _is_kept(search, waits, told, rule, found[0]):
        free = [one for one in free if one is own]
    if not free:
        return
    shadow, seats, after = promised((*found, clearing.after), shape)
    takes = {row: planner.table.taken(shape, row, tasks) for row, tasks in seats}
    head = Head(entry, key, shadow, seats, after, takes, rule=rule)
    if free[0] is Rule.RESOURCES:
        planner.heads[partition] = head
    else:
        planner.beside_heads[partition, free[0]] = head
    planner.count_on(head)


def _leads(planner: Planner, shape: Shape, entry: WaitingView, rule: Rule) -> Rule | None:
    """Return as what the first that waits by this rule is promised a start; None: it is not."""
    if rule is not Rule.LIMIT:
        return None if rule is Rule.BEHIND else rule
    if entry.partition in planner.heads or not could_be_within(planner, shape, entry):
        return None
    return Rule.RESOURCES  # nodes with fewer CPUs are what it waits for


def _is_free(planner: Planner, partition: str, leads: Rule) -> bool:
    if leads is Rule.RESOURCES:
        return partition not in planner.heads
    return planner.backfills(partition) and (partition, leads) not in planner.beside_heads


def _is_kept(search: Search, waits: Waits, told: Told, rule: Rule, start: float) -> bool:
    """Say whether it waits for nothing that is not back by the time that was promised to it."""
    by = max(told.start, nextafter(search.now, inf))
    if rule in (Rule.LIMIT, Rule.LICENCES):
        return (at := search.allowed(waits)) <= by and at < inf
    return start <= by


def comes_back(heads: Iterable[Head], now: float) -> float:
    """Return the next promised start of those at a limit: time alone gives CPU-minutes; inf: none."""
    late = (head.shadow for head in heads if head.rule is Rule.LIMIT and head.shadow > now)
    return min(late, default=inf)


def _beside(others: list[Head], table: Table, search: Search, waits: Waits) -> Place | None:
    """Return its earliest start, as if each of the others took its place for ever once it begins.

    The more of them it outlasts, the later it starts, and the later it starts, the more it outlasts:
    so the first start that is found beside all that it outlasts is the earliest.
    """
    met: list[Head] = []
    while True:
        with ExitStack() as taken:
            for head in met:
                taken.enter_context(table.without(head.takes))
            found = search.earliest(waits)
        if found is None:
            return None
        more = [h for h in others if h not in met and h.outlasts(found[0], waits.duration)]
        if not more:
            return found
        met += more


def _waits_for_its_own(planner: Planner, entry: WaitingView) -> bool:
    """Say whether the reservation that it names is not open yet: nodes are kept for it."""
    calendar, name = planner.picture.calendar, entry.request.reservation
    if calendar is None or not name:
        return False
    key = calendar.key(entry.user, entry.project)
    return calendar.begins(name, key, planner.now) > planner.now
