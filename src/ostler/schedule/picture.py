"""What a scheduler knows of the machine, apart from the queue: nodes, what runs, what is to go on.

A plan changes it as if all its lines were carried out; what is only assumed so is dropped again as
soon as something is told.
"""

from collections.abc import Iterable
from math import inf

from msgspec.structs import replace

from ostler.model.resources import NodeFacts, Placement
from ostler.schedule import licences
from ostler.schedule.assumed import Assumed, started
from ostler.schedule.claimed import Claimed, key_of
from ostler.schedule.givers import Givers, way_of
from ostler.schedule.limits import Claim
from ostler.schedule.priority import Scorer, by_standing
from ostler.schedule.reservations import Calendar
from ostler.schedule.resumes import Resumes
from ostler.schedule.room import mask_of
from ostler.schedule.rules import Rules
from ostler.schedule.snapshot import (
    Delta,
    NodeView,
    ResumeView,
    RunningView,
    Standing,
    WaitingView,
    is_alike,
)
from ostler.schedule.table import Hold, Table
from ostler.schedule.table_lists import ListTable

MANY = 64  # nodes from which on arrays are worth it
NOBODY = Resumes((), {}, lambda _: 0, {}, 0, 0.0)


class Picture:
    """The machine at one moment."""

    def __init__(self, *, many: int = MANY) -> None:
        self.nodes: dict[str, NodeView] = {}
        self.cpus = 0  # of all nodes that have not left
        self.running: dict[int, RunningView] = {}
        self.resuming: list[ResumeView] = []
        self.known_ever: tuple[NodeFacts, ...] = ()
        self.rules = Rules()
        self.standings: tuple[Standing, ...] = ()
        self.calendar: Calendar | None = None  # where nodes are reserved at times
        self.claims: Claimed | None = None  # where limits by user, project or partition are set
        self.ranks_changed = False  # the order of what waits depends on something that changed
        self.held: dict[str, int] = {}  # CPUs by user
        self.licensed: dict[str, int] = {}  # licences that are in use
        self.resumes = NOBODY
        self.assumed: list[Assumed] = []
        self.slots: dict[int, RunningView] = {}  # what takes element after element
        self.slots_changed = False
        self.turned: dict[str, float] = {}  # partition -> Unix seconds of its last turn
        # What must be looked at again because of what was told
        self.dirty: set[str] = set()  # partitions
        self.all_dirty = False
        self.gives = self.ways = False  # anybody may give way; who does may be others than before
        self.freed: set[str] = set()  # partitions in which room came back, whatever has taken it
        self.moved: list[tuple[RunningView, float]] = []  # whose end is another, the earlier one
        self._many = many
        self._givers: Givers | None = None
        self._table: Table | None = None
        self._plain = True  # no CPU is withheld, and none was

    @property
    def table(self) -> Table:
        """Return the table; it is made anew after nodes came."""
        if self._table is None:
            views = self.nodes.values()
            if len(self.nodes) < self._many:
                self._table = ListTable(views)
            else:
                from ostler.schedule.table_arrays import ArrayTable

                self._table = ArrayTable(views)
            for view in self.running.values():
                self._table.hold(view.alloc, self._hold_of(self._table, view))
        return self._table

    @property
    def givers(self) -> Givers:
        """Return all that runs, in the order in which it gives way."""
        if self._givers is None:
            self._givers = Givers(self.running)
        self._givers.settle(self.running, self.nodes, self.rules)
        return self._givers

    def _put(self, view: RunningView) -> None:
        self._changed(view.alloc)
        self.running[view.alloc] = view

    def _changed(self, number: int) -> None:
        if self._givers is not None:
            self._givers.stale.add(number)

    def key_of(self, view: WaitingView) -> object:
        """Return what entries have in common that may use the same nodes under the same limits."""
        return key_of(self.calendar, self.claims, view)

    @property
    def minutes_moved(self) -> bool:
        """Say whether what runs may use more or fewer CPU-minutes than was told before."""
        return bool(self.moved) and self.claims is not None and self.claims.minutes

    def scorer(self, now: float) -> Scorer:
        """Return what knows the order of what waits."""
        return Scorer(self.rules, now, self.cpus, by_standing(self.standings))

    def apply(self, delta: Delta) -> None:
        """Take note of what changed."""
        self._forget_assumed(
            {started(r.job, r.placements): r.ends_at for r in delta.running if not r.suspended}
        )
        if delta.known_ever is not None:
            self.known_ever = delta.known_ever
            self.all_dirty = True
            for shape in self._table.shapes.values() if self._table else ():
                shape.seen = False
        if delta.rules is not None and delta.rules != self.rules:
            self.rules = delta.rules
            self.all_dirty = self.ranks_changed = True
            self.freed.update(view.partition for view in self.nodes.values())
            self.gives = self.rules.preempting or self.rules.slicing
            self._givers = None
            self.calendar = Calendar(self.rules) if self.rules.reservations else None
            self._claim_anew()
        if delta.standings is not None and delta.standings != self.standings:
            self.standings = delta.standings
            self.ranks_changed = True
        if delta.turned is not None:
            self.turned = dict(delta.turned)
        if delta.resuming is not None:
            self.resuming = list(delta.resuming)
            self.all_dirty = True
        for number in delta.over:
            self._over(number)
        for run in delta.running:
            self._runs(run)
        for view in delta.nodes:
            self._node(view)

    def _node(self, view: NodeView) -> None:
        old = self.nodes.get(view.name)
        self.nodes[view.name] = view
        if more := _cpus(view) - _cpus(old):
            self.cpus += more
            self.ranks_changed = self.ranks_changed or bool(self.rules.weights.size)
        known = old is not None and (old.usable, old.partition, old.facts)
        if view.usable and known != (True, view.partition, view.facts):
            self.freed.add(view.partition)
        if old is None or old.partition != view.partition:
            self._givers = None
        if self._table is None or not self._table.knows(view):
            self._table = None
            self.all_dirty = True
        elif self._table.put(view):
            self.dirty |= {view.partition} if old is None else {view.partition, old.partition}

    def _runs(self, view: RunningView) -> None:
        old = self.running.get(view.alloc)
        self._put(view)
        self.ways = self.ways or (self.gives and old is not None and way_of(old) != way_of(view))
        slot = view.goes_on is not None
        if (old.goes_on, old.draining) != (view.goes_on, view.draining) if old else slot:
            self.slots_changed = True
        if slot:
            self.slots[view.alloc] = view
        else:
            self.slots.pop(view.alloc, None)
        if old is not None and is_alike(old, view):
            if old.ends_at == view.ends_at:
                return
            self.moved.append((view, min(old.ends_at, view.ends_at)))
            if view.ends_at < old.ends_at:
                self.freed |= self.partitions(view)
        else:
            if old is not None:
                self._count(old, -1)
                if view.suspended or not old.suspended:
                    self.freed |= self.partitions(old)
            self._count(view, 1)
            self._touch(view)
        self._claim_of(view)
        if self._table is not None:
            self._table.hold(view.alloc, self._hold_of(self._table, view))

    def _over(self, number: int) -> None:
        self.slots.pop(number, None)
        view = self.running.pop(number, None)
        self._changed(number)
        self._claim(number, None)
        if view is not None:
            self._count(view, -1)
            self._touch(view)
            self.freed |= self.partitions(view)
            if self._table is not None:
                self._table.drop(number)

    def _count(self, view: RunningView, sign: int) -> None:
        if not view.suspended:
            cpus = sum(len(place.cpus) for place in view.placements)
            self._hold_cpus(view.user, sign * cpus)
        licences.change(self.licensed, view.licences, sign)

    def _claim_anew(self) -> None:
        """Count what runs under the limits that are set now."""
        self.claims = Claimed(self.rules) if self.rules.limits else None
        if self.claims is not None:
            for view in self.running.values():
                self._claim_of(view)

    def _claim_of(self, view: RunningView) -> None:
        if self.claims is None:
            return
        claim = None
        if not view.suspended:
            cpus = sum(len(place.cpus) for place in view.placements)
            claim = Claim(view.user, view.project, view.partition, cpus, view.ends_at)
        self._claim(view.alloc, claim)

    def _claim(self, number: int, claim: Claim | None) -> None:
        if self.claims is not None:
            self.claims.put(number, claim)

    def _hold_cpus(self, user: str, cpus: int) -> None:
        left = self.held.get(user, 0) + cpus
        if left:
            self.held[user] = left
        else:
            self.held.pop(user, None)

    def _touch(self, view: RunningView) -> None:
        self.dirty |= self.partitions(view)

    def settled(self) -> None:
        """Note that everything that was told has been looked at."""
        self.dirty.clear()
        self.moved.clear()
        self.freed.clear()
        if self._givers and len(self._givers.stale) > len(self.running):
            self._givers = None  # nobody has asked for long
        self.all_dirty = self.slots_changed = self.ways = False

    def partitions(self, view: RunningView) -> set[str]:
        """Return in which partitions it is."""
        nodes = (self.nodes.get(place.node) for place in view.placements)
        return {node.partition for node in nodes if node is not None}

    def end(self, views: Iterable[RunningView]) -> None:
        """Take these allocations away, and give back what they hold."""
        gone = {view.alloc for view in views}
        for number in gone:
            view = self.running[number]
            masks = [0 if view.suspended else mask_of(place.cpus) for place in view.placements]
            self._over(number)
            self.table.give(view.placements, masks)
        self.resuming = [view for view in self.resuming if view.alloc not in gone]

    # -- what a plan does -------------------------------------------------------------------------

    def assume(self, entry: WaitingView, places: tuple[Placement, ...], ends_at: float) -> Assumed:
        """Note that an element starts; its places are taken already."""
        found = Assumed(-1 - len(self.assumed), entry, places, ends_at)
        self.assumed.append(found)
        self._hold_cpus(found.user, found.cpus)
        claim = Claim(entry.user, entry.project, entry.partition, found.cpus, ends_at)
        self._claim(found.number, claim)
        licences.change(self.licensed, found.licences, 1)
        parts = [(self.table.rows[p.node], self.table.counts_of(p)) for p in places]
        self.table.hold(found.number, Hold(ends_at, parts, found.user, found.cpus))
        return found

    def forecast_end(
        self, number: int, places: tuple[Placement, ...], cpus: tuple[int, ...], of: dict[str, int]
    ) -> None:
        """Give back what an allocation holds, as if it had ended.

        cpus: the ones to be given, as bits by place. of: its licences.
        """
        licences.change(self.licensed, of, -1)
        self._claim(number, None)
        hold = self.table.holds.get(number)
        if hold is not None:
            self._hold_cpus(hold.user, -hold.user_cpus)
        self.table.drop(number)
        self.table.give(places, cpus)

    def end_as_planned(self, number: int) -> None:
        """Give back what an allocation holds, as if it had ended; below zero: an assumed one."""
        view = self.running.pop(number, None)
        self.slots.pop(number, None)
        self._changed(number)
        if view is not None:
            _, masks, _ = self.gives_back(view)
            self.forecast_end(number, view.placements, masks, view.licences)
        else:
            found = self.assumed[-1 - number]
            masks = tuple(mask_of(place.cpus) for place in found.places)
            self.forecast_end(number, found.places, masks, found.licences)
            self.assumed[-1 - number] = found.over()
        self.all_dirty = True

    def _forget_assumed(self, told: dict[object, float]) -> None:
        """Drop what a plan has started. told: the ends of what runs now; others were refused."""
        for found in self.assumed:
            self._hold_cpus(found.user, -found.cpus)
            self._claim(found.number, None)
            licences.change(self.licensed, found.licences, -1)
            if self._table is not None:
                self._table.drop(found.number)
            partitions = {self.nodes[place.node].partition for place in found.places}
            self.dirty |= partitions
            if told.pop(started(found.job, found.places), -inf) < found.ends_at:
                self.freed |= partitions
        self.assumed.clear()

    def go_on(self, now: float) -> Resumes:
        """Decide who goes on now; the others keep their CPUs from everybody else."""
        if not self.resuming and self._plain:
            self.resumes = NOBODY
            return NOBODY
        table, before = self.table, {*self.resumes.withheld}
        self.resumes = resumes = Resumes(
            self.resuming,
            self.running,
            lambda name: table.cpus[table.rows[name]] if name in table.rows else 0,
            self.held,
            self.rules.max_cpus_per_user,
            now,
        )
        table.withhold(resumes.withheld)
        for alloc, found in resumes.all.items():
            if found.wait is None:
                table.change_cpus(found.view.placements, free=False)
                if (view := self.running.get(alloc)) is not None:
                    self.becomes(replace(view, suspended=False, ends_at=found.ends_at))
        self.resuming = [v for v in self.resuming if resumes.all[v.alloc].wait is not None]
        nodes = before | {*resumes.withheld}
        for view in self.running.values():
            if view.alloc in resumes.all or any(p.node in nodes for p in view.placements):
                table.hold(view.alloc, self._hold_of(table, view))
        self._plain = not resumes.withheld
        self.all_dirty = True
        return resumes

    def becomes(self, view: RunningView) -> None:
        """Let an allocation stand still or go on, apart from the books of its nodes."""
        self._count(self.running[view.alloc], -1)
        self._count(view, 1)
        self._put(view)
        self._claim_of(view)
        self.table.hold(view.alloc, self._hold_of(self.table, view))

    def leaves(self, view: RunningView) -> None:
        """Note that an allocation is told to end."""
        self._put(replace(view, leaving=True))

    def _hold_of(self, table: Table, view: RunningView) -> Hold:
        at, masks, held = self.gives_back(view)
        parts = []
        for place, mask in zip(view.placements, masks, strict=True):
            if (row := table.rows.get(place.node)) is not None:
                parts.append((row, table.counts_of(place, mask.bit_count())))
        return Hold(at, parts, view.user, held)

    def gives_back(self, view: RunningView) -> tuple[float, tuple[int, ...], int]:
        """Return when it should end, which CPUs it then gives back by place, and for its user.

        Nobody can tell when a suspended allocation ends; it gives back no CPUs, for it holds none.
        CPUs that a waiting resume will take are not given to anybody else.
        """
        found = self.resumes.all.get(view.alloc)
        if found is not None and found.is_of(view):
            held = 0 if found.wait else found.cpus
            return found.ends_at, self.resumes.given_back(found), held
        if view.suspended:
            return inf, (0,) * len(view.placements), 0
        kept = self.resumes.withheld
        masks = tuple(mask_of(p.cpus) & ~kept.get(p.node, 0) for p in view.placements)
        return view.ends_at, masks, sum(len(place.cpus) for place in view.placements)

    def copy(self) -> "Picture":
        """Return another to be changed on its own."""
        other = Picture(many=self._many)
        for name, value in vars(self).items():
            setattr(other, name, value.copy() if isinstance(value, list | dict | set) else value)
        other.claims = self.claims.copy() if self.claims is not None else None
        other._givers = self._givers.copy() if self._givers is not None else None
        other._table = self._table.copy() if self._table is not None else None
        return other


def _cpus(view: NodeView | None) -> int:
    return 0 if view is None or view.gone else len(view.facts.cpus)
