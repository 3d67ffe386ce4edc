"""A machine with two lying resource managers and a node of its own, at random, with its database.

Loads fail, answers are lost, jobs vanish, come back, are invented, run elsewhere; nodes go, come and
are renamed; the manager is started anew. After each event the state is held to its rules.
"""

from contextlib import suppress
from random import Random
from unittest.mock import patch

from msgspec.structs import replace

from ostler.core.effects import Call, Effect
from ostler.core.events import Event, RmAnswered, RmMore, RmTrouble
from ostler.core.foreign import intake
from ostler.model.errors import Refused
from ostler.model.foreign import Did, ForeignJob, ForeignState, NodeState, Option, Outcome
from ostler.model.foreign_rows import Stage
from ostler.model.ids import parse_ref
from ostler.model.job import FOREIGN
from ostler.model.orders import EndShare, Launch
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.testing.rm import FOUR, ScriptedRm
from tests.store.builders import Held
from tests.unit.core_kit import BOB, orders, saved
from tests.unit.foreign_kit import SCHEDULES, WIKI, Foreign, share

HALTS = frozenset({Option.SUSPEND, Option.RESUME})
SETTINGS = {"job_sync": 60, "node_sync": 60, "job_purge": 300, "node_purge": 600, "retry": 5}


class Life(Foreign):
    """One such machine in time."""

    def __init__(self, random: Random) -> None:
        """Begin with all of them idle."""
        self.random = random
        self.held_store = Held(":memory:")
        self.alone: list[int] = []  # allocations on the node of its own
        rms = [
            ScriptedRm("a", ["n1", "n2"], options=random.choice([FOUR, SCHEDULES, FOUR | HALTS])),
            ScriptedRm("b", ["m1", "m2"], options=random.choice([WIKI, FOUR | WIKI, WIKI | HALTS])),
        ]
        self.kept: dict[str, dict[str, ForeignJob]] = {rm.name: {} for rm in rms}  # vanished
        self.homes: dict[str, set[tuple[int, int]]] = {}  # by resource manager: jobs and elements
        self.starts: dict[str, tuple[int, int]] = {}  # token -> job and element
        self.invented = 0
        super().__init__(*rms, native=("n9",), **SETTINGS)
        nodes = {"nodes": {"main": "n9", "both": "a/*,b/*"}}
        self.change(
            Change("create", "partition", ("both",)), Change("set", "configuration", ("",), nodes)
        )
        self.holds = True
        self.whole = random.random() < 0.5

    def do(self, event: Event) -> list[Effect]:
        """Handle an event, and write what is to be written."""
        effects = super().do(event)
        self.held_store.commit(*saved(effects))
        self.alone += [order.alloc for _, order in orders(effects)]
        self.alone += [order.alloc for _, order in orders(effects, EndShare)]
        assert all(isinstance(o, Launch) for _, o in orders(effects))
        for call in [e for e in effects if isinstance(e, Call) and e.verb == "start"]:
            number = int(call.token.rpartition("-")[2])
            alloc = self.machine.state.allocations[number]
            self.starts[call.token] = alloc.job, alloc.element
        return effects

    def answer(self, call: Call) -> RmAnswered | RmTrouble:
        """Let a driver answer; whatever it took in has its home there."""
        rm = self.rms[call.rm]
        vanished = {job.token for job in self.kept[call.rm].values()}
        # One that neither lists a job nor knows its token would run it twice, whoever asks.
        cannot_tell = call.verb == "start" and call.token in vanished
        rm.answer = (lambda _: Outcome(Did.UNKNOWN)) if cannot_tell else None
        answer = super().answer(call)
        there = {job.token for job in (*rm.jobs.values(), *self.kept[call.rm].values())}
        there |= {end.token for end in rm.ends.values()}
        if call.verb == "start" and call.token in there:
            self.homes.setdefault(call.rm, set()).add(self.starts[call.token])
        return answer

    def play(self, steps: int) -> None:
        """Let so many things happen, then nothing bad any more until all is over."""
        acts = [
            *[self._submit] * 3, *[self._load] * 6, *[self._answer] * 4, self._fail, self._cancel,
            self._word, self._end, self._end, self._vanish, self._return, self._invent, self._lie,
            self._move, self._node, self._rename, self._lose, self._restart, self._native,
            *[self._more] * (0 if self.whole else 30),
        ]  # fmt: skip
        with patch.object(intake, "PIECE", intake.PIECE if self.whole else 0.0):
            for _ in range(steps if self.whole else 2 * steps):
                self.random.choice(acts)()
                self.now += self.random.choice([0.0, 0.5, 3.0, 20.0])
        self.whole = True
        self._calm()

    def _calm(self) -> None:
        for rm in self.rms.values():
            rm.lost, rm.complete, rm.starts_at_once = 0, True, True
            rm.tells_use = True
            rows = self.machine.state.rms[rm.name].jobs.values()
            asked = {row.token for row in rows if row.stage is Stage.ASKED}
            rm.jobs |= {n: job for n, job in self.kept[rm.name].items() if job.token in asked}
            rm.nodes = {
                name: replace(node, state=NodeState.UP, cpus=8, host="")
                for name, node in (rm.nodes or ScriptedRm("x", ["n1"]).nodes).items()
            }
        for turn in range(60):
            while self.held:
                self._answer()
            self._native()
            for rm in self.rms.values():
                waits = () if turn > 20 else (ForeignState.IDLE,)
                for job in [job for job in rm.jobs.values() if job.state not in waits]:
                    rm.put(replace(job, state=ForeignState.RUNNING))
                    rm.end(job.id, self.now)
            for number in list(self.machine.state.jobs):
                self.act("release", str(number), by=BOB)
                self.act("resume", str(number), by=BOB)
            self.load(after=60.0)
            if not self.machine.state.jobs:
                return
        left = [e.job for e in self.machine.state.jobs.values()]
        raise AssertionError(f"{left[:3]} never end")

    # -- what happens ----------------------------------------------------------------------

    def _rm(self) -> ScriptedRm:
        return self.random.choice(list(self.rms.values()))

    def _some(self, rm: ScriptedRm, *states: ForeignState) -> ForeignJob | None:
        found = [j for j in rm.jobs.values() if not states or j.state in states]
        return self.random.choice(found) if found else None

    def _submit(self) -> None:
        partition = self.random.choice(["main", "both", "both", "both"])
        array = ((0, 2),) if self.random.random() < 0.2 else ()
        cpus = self.random.randint(1, 4)
        requeue, retries = self.random.random() < 0.3, self.random.randint(0, 2)
        request = Request(cpus=cpus)
        with suppress(Refused):  # of a size that no node has at the moment
            self.submit(
                partition=partition,
                array=array,
                requeue=requeue,
                retries=retries,
                request=request,
                by=BOB,
            )

    def _load(self) -> None:
        self.load(self._rm().name, after=self.random.choice([0.0, 1.0, 30.0]))

    def _fail(self) -> None:
        self.fail(self._rm().name, after=1.0)

    def _more(self) -> None:
        for _ in range(self.random.choice([1, 5, 20])):
            if self.machine.wants_more:
                self.do(RmMore())

    def _answer(self) -> None:
        if self.held:
            call = self.held.pop(0)
            self.do(self.answer(call))

    def _jobs(self) -> list[int]:
        return list(self.machine.state.jobs)

    def _cancel(self) -> None:
        if jobs := self._jobs():
            self.act("cancel", str(self.random.choice(jobs)), by=BOB)

    def _word(self) -> None:
        if jobs := self._jobs():
            verb = self.random.choice(["hold", "release", "suspend", "resume", "requeue"])
            self.act(verb, str(parse_ref(str(self.random.choice(jobs)))), by=BOB)

    def _end(self) -> None:
        rm = self._rm()
        if (job := self._some(rm, ForeignState.RUNNING)) is not None:
            result = self.random.choice(["success", "success", "failed", "cancelled", "timeout"])
            rm.end(job.id, self.now, result, proof=self.random.random() < 0.8)

    def _vanish(self) -> None:
        rm = self._rm()
        if (job := self._some(rm)) is not None:
            self.kept[rm.name][job.id] = rm.jobs.pop(job.id)

    def _return(self) -> None:
        rm = self._rm()
        rm.jobs |= self.kept[rm.name]
        self.kept[rm.name] = {}

    def _invent(self) -> None:
        rm = self._rm()
        self.invented += 1
        ident = f"x{self.invented}"
        rm.submit(ident, self.random.choice(["bob", "eve"]), cpus=self.random.randint(1, 5))
        if self.random.random() < 0.5:
            rm.run(ident, self.now, share(self.random.choice(list(rm.nodes) or ["gone"]), 2))

    def _lie(self) -> None:
        rm = self._rm()
        rm.complete = self.random.random() < 0.7
        rm.starts_at_once = self.random.random() < 0.7
        rm.tells_use = self.random.random() < 0.7
        if (job := self._some(rm)) is not None:
            state = self.random.choice(list(ForeignState))
            rm.put(replace(job, state=state))

    def _move(self) -> None:
        rm = self._rm()
        if (job := self._some(rm, ForeignState.RUNNING)) is not None and rm.nodes:
            names = self.random.sample(list(rm.nodes), self.random.randint(1, len(rm.nodes)))
            shares = tuple(share(name, self.random.randint(1, 6)) for name in names)
            rm.put(replace(job, shares=shares))

    def _node(self) -> None:
        rm = self._rm()
        if rm.nodes:
            name = self.random.choice(list(rm.nodes))
            state = self.random.choice(list(NodeState))
            cpus = self.random.choice([0, 2, 4, 4, 8])
            used = self.random.choice([None, 0, 1, 4, 9])
            rm.nodes[name] = replace(rm.nodes[name], state=state, cpus=cpus, used_cpus=used)

    def _rename(self) -> None:
        rm = self._rm()
        if rm.nodes:
            node = rm.nodes.pop(self.random.choice(list(rm.nodes)))
            name = self.random.choice(["n1", "n2", "m1", "z1"])
            rm.nodes[name] = replace(node, name=name, host="h1")

    def _lose(self) -> None:
        self._rm().lost += 1

    def _restart(self) -> None:
        self.restart(self.held_store.store.load())
        self.greet("n9", holds=())

    def _native(self) -> None:
        numbers, self.alone = self.alone, []
        for number in numbers:
            alloc = self.machine.state.allocations.get(number)
            if alloc is not None and alloc.slot:
                entry = self.machine.state.jobs[alloc.job]
                for index in [i for i, held in entry.live.items() if held == number]:
                    self.progress(number, (index, 0))
            if number in self.machine.state.allocations:
                self.end(number, "n9")

    def crossings(self) -> list[tuple[int, int]]:
        """Return the elements that more than one resource manager took in."""
        known = self.machine.state
        asked = [one for found in self.homes.values() for one in found]
        theirs = {n for n, e in known.recent.items() if e.job.spec.kind == FOREIGN}
        return sorted({one for one in asked if asked.count(one) > 1 and one[0] not in theirs})
