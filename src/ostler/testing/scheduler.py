"""A scheduler for tests: an engine that is told what changed, held against one that sees it all."""

from math import inf

from msgspec.structs import replace

from ostler.core.machine import Machine
from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.promised import Promised, promised_by
from ostler.schedule.snapshot import Plan, Snapshot, whole
from ostler.schedule.views import Views
from ostler.testing.ledger import Broken

PIECES = 1_000  # of one plan, at the most


def differences(views: Views, snapshot: Snapshot) -> list[str]:
    """Return where what deltas told is not what a look at everything says."""
    right = Views()
    right.apply(whole(snapshot))
    found = []
    for what, other in vars(right).items():
        mine = getattr(views, what)
        if isinstance(other, dict):
            found += [
                f"{what} {key}: deltas tell {mine.get(key)}, and it is {other.get(key)}"
                for key in sorted(mine.keys() | other.keys())
                if mine.get(key) != other.get(key)
            ]
        elif mine != other:
            found.append(f"{what}: deltas tell {mine}, and it is {other}")
    return found


def _complete(engine: Engine, now: float) -> Plan:
    """Ask for a plan, and for its other pieces where it starts or tells more than fits into one."""
    plan = engine.plan(now)
    for _ in range(PIECES):
        if plan.wake != now:
            return plan
        more = engine.plan(now)
        plan = replace(
            more,
            lines=[*plan.lines, *more.lines],
            waits=plan.waits | more.waits,
            turned=plan.turned + more.turned,
        )
    raise Broken(f"after {PIECES} pieces a plan has no end: {plan}")


class Scheduler:
    """An engine fed by one machine; raises `Broken` where deltas leave something out."""

    def __init__(self, every: int = 1) -> None:
        """Begin. every: passes of which one is held against that of a fresh engine."""
        self.engine = Engine()
        self.views = Views()
        self._every = every
        self._passes = 0
        self._told: dict[int, Rule] = {}  # by what rule each job waits, as plans have told

    def plan(self, machine: Machine, now: float) -> Plan:
        """Return what an engine plans that was told what has changed."""
        for delta in machine.deltas(now):
            self.views.apply(delta)
            self.engine.apply(delta)
        machine.begin_plan()
        snapshot = machine.snapshot(now)
        if found := differences(self.views, snapshot):
            raise Broken("\n".join(found[:5]))
        promised, freed = promised_by(self.engine), set(self.engine.picture.freed)
        plan = _complete(self.engine, now)
        self._told |= {job: wait.rule for job, wait in plan.waits.items()}
        self._passes += 1
        if self._passes % self._every == 0:
            self._check(plan, snapshot, now, promised, freed)
        return plan

    def _check(
        self, plan: Plan, snapshot: Snapshot, now: float, promised: Promised, freed: set[str]
    ) -> None:
        """Hold a plan against one of an engine that sees everything.

        freed: partitions in which room came back. Only there promises are put earlier, once.
        """
        fresh = Engine(starts=inf, tells=inf)
        fresh.apply(whole(snapshot, plan.number))
        fresh.books, fresh.pledges, fresh.told = promised  # which no snapshot tells
        fresh.picture.freed = freed
        right = fresh.plan(now)
        self._told = {job: rule for job, rule in self._told.items() if job in right.waits}
        rules = {job: wait.rule for job, wait in right.waits.items()}
        if plan.lines != right.lines or plan.yields != right.yields:
            raise Broken(f"an engine kept from pass to pass plans {plan}, and a fresh one {right}")
        if self._told != rules:
            raise Broken(f"jobs were told to wait by {self._told}, and it is {rules}")
