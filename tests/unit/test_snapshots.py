"""R-MAU-29: what is decided is decided from one snapshot. In virtual time; each test names it."""

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from ostler.core.events import Acted, AgentReported, NodesWorded, Planned, Submitted
from ostler.core.machine import Machine
from ostler.manager import mediator, mediator_worker, planner, planning
from ostler.manager.companion import Companion
from ostler.manager.decisions import NAME, Recorder
from ostler.manager.mediator_worker import Mediator
from ostler.manager.run_as import Place
from ostler.model.ids import Ref
from ostler.model.job import JobSpec, TaskExit
from ostler.model.orders import Ended
from ostler.model.resources import Request
from ostler.model.site import Scheduler
from ostler.schedule.decisions import Asked, Decided, Told, plan_of
from ostler.schedule.engine import Engine
from ostler.schedule.snapshot import Plan, Start
from ostler.sim.decisions import read, replay
from tests.unit.core_kit import ANN, ROOT
from tests.unit.test_core_charge import planned_by_mine
from tests.unit.test_manager_planning import NOW, Turning, play

RECORDS = 1_000
NODES = ("n0", "n1", "n2")


class Life:
    """Things that happen to a machine, and the jobs of it that wait."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self._chance, self._asked = machine, Random(29), 0

    def submit(self) -> int:
        """Submit a job; return its number."""
        self._asked += 1
        spec = JobSpec(argv=(b"true",), request=Request(cpus=self._chance.choice((1, 2, 4))))
        self.machine.handle(NOW, Submitted(0, ANN, f"x{self._asked}", spec, {}))
        return max(self.machine.state.jobs)

    def happen(self) -> None:
        """Let a job end, be cancelled, or a node be drained or taken back."""
        s, chance = self.machine.state, self._chance
        waiting = [number for number, entry in s.jobs.items() if entry.waiting]
        if s.allocations and chance.random() < 0.8:
            alloc = s.allocations[min(s.allocations)]
            ended = Ended(alloc.id, NOW, NOW, tasks=(TaskExit(0, 0),))
            self.machine.handle(NOW, AgentReported(min(alloc.nodes), 1, (ended,)))
        if len(waiting) > 8:
            refs = tuple(Ref(number) for number in waiting[:5])  # never the last two
            self.machine.handle(NOW, Acted(0, ANN, "cancel", refs))
        if chance.random() < 0.1:
            verb = chance.choice(("drain", "undrain"))
            self.machine.handle(NOW, NodesWorded(0, ROOT, verb, ("n2",), "disk"))


class Thinking:
    """A program of others that thinks until it is told to answer."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.question: asyncio.Future[dict[str, Any]] = asyncio.Future()
        self.answer: asyncio.Future[bytes] = asyncio.Future()

    async def start(self) -> int:
        self.pid = 1
        return 1

    async def ask(self, question: bytes) -> tuple[bytes, float]:
        self.question.set_result(json.loads(question))
        return await self.answer, 0.0

    def think(self, shown: dict[str, Any]) -> None:
        """Answer: start what fits on the nodes that are shown, and say of the rest that it waits."""
        free = {n["name"]: len(n["free_cpus"]) for n in shown["snapshot"]["nodes"] if n["usable"]}
        start, waits = [], {}
        for view in shown["snapshot"]["waiting"]:
            cpus = view["request"].get("cpus", 1)
            node = next((name for name in free if free[name] >= cpus), None)
            if node is None:
                waits[view["job"]] = {"why": f"{shown['number']}"}
                continue
            free[node] -= cpus
            start.append({"job": view["job"], "nodes": {node: 1}})
        told = {"type": "proposal", "number": shown["number"], "start": start, "waits": waits}
        answer, self.answer = self.answer, asyncio.Future()
        self.question = asyncio.Future()
        answer.set_result(json.dumps(told).encode())


def named(plan: Plan) -> set[int]:
    """Return the jobs that a plan says anything of."""
    return {line.job for line in plan.lines if isinstance(line, Start)} | plan.waits.keys()


def test_a_plan_of_another_scheduler_is_of_one_snapshot_whatever_happens_while_it_thinks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R-MAU-29: 0 mixed records in 1,000; what comes in mid-iteration is in the next."""
    made: list[Thinking] = []

    def begun(*_: object) -> Thinking:
        made.append(Thinking())
        return made[-1]

    monkeypatch.setattr(mediator_worker, "Outsider", begun)
    machine = planned_by_mine(*NODES).machine
    machine.state.marks.everything = True

    async def work() -> None:
        said: asyncio.Queue[mediator.FromMediator] = asyncio.Queue()
        between, life = Mediator(said.put_nowait), Life(machine)

        def tell() -> None:
            for delta in machine.deltas(NOW):
                between.take(Told(delta))

        between.take(mediator.Serve(Scheduler("mine", "/bin/plan"), Place("/", system=False)))
        [program] = made
        mixed, starts, late = [], 0, {life.submit()}
        for number in range(1, RECORDS + 1):
            tell()
            between.take(mediator.Show(number, NOW, ("main",), ("main",)))
            before, late = late, {life.submit()}
            life.happen()
            tell()  # before the program has read a word
            shown = await program.question
            known = {view["job"] for view in shown["snapshot"]["waiting"]}
            late.add(life.submit())
            life.happen()
            tell()
            program.think(shown)
            pieces = [each async for each in _record(said)]
            jobs = set().union(*(named(piece.plan) for piece in pieces))
            numbers = {n for piece in pieces for n in (piece.number, piece.plan.number)}
            if numbers != {number} or not jobs <= known or late & known or not before <= known:
                mixed.append(number)
            for piece in pieces:
                starts += len(piece.plan.lines)
                machine.handle(NOW, Planned(piece.plan, "mine", piece.piece))
        assert mixed == []
        assert starts > RECORDS // 2

    play(work())


def test_what_a_plan_told_a_machine_that_is_gone_is_told_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The manager has read its state anew while the program was thinking, and passes the plan over."""
    machine = planned_by_mine("n1").machine
    life = Life(machine)
    for _ in range(9):  # more than there is room for
        life.submit()
    machine.state.marks.everything = True

    async def work() -> None:
        said: asyncio.Queue[mediator.FromMediator] = asyncio.Queue()
        between, program = Mediator(said.put_nowait), Thinking()
        monkeypatch.setattr(mediator_worker, "Outsider", lambda *_: program)
        everything = list(machine.deltas(NOW))
        between.take(mediator.Serve(Scheduler("mine", "/bin/plan"), Place("/", system=False)))
        for delta in everything:
            between.take(Told(delta))
        told: list[mediator.Proposed] = []
        for _ in range(2):
            between.take(mediator.Show(7, NOW, ("main",), ("main",)))
            shown = await program.question
            if not told:
                for delta in everything:
                    between.take(Told(delta))
            program.think(shown)
            [piece] = [each async for each in _record(said)]
            told.append(piece)
        first, second = ({*each.plan.waits} for each in told)
        assert first == second != set()
        assert [each.piece.anew for each in told] == [True, True]

    play(work())


async def _record(said: "asyncio.Queue[mediator.FromMediator]") -> Any:
    """Yield the pieces of one plan."""
    last = False
    while not last:
        message = await said.get()
        assert not isinstance(message, mediator.Failed), message.why
        if isinstance(message, mediator.Proposed):
            last = message.piece.last
            yield message


class InHere:
    """The process that plans, in this one: it hears a word a turn, as it would of a pipe."""

    pid = 1

    def __init__(self) -> None:
        self._engine, self._said = Engine(), asyncio.Queue[bytes]()
        self.stdin = self.transport = self

    def write(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._hear, data[4:])

    def _hear(self, data: bytes) -> None:
        match planner.decode_request(data):
            case Told(delta):
                self._engine.apply(delta)
            case planner.PlanNow(now):
                self._said.put_nowait(planner.encode(planner.Planned(self._engine.plan(now))))

    async def read(self) -> bytes:
        return await self._said.get()

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def set_write_buffer_limits(self, _: int) -> None:
        pass

    def kill(self) -> None:
        self._said.put_nowait(b"")


def test_a_decision_that_is_written_down_is_of_one_snapshot_whatever_happens_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """R-MAU-29: 0 mixed records in 1,000, each with the number of what it was made from."""

    async def begin(*_: object) -> Companion:
        return cast("Companion", InHere())

    monkeypatch.setattr(Companion, "begin", begin)

    async def work() -> None:
        recorder, turning = Recorder(tmp_path), Turning()
        recorder.begins(64)
        life = Life(turning.machine)
        process = planning.Process(turning, lambda: NOW, recorder)
        late: list[int] = []
        life.submit()
        for number in range(RECORDS):
            process.propose()
            for turn in range(4):
                if turn == number % 4:
                    late.append(life.submit())
                    life.happen()
                await asyncio.sleep(0)
            await turning.plan()
        process.close()
        await process.ended()
        recorder.close()
        assert len(late) == RECORDS

    play(work())
    again = replay(str(tmp_path / NAME))
    assert (again.decisions, again.first) == (RECORDS, None)
    assert again.starts > RECORDS // 2
    assert _mixed(str(tmp_path / NAME)) == []


def _mixed(path: str) -> list[int]:
    """Return the decisions, by their place, that name another number or what was told later."""
    mixed: list[int] = []
    told, asked, place = 0, 0, 0
    known: set[int] = set()
    known_then: set[int] = set()
    for record in read(path):
        match record:
            case Told(delta):
                told = delta.number
                known |= {view.job for view in delta.waiting}
            case Asked():
                asked, known_then = told, set(known)
            case Decided(plan):
                place += 1
                found = plan_of(plan)
                if found.number != asked or not named(found) <= known_then:
                    mixed.append(place)
    return mixed
