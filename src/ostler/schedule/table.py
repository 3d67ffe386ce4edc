"""The nodes of the machine as rows of counts: what is free, what will be, and what fits where.

CPUs and GPUs of a node are interchangeable for whatever is to come, so everything is counted; their
numbers are kept beside the counts and looked at only to give them away. There are two tables with
the same answers: lists for a machine of few nodes, and arrays (`table_arrays`) for many.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from ostler.model.constraint import Constraint, parse
from ostler.model.resources import NodeFacts, Placement, Request
from ostler.model.states import Rule
from ostler.schedule.choose import Seats
from ostler.schedule.fit import allowed
from ostler.schedule.order import node_order
from ostler.schedule.room import Room, mask_of
from ostler.schedule.snapshot import NodeView

if TYPE_CHECKING:
    from ostler.schedule.head import Head

Counts = list[int]  # one for each column of the table
CPUS, MEMORY, GPUS, ALONE = range(4)  # columns; those of generic resources follow
NAMED = 4  # columns that every table has
WHOLE = 1 << 40  # in column ALONE: nothing is there. Each allocation on the node takes so much
ANY = 1 << 30  # tasks: as many as you like


class Shape:
    """What entries ask for that fit in the same places. Belongs to one table."""

    __slots__ = (
        "constraint",
        "grouped",
        "kept",
        "known",
        "most",
        "needs",
        "never",
        "open",
        "partition",
        "request",
        "seen",
        "single",
        "slot",
    )

    def __init__(
        self,
        partition: str,
        request: Request,
        columns: dict[str, int],
        known: tuple[object, ...],
    ) -> None:
        self.known = known  # its key
        self.partition = partition
        self.request = request
        self.open: Shape | None = None  # without the nodes that are reserved; None: none are
        self.constraint: Constraint | None = (
            parse(request.constraint) if request.constraint else None
        )
        grouped = self.constraint is not None and bool(self.constraint.groups)
        self.grouped = grouped
        self.single = request.tasks == 1 and request.nodes <= 1
        self.single = self.single and not (grouped or request.spread)
        needs = {CPUS: request.cpus, MEMORY: request.memory, GPUS: request.gpus}
        if request.exclusive:
            needs[ALONE] = 1
        for name, count in request.generic.items():
            needs[columns.get(name, -1)] = count
        asked = {column: count for column, count in needs.items() if column >= 0 and count}
        self.needs = list(asked.items())  # columns, and what of them a task takes
        self.most = request.tasks_per_node or ANY  # tasks on one node
        if needs.get(-1):  # no node has such a thing
            self.most = 0
        self.seen = False  # whether `never` is known
        self.never: Rule | None = None  # why it would not fit if nothing ran
        self.slot = -1  # in the arrays
        self.kept: object = None  # what the table remembers about it


class Hold(Struct):
    """What an allocation gives back at its planned end."""

    at: float  # Unix seconds; inf: nobody can tell
    parts: list[tuple[int, Counts]]  # row, what of it
    user: str
    user_cpus: int


class Table(ABC):
    """Rows in the order of nodes, those that cannot be used included."""

    def __init__(self, views: Iterable[NodeView]) -> None:
        self.views = sorted(views, key=lambda view: node_order(view.name))
        self.rows = {view.name: row for row, view in enumerate(self.views)}
        names = {name for view in self.views for name in view.facts.generic}
        names |= {name for view in self.views for name in view.free_generic}
        self.generic = {name: NAMED + at for at, name in enumerate(sorted(names))}
        self.width = NAMED + len(names)
        self.cpus = [mask_of(view.free_cpus) for view in self.views]
        self.gpus = [mask_of(view.free_gpus) for view in self.views]
        self.withheld: dict[int, int] = {}  # row -> CPUs that are kept for what is to go on
        self.holds: dict[int, Hold] = {}  # what has a planned end, by allocation
        self.shapes: dict[tuple[object, ...], Shape] = {}

    # -- rows -----------------------------------------------------------------------------------

    def knows(self, view: NodeView) -> bool:
        """Say whether there is a place for this node and all it has."""
        return view.name in self.rows and all(
            name in self.generic for name in (*view.facts.generic, *view.free_generic)
        )

    def put(self, view: NodeView) -> bool:
        """Take note of a node; say whether anything differs from what was known."""
        row = self.rows[view.name]
        old = self.views[row]
        self.views[row] = view
        cpus, gpus = mask_of(view.free_cpus), mask_of(view.free_gpus)
        known = self.free(row)
        counts = self._counts(cpus & ~self.withheld.get(row, 0), view, known[ALONE])
        status = (
            old.usable != view.usable
            or old.gone != view.gone
            or old.partition != view.partition
            or old.facts != view.facts
        )
        changed = status or counts != known or cpus != self.cpus[row] or gpus != self.gpus[row]
        self.cpus[row], self.gpus[row] = cpus, gpus
        if status:
            self._other_state(row)
            for shape in self.shapes.values():
                shape.seen = False
        if changed:
            self.set_free({row: counts})
        return changed

    def withhold(self, masks: dict[str, int]) -> None:
        """Keep these CPUs from everything, and no others any more."""
        now = {self.rows[name]: mask for name, mask in masks.items() if name in self.rows}
        changed = {}
        for row in {*now, *self.withheld}:
            counts = self.free(row)
            counts[CPUS] = (self.cpus[row] & ~now.get(row, 0)).bit_count()
            changed[row] = counts
        self.withheld = now
        if changed:
            self.set_free(changed)

    def room(self, row: int) -> Room:
        """Return what is free on the node now, by name."""
        counts = self.free(row)
        generic = {name: counts[column] for name, column in self.generic.items()}
        cpus = self.cpus[row] & ~self.withheld.get(row, 0)
        view = self.views[row]
        there = 1 - counts[ALONE] // WHOLE  # allocations
        return Room(
            view.name,
            cpus,
            counts[MEMORY],
            self.gpus[row],
            generic,
            view.facts.features,
            there,
        )

    def take(self, request: Request, seats: Seats) -> tuple[Placement, ...]:
        """Give these seats, which are free; return them with the names of CPUs and GPUs."""
        places, rank, changed = [], 0, {}
        for row, tasks in seats:
            place = self.room(row).place(request, tasks, rank)
            places.append(place)
            rank += tasks
            self.cpus[row] &= ~mask_of(place.cpus)
            self.gpus[row] &= ~mask_of(place.gpus)
            counts = self.free(row)
            for column, count in enumerate(self.counts_of(place)):
                if column != ALONE:  # that goes by `hold`
                    counts[column] -= count
            changed[row] = counts
        self.set_free(changed)
        return tuple(places)

    def change_cpus(self, places: Sequence[Placement], *, free: bool) -> None:
        """Have the very CPUs of an allocation back that stands still; or let it go on with them."""
        changed = {}
        for place in places:
            if (row := self.rows.get(place.node)) is not None:
                mask = mask_of(place.cpus)
                self.cpus[row] = self.cpus[row] | mask if free else self.cpus[row] & ~mask
                counts = self.free(row)
                counts[CPUS] = (self.cpus[row] & ~self.withheld.get(row, 0)).bit_count()
                changed[row] = counts
        self.set_free(changed)

    def give(self, places: Sequence[Placement], masks: Sequence[int]) -> None:
        """Take back what an allocation held; its CPUs are told apart, some may be promised on."""
        changed = {}
        for place, mask in zip(places, masks, strict=True):
            if (row := self.rows.get(place.node)) is not None:
                self.cpus[row] |= mask
                self.gpus[row] |= mask_of(place.gpus)
                counts = self.free(row)
                for column, count in enumerate(self.counts_of(place)):
                    if column != ALONE:
                        counts[column] += count
                counts[CPUS] = (self.cpus[row] & ~self.withheld.get(row, 0)).bit_count()
                changed[row] = counts
        self.set_free(changed)

    def counts_of(self, place: Placement, cpus: int | None = None) -> Counts:
        """Return what a placement takes; cpus: how many of its CPUs count."""
        counts = [len(place.cpus) if cpus is None else cpus, place.memory, len(place.gpus), WHOLE]
        counts += [0] * (self.width - NAMED)
        for name, count in place.generic.items():
            if name in self.generic:
                counts[self.generic[name]] += count
        return counts

    def whole(self, facts: NodeFacts) -> Counts:
        """Return what an idle node has."""
        counts = [len(facts.cpus), facts.memory, len(facts.gpus), WHOLE]
        return counts + [facts.generic.get(name, 0) for name in self.generic]

    def _counts(self, cpus: int, view: NodeView, alone: int) -> Counts:
        counts = [cpus.bit_count(), view.free_memory, len(view.free_gpus), alone]
        return counts + [view.free_generic.get(name, 0) for name in self.generic]

    # -- planned ends -----------------------------------------------------------------------------

    def hold(self, number: int, hold: Hold) -> None:
        """Take note of an allocation, or of how it has changed."""
        old = self.holds.get(number)
        if old is not None and old.parts == hold.parts:
            if old.at != hold.at:
                self.holds[number] = hold
                self._left(number, old.at)
                self._came(number, hold)
            return
        if old is not None:
            self.drop(number)
        self.holds[number] = hold
        self._came(number, hold)
        self._alone(hold, -WHOLE)

    def drop(self, number: int) -> None:
        """Forget an allocation; what it gives back is told by its nodes."""
        hold = self.holds.pop(number, None)
        if hold is not None:
            self._left(number, hold.at)
            self._alone(hold, WHOLE)

    def _alone(self, hold: Hold, change: int) -> None:
        changed: dict[int, Counts] = {}
        for row, _ in hold.parts:
            counts = changed.get(row) or self.free(row)
            counts[ALONE] += change
            changed[row] = counts
        self.set_free(changed)

    # -- shapes -----------------------------------------------------------------------------------

    def shape(self, partition: str, request: Request, known: tuple[object, ...]) -> Shape:
        """Return the shape of this request; known: its key."""
        found = self.shapes.get(known)
        if found is None:
            found = Shape(partition, request, self.generic, known)
            self.shapes[known] = found
        return found

    def forget(self, known: tuple[object, ...]) -> None:
        """Do not keep this shape any more."""
        del self.shapes[known]

    def eligible(self, row: int, shape: Shape, *, idle: bool = False) -> bool:
        """Say whether the node may be given to such work; idle: whether it could be some time."""
        view = self.views[row]
        if view.partition != shape.partition or (view.gone if idle else not view.usable):
            return False
        return allowed(view.name, view.facts.features, shape.request)

    def members(self, shape: Shape) -> dict[int, int]:
        """Return for which groups of the constraint each node counts."""
        if shape.constraint is None or not shape.constraint.groups:
            return {}
        of = shape.constraint.member
        return {row: of(view.facts.features) for row, view in enumerate(self.views)}

    def why_never(self, shape: Shape) -> Rule | None:
        """Return why it would not fit if nothing ran; None if it would."""
        if not shape.seen:
            shape.seen = True
            shape.never = None
            if self.idle_seats(shape, usable=True) is None:
                configured = self.idle_seats(shape, usable=False)
                shape.never = Rule.NODE_LEFT if configured is None else Rule.NODES
        return shape.never

    def copy_into(self, other: "Table") -> None:
        """Give another all that is here, so that each may be changed on its own."""
        for name, value in vars(self).items():
            setattr(other, name, value.copy() if isinstance(value, list | dict | set) else value)
        other.shapes = {known: copy(shape) for known, shape in self.shapes.items()}
        for shape in other.shapes.values():
            shape.kept = None

    def taken(self, shape: Shape, row: int, tasks: int) -> Counts:
        """Return what so many tasks take there."""
        if shape.request.exclusive:
            return self.whole(self.views[row].facts)
        amounts = [0] * self.width
        amounts[ALONE] = WHOLE
        for column, need in shape.needs:
            amounts[column] += tasks * need
        return amounts

    @contextmanager
    def without(self, takes: dict[int, Counts]) -> Iterator[None]:
        """Look at the rows as if so much more were taken there, for ever."""
        free = {row: self.free(row) for row in takes}
        self.set_free({row: _less(free[row], counts) for row, counts in takes.items()})
        try:
            yield
        finally:
            self.set_free(free)

    # -- what the two tables do in their own ways -------------------------------------------------

    @abstractmethod
    def free(self, row: int) -> Counts:
        """Return what is free there now; the caller may change the list."""

    @abstractmethod
    def set_free(self, changed: dict[int, Counts]) -> None:
        """Take note of what is free on these rows."""

    @abstractmethod
    def fits(self, shape: Shape) -> bool:
        """Say whether one element fits now."""

    @abstractmethod
    def seats(self, shape: Shape, head: "Head | None" = None) -> Seats | None:
        """Return where one element goes now; beside what is promised to the head, if given."""

    @abstractmethod
    def caps(self, shape: Shape) -> list[int]:
        """Return how many tasks have room now, by row."""

    @abstractmethod
    def idle_seats(self, shape: Shape, *, usable: bool) -> Seats | None:
        """Return where one element goes if nothing runs, on usable nodes or all configured ones."""

    @abstractmethod
    def earliest(
        self, shape: Shape, now: float, hint: float = inf, start: float = -inf
    ) -> tuple[float, Seats, dict[int, Counts]] | None:
        """Return when one element fits as allocations end, where, and what is free there then.

        It does not fit now. hint: a time that may well be right; what is found does not depend on
        it. start: a time later than now; it fits then or later. Time inf: no planned end makes
        room, but the idle nodes have it. None: not even then.
        """

    @abstractmethod
    def next_end(self, after: float) -> float:
        """Return the first planned end later than this; inf if there is none."""

    @abstractmethod
    def copy(self) -> "Table":
        """Return another that may be changed on its own."""

    @abstractmethod
    def _other_state(self, row: int) -> None: ...
    @abstractmethod
    def _came(self, number: int, hold: Hold) -> None: ...
    @abstractmethod
    def _left(self, number: int, at: float) -> None: ...


def _less(counts: Counts, others: Counts) -> Counts:
    return [count - less for count, less in zip(counts, others, strict=True)]
