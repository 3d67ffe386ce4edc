"""A scheduler for tests: an engine that is told what changed, held against one that sees it all."""

from typing import Any

from ostler.core.machine import Machine
from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.snapshot import Delta, Plan, Snapshot, whole
from ostler.testing.ledger import Broken


class Picture:
    """The machine as it follows from deltas alone."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[Any, Any]] = {"nodes": {}, "running": {}, "waiting": {}}
        self.one: dict[str, Any] = {}

    def apply(self, delta: Delta) -> None:
        """Take note of what changed."""
        if delta.reset:
            self.__init__()  # type: ignore[misc]
        nodes, running, waiting = self.parts.values()
        nodes |= {view.name: view for view in delta.nodes}
        running |= {view.alloc: view for view in delta.running}
        waiting |= {view.job: view for view in delta.waiting}
        for alloc in delta.over:
            running.pop(alloc, None)
        for job in delta.gone:
            waiting.pop(job, None)
        for what in ("resuming", "known_ever", "rules"):
            if getattr(delta, what) is not None:
                self.one[what] = getattr(delta, what)

    def differences(self, snapshot: Snapshot) -> list[str]:
        """Return where it is not what a look at everything says."""
        right = Picture()
        right.apply(whole(snapshot))
        found = []
        for what, mine in self.parts.items():
            other = right.parts[what]
            found += [
                f"{what} {key}: deltas tell {mine.get(key)}, and it is {other.get(key)}"
                for key in sorted(mine.keys() | other.keys())
                if mine.get(key) != other.get(key)
            ]
        found += [
            f"{what}: deltas tell {self.one.get(what)}, and it is {value}"
            for what, value in right.one.items()
            if self.one.get(what) != value and not (what == "known_ever" and not value)
        ]
        return found


class Scheduler:
    """An engine fed by one machine; raises `Broken` where deltas leave something out."""

    def __init__(self, every: int = 1) -> None:
        """Begin. every: passes of which one is held against that of a fresh engine."""
        self.engine = Engine()
        self.picture = Picture()
        self._every = every
        self._passes = 0
        self._told: dict[int, Rule] = {}  # by what rule each job waits, as plans have told

    def plan(self, machine: Machine, now: float) -> Plan:
        """Return what an engine plans that was told what has changed."""
        while True:
            delta = machine.delta(now)
            self.picture.apply(delta)
            self.engine.apply(delta)
            if not machine.state.marks:
                break
        snapshot = machine.snapshot(now)
        if found := self.picture.differences(snapshot):
            raise Broken("\n".join(found[:5]))
        plan = self.engine.plan(now)
        self._told |= {job: wait.rule for job, wait in plan.waits.items()}
        self._passes += 1
        if self._passes % self._every == 0:
            self._check(plan, snapshot, now)
        return plan

    def _check(self, plan: Plan, snapshot: Snapshot, now: float) -> None:
        fresh = Engine()
        fresh.apply(whole(snapshot, plan.number))
        right = fresh.plan(now)
        self._told = {job: rule for job, rule in self._told.items() if job in right.waits}
        rules = {job: wait.rule for job, wait in right.waits.items()}
        if plan.lines != right.lines or plan.yields != right.yields:
            raise Broken(f"an engine kept from pass to pass plans {plan}, and a fresh one {right}")
        if self._told != rules:
            raise Broken(f"jobs were told to wait by {self._told}, and it is {rules}")
