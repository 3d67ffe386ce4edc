"""The starts that EASY promises: to the first each that lacks room, lacks licences, meets a window.

The first that does not fit is the head: its promise is what EASY is about. Beside it, the first that
lacks licences is promised a start as well, and the first that waits for the window of a reservation
to end, so that who comes later takes neither them nor its room, and the head is protected however
long those waits take. Whoever of them comes later in the queue is promised a start as if those before
it took their places for ever once they begin: perhaps later than it could be, never earlier.
On nodes that a window keeps for somebody his work need not leave alone what is promised for after
that to those whom it is shut to: else it would have to end with the window.

A promise is for the first time at which, as all that runs ends as planned, nodes that are open to
it have room, its licences are there, and the limits of its user, project and partition hold.
"""

from contextlib import ExitStack
from math import inf

from ostler.model.states import Rule
from ostler.schedule.agenda import Place, Search
from ostler.schedule.choose import Seats
from ostler.schedule.head import BESIDE, Head, promised
from ostler.schedule.planner import Planner
from ostler.schedule.priority import Key
from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import Counts, Shape, Table
from ostler.schedule.waits import Waits

LEADING = frozenset({Rule.RESOURCES, *BESIDE})  # rules by which a start may be promised


class Clearing:
    """Nodes on which room only grows, as what runs ends."""

    def __init__(self, table: Table, now: float, hint: float) -> None:
        self._table = table
        self._now = now
        self._hint = hint
        self.after: dict[int, Counts] = {}  # what is free at the place found last

    def earliest(self, shape: Shape, duration: float) -> Place | None:
        """Return when one element fits that does not fit now."""
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


def lead(planner: Planner, shape: Shape, entry: WaitingView, key: Key, rule: Rule) -> None:
    """Promise when and where it will start to the first entry that waits by one of those rules."""
    partition, room = entry.partition, rule is Rule.RESOURCES
    has_one = partition in planner.heads if room else (partition, rule) in planner.beside_heads
    if has_one or entry.job in planner.pledged or not (room or planner.backfills(partition)):
        return
    if rule is Rule.RESERVED and _waits_for_its_own(planner, entry):
        return
    hint = planner.hints.get(partition, inf) if room else inf
    clearing = Clearing(planner.table, planner.now, hint)
    search = Search(planner, clearing)
    waits = Waits(entry.job, 1, shape, entry.duration, (), entry)
    found = _beside(planner.heads_of(partition), planner.table, search, waits)
    if found is None:  # what is usable could not hold it: that is another rule's business
        return
    shadow, seats, after = promised((*found, clearing.after), shape)
    takes = {row: planner.table.taken(shape, row, tasks) for row, tasks in seats}
    head = Head(entry, key, shadow, seats, after, takes)
    if room:
        planner.heads[partition] = head
    else:
        planner.beside_heads[partition, rule] = head
    planner.count_on(head)


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
