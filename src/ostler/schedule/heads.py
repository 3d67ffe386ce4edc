"""The starts that EASY promises: to the first that lacks room, and to the first that lacks licences.

The first that does not fit is the head: its promise is what EASY is about. Beside it, the first that
lacks licences is promised a start as well, so that who comes later takes neither them nor its room,
and the head is protected however long that wait takes. Whoever of the two comes second in the queue
is promised a start as if the first took its place at once and for ever: perhaps later than it could
be, never earlier. Who waits for the end of a reservation is promised nothing: else those whom it is
for would have to end with it.

A promise is for the first time at which, as all that runs ends as planned, nodes that are open to
it have room, its licences are there, and the limits of its user, project and partition hold.
"""

from math import inf

from ostler.model.states import Rule
from ostler.schedule.agenda import Place, Search
from ostler.schedule.choose import Seats
from ostler.schedule.head import Head, promised
from ostler.schedule.planner import Planner
from ostler.schedule.priority import Key
from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import Counts, Shape, Table
from ostler.schedule.waits import Waits

LEADING = frozenset({Rule.RESOURCES, Rule.LICENCES})  # rules by which a start may be promised


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
    mine, others = planner.heads, planner.beside_heads
    if not room:
        mine, others = others, mine
    if partition in mine or not (room or planner.backfills(partition)):
        return
    hint = planner.hints.get(partition, inf) if room else inf
    clearing = Clearing(planner.table, planner.now, hint)
    search = Search(planner, clearing)
    waits = Waits(entry.job, 1, shape, entry.duration, (), entry)
    if (other := others.get(partition)) is None:
        found = search.earliest(waits)
    else:
        with planner.table.without(other.takes):
            found = search.earliest(waits)
    if found is None:  # what is usable could not hold it: that is another rule's business
        return
    shadow, seats, after = promised((*found, clearing.after), shape)
    takes = {row: planner.table.taken(shape, row, tasks) for row, tasks in seats}
    head = mine[partition] = Head(entry, key, shadow, seats, after, takes)
    planner.count_on(head)
