"""The process that plans for a large machine: what it is told, and what becomes of it."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

import pytest

from ostler.core.events import Acted, AgentGreeted, Event, Planned, PlannerLost, Submitted
from ostler.core.machine import Machine
from ostler.manager import planner
from ostler.manager import planning as module
from ostler.manager.planning import Planning, Process
from ostler.model.errors import Missing, NotNow, UsageError
from ostler.model.ids import Ref
from ostler.model.job import JobSpec
from ostler.model.resources import Request
from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.question import Answered, Found, Outcomes, Question, Several
from ostler.schedule.rules import PartitionRules, Rules
from ostler.schedule.snapshot import Explanation, Piece, Plan, WaitingView, whole
from ostler.testing.play import NOTHING
from tests.unit.core_kit import ANN, facts

NOW = 100.0


class Turning:
    """A machine, and the plans that came for it."""

    def __init__(self, nodes: int = 3) -> None:
        self.machine = Machine(NOTHING, epoch=1, now=NOW)
        self.news: asyncio.Queue[Plan | str] = asyncio.Queue()
        self.asked = 0
        self.barriers: list[asyncio.Future[None]] = []
        self.holds = False  # what is durable, until the barriers are lifted by hand
        for number in range(nodes):
            self.do(AgentGreeted(f"n{number}", facts(4), "boot", ()))

    def do(self, event: Event) -> None:
        self.machine.handle(NOW, event)

    def submit(self, cpus: int = 4, *, priority: int = 50, time_limit: int = 0) -> None:
        self.asked += 1
        asks = Request(cpus=cpus)
        spec = JobSpec((b"true",), request=asks, priority=priority, time_limit=time_limit)
        self.do(Submitted(self.asked, ANN, f"r{self.asked}", spec, {}))

    def planned(self, machine: Machine, plan: Plan, piece: Piece) -> None:
        if machine is self.machine:
            self.do(Planned(plan, piece=piece))
            self.news.put_nowait(plan)

    def barrier(self) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        self.barriers.append(done)
        if not self.holds:
            done.set_result(None)
        return done

    def planner_lost(self, why: str) -> None:
        self.do(PlannerLost(why))
        self.news.put_nowait(why)

    def plan_again(self) -> None:
        self.news.put_nowait("again")

    async def plan(self) -> Plan:
        found = await self.news.get()
        assert isinstance(found, Plan)
        return found


def send(process: Process, number: int) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)


def one(found: Found) -> Explanation:
    assert isinstance(found, Answered)
    return found.after


def play(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.001)


def test_a_process_plans_what_an_engine_here_would() -> None:
    async def work() -> None:
        turning = Turning()
        for cpus in (4, 2, 2, 3, 4):
            turning.submit(cpus)
        fresh = Engine()
        fresh.apply(whole(turning.machine.snapshot(NOW)))
        right = fresh.plan(NOW)
        process = Process(turning, lambda: NOW)
        process.propose()
        found = await turning.plan()
        assert found.lines == right.lines
        assert {n: w.rule for n, w in found.waits.items()} == {
            n: w.rule for n, w in right.waits.items()
        }
        process.propose()
        assert (await turning.plan()).lines == []
        assert process.started == 1
        process.close()
        await process.ended()

    play(work())


def test_one_plan_is_under_way_at_a_time_and_the_next_has_what_came_meanwhile() -> None:
    async def work() -> None:
        turning = Turning()
        process = Process(turning, lambda: NOW)
        process.propose()
        turning.submit()
        process.propose()
        first = await turning.plan()
        assert turning.news.empty()
        assert turning.machine.wants_plan or first.lines
        process.propose()
        assert len(turning.machine.state.allocations) + len((await turning.plan()).lines) >= 1
        process.close()
        await process.ended()

    play(work())


async def long_plan() -> tuple[Turning, Process, Plan]:
    """Have 70 starts planned on a machine where nothing is durable; return the first piece, too."""
    turning = Turning(nodes=20)
    turning.holds = True
    for _ in range(70):
        turning.submit(cpus=1)
    process = Process(turning, lambda: NOW)
    process.propose()
    return turning, process, await turning.plan()


def test_a_long_plan_is_carried_out_in_pieces_each_when_the_one_before_is_durable() -> None:
    async def work() -> None:
        turning, process, first = await long_plan()
        state = turning.machine.state
        assert len(state.allocations) == len(first.lines) < 30
        turning.do(Acted(turning.asked + 1, ANN, "cancel", (Ref(70),)))  # others have their turn
        process.propose()  # not before all of it is carried out
        while len(state.allocations) < 69:
            turning.barriers[-1].set_result(None)
            assert len((await turning.plan()).lines) <= len(first.lines)
        process.propose()
        assert (await turning.plan()).lines == []
        process.close()
        await process.ended()

    play(work())


def test_of_a_plan_whose_process_is_lost_the_rest_is_not_carried_out() -> None:
    async def work() -> None:
        turning, process, first = await long_plan()
        process.close()
        turning.barriers[-1].set_result(None)
        await process.ended()
        assert turning.news.empty()
        assert len(turning.machine.state.allocations) == len(first.lines)

    play(work())


def test_a_process_that_was_killed_is_followed_by_one_that_is_told_everything() -> None:
    async def work() -> None:
        turning = Turning(nodes=1)
        process = Process(turning, lambda: NOW)
        for _ in range(3):
            turning.submit()
        process.propose()
        assert len((await turning.plan()).lines) == 1
        send(process, signal.SIGKILL)
        why = await turning.news.get()
        assert isinstance(why, str)
        assert "status -9" in why
        process.propose()  # not before a pause
        assert process.pid is None
        assert await turning.news.get() == "again"
        process.propose()
        plan = await turning.plan()
        assert plan.waits.keys() == {2, 3}
        assert process.started == 2
        process.close()
        await process.ended()

    play(work())


def test_a_process_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        turning = Turning()
        process = Process(turning, lambda: NOW)
        process.propose()
        await turning.plan()
        monkeypatch.setattr(module, "PLAN_SECONDS", 0.05)
        send(process, signal.SIGSTOP)
        process.propose()
        why = await turning.news.get()
        assert isinstance(why, str)
        assert "was killed: it took over" in why
        assert await turning.news.get() == "again"
        monkeypatch.setattr(module, "PLAN_SECONDS", 60.0)
        process.propose()
        await turning.plan()
        process.close()
        await process.ended()

    play(work())


def test_a_question_is_answered_from_what_is_true_by_now() -> None:
    async def work() -> None:
        turning = Turning(nodes=1)
        process = Process(turning, lambda: NOW)
        turning.submit()
        process.propose()
        await turning.plan()
        turning.submit()
        found = one(await process.ask(NOW, Question(2)))
        assert found.rule is Rule.RESOURCES
        assert found.blockers == ["1"]
        with pytest.raises(Missing):
            await process.ask(NOW, Question(77))
        process.close()
        await process.ended()

    play(work())


def test_questions_do_not_keep_a_plan_waiting_and_end_with_the_process() -> None:
    async def work() -> None:
        turning = Turning(nodes=1)
        process = Process(turning, lambda: NOW)
        turning.submit()
        process.propose()
        await turning.plan()
        turning.submit()
        asked = [asyncio.ensure_future(process.ask(NOW, Question(2))) for _ in range(5)]
        await asyncio.sleep(0)
        process.propose()
        await turning.plan()
        assert [one(found).rule for found in await asyncio.gather(*asked)] == [Rule.RESOURCES] * 5
        late = asyncio.ensure_future(process.ask(NOW, Question(2)))
        await asyncio.sleep(0)
        process.close()
        with pytest.raises(NotNow):
            await late
        await process.ended()

    play(work())


def test_what_would_become_of_several_is_told_by_who_plans_as_by_a_machine_that_plans_itself() -> (
    None
):
    async def work() -> None:
        turning = Turning(nodes=1)
        views = tuple(
            WaitingView(number, 2, Request(cpus=cpus), "main", "ann", 50, NOW, 60.0)
            for number, cpus in ((101, 1), (102, 4), (103, 1))
        )
        told = []
        for nodes in (1, 2):
            planning = Planning(turning, lambda: NOW, nodes=nodes)
            if planning.propose(turning.machine, NOW) is None:
                await turning.plan()
            found = await planning.ask(turning.machine, NOW, Several(views))
            assert isinstance(found, Outcomes)
            told.append([(one.job, one.starts_now, one.expected_start) for one in found.found])
            await planning.close()
        assert told[0] == told[1] == [(101, 2, NOW), (102, 0, NOW + 60.0), (103, 2, NOW)]

    play(work())


def test_small_machines_plan_themselves_and_large_ones_do_not() -> None:
    async def work() -> None:
        turning = Turning(nodes=2)
        planning = Planning(turning, lambda: NOW, nodes=3)
        for _ in range(3):
            turning.submit()
        plan = planning.propose(turning.machine, NOW)
        assert plan is not None
        assert len(plan.lines) == 2
        here = one(await planning.ask(turning.machine, NOW, Question(3)))
        assert here.rule is Rule.RESOURCES
        turning.do(Planned(plan))
        turning.do(AgentGreeted("n9", facts(4), "boot", ()))
        turning.submit()
        assert planning.propose(turning.machine, NOW) is None
        assert len((await turning.plan()).lines) == 1
        there = one(await planning.ask(turning.machine, NOW, Question(4)))
        assert there.rule is Rule.RESOURCES
        await planning.close()

    play(work())


def test_a_question_is_answered_with_what_was_promised_whoever_plans() -> None:
    async def work(nodes: int) -> list[float | None]:
        turning = Turning(nodes=1)
        turning.machine.state.rules = Rules(default=PartitionRules(policy="conservative"))
        planning = Planning(turning, lambda: NOW, nodes=nodes)
        for priority in (50, 40, 50):
            turning.submit(priority=priority, time_limit=60)
            plan = planning.propose(turning.machine, NOW)
            if plan is None:
                await turning.plan()
            else:
                turning.do(Planned(plan))
        asked = [await planning.ask(turning.machine, NOW, Question(job)) for job in (2, 3)]
        await planning.close()
        return [one(found).expected_start for found in asked]

    async def both() -> None:
        assert await work(nodes=2) == await work(nodes=1) == [NOW + 60, NOW + 120]

    play(both())


def test_a_defect_of_the_engine_costs_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        turning = Turning(nodes=1)
        planning = Planning(turning, lambda: NOW)
        turning.submit()
        with monkeypatch.context() as broken:
            broken.setattr(Engine, "plan", lambda _self, _now: 1 // 0)
            assert planning.propose(turning.machine, NOW) == Plan([], {})
        plan = planning.propose(turning.machine, NOW)
        assert plan is not None
        assert len(plan.lines) == 1

    play(work())


def test_messages_that_are_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "MOST", 3)
    with pytest.raises(UsageError, match="too long"):
        planner.frame(planner.PlanNow(1.0))


def test_a_defect_in_what_is_told_costs_no_wait_for_a_plan_and_is_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        turning = Turning()
        process = Process(turning, lambda: NOW)

        def broken(*_: object) -> None:
            raise KeyError(7)

        with monkeypatch.context() as now:
            now.setattr(turning.machine, "deltas", broken)
            for _ in range(2):
                process.propose()
                assert "could not be told what to plan: 7" in str(await turning.news.get())
                assert await turning.news.get() == "again"
        turning.submit()
        process.propose()
        assert len((await turning.plan()).lines) == 1
        process.close()
        await process.ended()

    monkeypatch.setattr(module, "PLAN_SECONDS", 1e6)
    play(work())


def test_who_waits_to_ask_hears_of_a_defect_in_what_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a scheduler of others would never be asked again."""

    async def work() -> None:
        turning = Turning()
        process = Process(turning, lambda: NOW)
        told: asyncio.Future[Machine | None] = asyncio.get_running_loop().create_future()

        def broken(*_: object) -> None:
            raise KeyError(7)

        monkeypatch.setattr(turning.machine, "deltas", broken)
        process.tell(told.set_result)
        async with asyncio.timeout(10):
            assert await told is None
        assert "could not be told" in str(await turning.news.get())
        process.close()
        await process.ended()

    play(work())
