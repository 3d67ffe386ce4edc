"""The scheduler: it is told what changed, and plans. Equal machines get equal plans.

An engine keeps its own picture of the machine. A plan changes that picture as if every line were
carried out; the next delta has the true state of all that the lines touched.
"""

from ostler.model.resources import NodeFacts
from ostler.model.states import Rule
from ostler.schedule import backfill
from ostler.schedule.rules import Rules
from ostler.schedule.snapshot import (
    Delta,
    NodeView,
    Plan,
    ResumeView,
    RunningView,
    Snapshot,
    WaitingView,
)


class Engine:
    """What waits, what runs and what is free, kept from pass to pass."""

    def __init__(self) -> None:
        self._number = 0
        self._nodes: dict[str, NodeView] = {}
        self._running: dict[int, RunningView] = {}
        self._waiting: dict[int, WaitingView] = {}
        self._resuming: list[ResumeView] = []
        self._known_ever: tuple[NodeFacts, ...] = ()
        self._rules = Rules()
        self._told: dict[int, Rule] = {}

    def apply(self, delta: Delta) -> None:
        """Take note of what changed."""
        if delta.reset:
            vars(self).update(vars(Engine()))
        self._number = delta.number
        self._nodes |= {view.name: view for view in delta.nodes}
        self._running |= {view.alloc: view for view in delta.running}
        for alloc in delta.over:
            self._running.pop(alloc, None)
        self._waiting |= {view.job: view for view in delta.waiting}
        for job in delta.gone:
            self._waiting.pop(job, None)
        for job in (*delta.gone, *(view.job for view in delta.waiting)):
            self._told.pop(job, None)
        if delta.resuming is not None:
            self._resuming = delta.resuming
        if delta.known_ever is not None:
            self._known_ever = delta.known_ever
        if delta.rules is not None:
            self._rules = delta.rules

    def plan(self, now: float) -> Plan:
        """Return what to resume and start now, and the rules of waits that are new.

        now: Unix seconds. `waits` has the jobs whose rule differs from what was told last.
        """
        found = backfill.plan(self._snapshot(), now, depth=0)
        waits = {
            job: wait for job, wait in found.waits.items() if self._told.get(job) is not wait.rule
        }
        self._told = {job: wait.rule for job, wait in found.waits.items()}
        return Plan(found.lines, waits, found.yields, self._number)

    def copy(self) -> "Engine":
        """Return another with the same picture, to be changed on its own."""
        other = Engine()
        for name, value in vars(self).items():
            setattr(other, name, value.copy() if isinstance(value, dict) else value)
        return other

    def _snapshot(self) -> Snapshot:
        held: dict[str, int] = {}
        for view in self._running.values():
            if not view.suspended:
                cpus = sum(len(place.cpus) for place in view.placements)
                held[view.user] = held.get(view.user, 0) + cpus
        return Snapshot(
            list(self._nodes.values()),
            list(self._running.values()),
            list(self._waiting.values()),
            self._resuming,
            held,
            self._rules.max_cpus_per_user,
            self._known_ever,
            self._rules.licences,
        )
