"""A machine with scripted resource managers: their loads, calls and answers in virtual time."""

from typing import Any

from ostler.core.effects import Call, Effect
from ostler.core.events import (
    Event,
    Modified,
    Planned,
    RmAnswered,
    RmLoaded,
    RmMore,
    RmTrouble,
    Tick,
)
from ostler.core.machine import Machine
from ostler.core.violations import violations
from ostler.model.foreign import Option, Share
from ostler.model.foreign_rows import Discrepancy
from ostler.model.ids import Ref
from ostler.model.record import Event as EventRow
from ostler.model.record import Loaded
from ostler.model.site import ResourceManager
from ostler.model.site_changes import Change
from ostler.testing.judge import blame
from ostler.testing.rm import FOUR, ScriptedRm
from ostler.testing.scheduler import Scheduler
from tests.unit.core_kit import ROOT, Box, saved

WIKI = frozenset({Option.MANY_NODES})  # the four verbs alone: jobs are its own, and ours to start
SCHEDULES = FOUR | {Option.SCHEDULES}


class Foreign(Box):
    """A machine that is told of loads, and whose calls are carried out at once."""

    def __init__(self, *rms: ScriptedRm, native: tuple[str, ...] = (), **settings: Any) -> None:
        self.rms = {rm.name: rm for rm in rms}
        self.whole = True  # loads are taken in to their end at once
        self.holds = False  # calls are not carried out before `carry_out`
        self.held: list[Call] = []
        super().__init__(native)
        changes = [Change("create", "partition", (rm.name,)) for rm in rms]
        changes += [
            Change("create", "rm", (rm.name,), {"driver": "scripted", **settings}) for rm in rms
        ]
        self.change(*changes)
        self.load()

    def do(self, event: Event) -> list[Effect]:
        """Handle an event, plan, carry out what drivers are asked, and hold the state to its rules."""
        effects = super().do(event)
        blame(violations(self.machine.state), event)
        while self.whole and self.machine.wants_more:
            effects += super().do(RmMore())
            blame(violations(self.machine.state), event)
        self.held += [e for e in effects if isinstance(e, Call)]
        if not self.holds:
            effects += self.carry_out()
        return effects

    def carry_out(self) -> list[Effect]:
        """Let the drivers do what they were asked."""
        effects: list[Effect] = []
        while self.held:
            call = self.held.pop(0)
            effects += self.do(self.answer(call))
        return effects

    def answer(self, call: Call) -> RmAnswered | RmTrouble:
        """Return what a driver answers."""
        return self.rms[call.rm].take(self.now, call)

    def load(self, *names: str, after: float = 1.0) -> list[Effect]:
        """Load these, or all; the time goes on before."""
        self.now += after
        effects: list[Effect] = self.do(Tick()) if after else []
        for name in names or self.rms:
            effects += self.do(self.rms[name].load(self.now))
        return effects

    def later(self, rm: ScriptedRm, after: float = 10.0) -> RmLoaded:
        """Let time go on, and return what a load tells then."""
        self.now += after
        return rm.load(self.now)

    def fail(self, name: str, why: str = "it does not answer", *, after: float = 1.0) -> None:
        """Let a load fail."""
        self.now += after
        self.do(self.rms[name].fail(self.now, why))

    def restart(self, loaded: Loaded) -> None:
        """Let a new manager go on from the database."""
        self.machine = Machine(loaded, epoch=2, now=self.now)
        self.scheduler = Scheduler()
        self.held.clear()
        while self.machine.wants_plan:
            plan = self.scheduler.plan(self.machine, self.now)
            self.done += self.machine.handle(self.now, Planned(plan))

    def calls(self, name: str, verb: str = "start") -> list[Call]:
        """Return what a resource manager was asked."""
        return [call for call in self.rms[name].calls if call.verb == verb]

    def told(self, kind: str = "discrepancy") -> list[str]:
        """Return the sentences of all events of a kind so far."""
        return [w.text for w in saved(self.done) if isinstance(w, EventRow) and w.kind == kind]

    def odd(self) -> list[tuple[str, str, str, str]]:
        """Return kind, object, before and after of each discrepancy so far, once each."""
        rows = {w.serial: w for w in saved(self.done) if isinstance(w, Discrepancy)}
        return [(w.kind, w.object, w.before, w.after) for w in rows.values()]

    def ask_modify(self, job: int, **changes: Any) -> Any:
        """Change a job, as somebody who may do anything."""
        return self.ask(Modified, ROOT, Ref(job), changes)

    def row(self, name: str) -> ResourceManager:
        """Return the row of a resource manager."""
        return self.machine.state.site.rms[name]

    def node(self, name: str) -> str:
        """Return why nothing new starts on a node; empty: it may."""
        return self.machine.state.nodes[name].unusable

    def job(self, rm: str, ident: str) -> int:
        """Return the job of the machine that a resource manager calls so."""
        return self.machine.state.rms[rm].by_id[ident][0]


def share(node: str, cpus: int = 1, tasks: int = 1) -> Share:
    """Return a share."""
    return Share(node, tasks, cpus)
