"""Who plans: the manager itself on a small machine, a process of its own for a large one.

Either is told what has changed, and by that alone knows the machine.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from ostler.core.machine import Machine
from ostler.manager import planner
from ostler.manager.companion import Companion
from ostler.manager.decisions import Recorder
from ostler.manager.own_engine import Listener, Own
from ostler.manager.pieces import pieces
from ostler.model.errors import NotNow, OstlerError
from ostler.schedule.decisions import Asked, Decided, Told, plain
from ostler.schedule.question import Asked as Question
from ostler.schedule.question import Found, answer_from
from ostler.schedule.snapshot import Piece, Plan

log = logging.getLogger("ostler.manager")

NODES = 64  # from which on a machine is large
JOBS = 10_000  # unfinished ones, from which on it is large, however few nodes it has
FEW = 1_000  # unfinished jobs below which it is small again
PLAN_SECONDS = 10.0  # for one plan, and whatever was told before it
PAUSE = 0.5  # seconds until another process is started for one that was lost
PAUSE_MOST = 30.0  # seconds, when they are lost again and again
BEHIND = 16 << 20  # bytes that may wait for the process before more is told


class Turning(Protocol):
    """What plans are made for."""

    machine: Machine

    def planned(self, machine: Machine, plan: Plan, piece: Piece) -> None:
        """Take a piece of a plan for that machine."""

    def barrier(self) -> asyncio.Future[None]:
        """Return a future that is done when everything so far is durable."""

    def planner_lost(self, why: str) -> None:
        """Take note that nobody knows the machine any more; another is to be told everything."""

    def plan_again(self) -> None:
        """Ask for plans again, if there is anything to plan."""


Then = Callable[[Machine | None], None]  # what is done when it was told; None: it was not


class Planning:
    """Chooses who plans, and hands over what it wants to know."""

    def __init__(
        self,
        turning: Turning,
        clock: Callable[[], float],
        nodes: int = NODES,
        recorder: Recorder | None = None,
    ) -> None:
        """Begin. nodes: from which on a process plans. recorder: writes everything down."""
        self._turning = turning
        self._clock = clock
        self._nodes = nodes
        self._recorder = recorder
        self.listeners: set[Listener] = set()
        self._own = Own(recorder, self.listeners)
        self._process = Process(turning, clock, recorder, self.listeners)

    def propose(self, machine: Machine, now: float) -> Plan | None:
        """Return a plan; None if there is none yet: it will come to `Turning.planned`."""
        if self._is_large(machine):
            self._process.propose()
            return None
        return self._own.propose(machine, now)

    def keep_up(self, machine: Machine) -> None:
        """Tell the engine here a piece of what a plan is made of when all is in."""
        if not self._is_large(machine):
            self._own.tell(machine, self._clock())

    def tell(self, then: Then) -> None:
        """Tell everybody who listens what has changed, then do that: at once, or in later turns."""
        machine = self._turning.machine
        if self._is_large(machine):
            self._process.tell(then)
            return
        then(machine if self._own.tell(machine, self._clock()) else None)

    def _is_large(self, machine: Machine) -> bool:
        """Say whether a process is to plan; begin with it, or leave it."""
        state = machine.state
        if self._recorder and self._recorder.begins(state.setting("record-decisions")):
            state.marks.everything = True
        fewest = FEW if self._process.knows else JOBS
        if len(state.nodes) >= self._nodes or len(state.jobs) >= fewest:
            if self._own.knows:
                self._own = Own(self._recorder, self.listeners)
                state.marks.everything = True
            return True
        if self._process.knows:
            self._process.close()
            state.marks.everything = True
        return False

    async def ask(self, machine: Machine, now: float, question: Question) -> Found:
        """Return the answer to a question about the queue, worked out where the loop is not.

        Raises what `schedule.question.reply` does, and `NotNow` if there is no answer in time.
        """
        if self._process.knows:
            return await self._process.ask(now, question)
        shot, promised = machine.snapshot(now), self._own.promised()
        return await asyncio.to_thread(answer_from, shot, now, question, promised)

    async def close(self) -> None:
        """End the process, if there is one."""
        self._process.close()
        await self._process.ended()
        if self._recorder is not None:
            self._recorder.close()


class Process:
    """An engine in another process: one plan is under way at a time, and changes gather meanwhile."""

    def __init__(
        self,
        turning: Turning,
        clock: Callable[[], float],
        recorder: Recorder | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        self._turning = turning
        self._clock = clock
        self._recorder = recorder
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._process: Companion | None = None
        self._telling = asyncio.Lock()  # what is told in pieces is told as a whole
        self._tasks: set[asyncio.Task[None]] = set()
        self._planning: Machine | None = None  # for which a plan is under way
        self._deadline: asyncio.TimerHandle | None = None
        self._questions: dict[int, asyncio.Future[Found]] = {}
        self._next = 1
        self._pause = PAUSE
        self._waits = False  # until another one may be started
        self.knows = False  # it has been told everything, or is about to be
        self.started = 0  # processes: tests count them

    @property
    def pid(self) -> int | None:
        """Return the process, if there is one."""
        return None if self._process is None else self._process.pid

    def propose(self) -> None:
        """Have a plan made, unless one is under way."""
        if self._planning is None and not self._waits:
            self._planning, self.knows = self._turning.machine, True
            self._begin(self._ask_for_plan(self._planning))

    def tell(self, then: Then) -> None:
        """Tell everybody what has changed, then do that: also while no process can be had."""
        self._begin(self._tell_all(self._turning.machine, then))

    async def _tell_all(self, machine: Machine, then: Then) -> None:
        async with self._telling:
            told: Machine | None = machine
            try:
                self.knows = not self._waits
                await self._tell(machine)
            except Exception as error:  # noqa: BLE001 - whoever waits for it hears of a defect, too
                told = None
                self._not_told("what has changed", error)
            then(told)

    def _not_told(self, what: str, error: Exception) -> None:
        if not isinstance(error, OSError | OstlerError):
            log.error("a defect in what is told", exc_info=error)
        self._lose(f"the process that plans could not be told {what}: {error}")

    def _begin(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_for_plan(self, machine: Machine) -> None:
        try:
            async with self._telling:
                if self._planning is None:
                    return  # it was lost meanwhile
                process = await self._tell_it(machine)
                machine.begin_plan()
                now = self._clock()
                _write(process, planner.encode(planner.PlanNow(now)))
                if self._recorder is not None:
                    self._recorder.write(Asked(now))
                self._wait_for_it()
        except Exception as error:  # noqa: BLE001 - else a defect would be noticed as being late
            self._not_told("what to plan", error)

    async def _tell_it(self, machine: Machine) -> Companion:
        """Bring the process up to date, and return it."""
        if self._waits or (process := await self._tell(machine)) is None:
            raise NotNow("nobody plans at present", hint="try again in some seconds")
        return process

    async def _tell(self, machine: Machine) -> Companion | None:
        """Bring everybody up to date, others' turns in between; return the process, if there is one.

        While one that was lost is not replaced yet, others are told all the same.
        """
        process = self._process
        if process is None and not self._waits:
            process = await self._start()
        for delta in machine.deltas(self._clock()):
            data = planner.encode(Told(delta))
            for each in self._listeners:
                each.hear(data)
            if process is not None:
                _write(process, data)
            if self._recorder is not None:
                self._recorder.put(data)
            self._wait_for_it()
            await asyncio.sleep(0)
            if process is not None:
                await process.stdin.drain()
        return process

    async def _start(self) -> Companion:
        self._turning.machine.state.marks.everything = True
        words = planner.command(), planner.ONE_THREAD, planner.MOST
        process = self._process = await Companion.begin(*words)
        self.started += 1
        self._begin(self._listen(process))
        process.stdin.transport.set_write_buffer_limits(BEHIND)
        log.info("a process plans", extra={"pid": process.pid})
        return process

    async def _listen(self, process: Companion) -> None:
        """Take what the process says until it ends."""
        why = "it ended"
        try:
            while True:
                await self._take(process, planner.decode_reply(await process.read()))
        except EOFError:
            why = f"it ended with status {await process.status()}"
        except (ValueError, OSError) as error:  # msgspec's are among them
            why = f"what it said makes no sense: {error}"
        if process is self._process:
            self._lose(f"the process that plans was lost: {why}")

    async def _take(self, process: Companion, message: planner.FromPlanner) -> None:
        if isinstance(message, planner.Answer):
            question = self._questions.pop(message.id, None)
            if question is not None and not question.done():
                try:
                    question.set_result(planner.result(message))
                except OstlerError as error:
                    question.set_exception(error)
            return
        self._pause = PAUSE
        self._stop_clock()
        if self._recorder and self._recorder.on:
            self._recorder.write(Decided(plain(message.plan)))
        if self._planning is not None:
            await self._hand_over(process, self._planning, message.plan)

    async def _hand_over(self, process: Companion, machine: Machine, plan: Plan) -> None:
        """Hand a plan to the machine in pieces, each when the one before is durable."""
        for some, piece in pieces(plan, {}):
            if process is not self._process:
                return  # it was lost: another one has been told, and plans anew
            if piece.last:
                self._planning = None
            self._turning.planned(machine, some, piece)
            if not piece.last:
                with contextlib.suppress(OstlerError):  # then all is read anew
                    await self._turning.barrier()

    def _wait_for_it(self) -> None:
        """Give it up if it has not planned by then; nothing runs while no plan is asked for."""
        self._stop_clock()
        if self._planning is not None:
            self._deadline = self._loop.call_later(PLAN_SECONDS, self._is_late)

    def _is_late(self) -> None:
        self._lose(f"the process that plans was killed: it took over {PLAN_SECONDS:.0f} s")

    def _lose(self, why: str) -> None:
        """Give the process up; another is started after a while and told everything."""
        self.close()
        self._waits = True
        self._loop.call_later(self._pause, self._go_on)
        self._pause = min(2 * self._pause, PAUSE_MOST)
        log.error("no process plans", extra={"why": why})
        with contextlib.suppress(OstlerError):  # then all is read anew, and told anew
            self._turning.planner_lost(why)

    def _go_on(self) -> None:
        self._waits = False
        self._turning.plan_again()

    async def ask(self, now: float, question: Question) -> Found:
        """Return the answer; raise `NotNow` if the process does not tell in time."""
        number, self._next = self._next, self._next + 1
        reply: asyncio.Future[Found] = self._loop.create_future()
        self._questions[number] = reply
        try:
            async with asyncio.timeout(planner.ANSWER_SECONDS + 1):
                async with self._telling:
                    process = await self._tell_it(self._turning.machine)
                    _write(process, planner.encode(planner.Ask(number, now, question)))
                return await reply
        except TimeoutError:
            raise planner.late() from None
        except OSError as error:
            raise NotNow(f"the process that plans cannot be asked: {error}") from error
        finally:
            self._questions.pop(number, None)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def close(self) -> None:
        """Let the process end, and tell whoever asked that there is no answer."""
        self._stop_clock()
        process, self._process = self._process, None
        self._planning, self.knows = None, False
        if process is not None:
            process.kill()
        for question in self._questions.values():
            if not question.done():
                why = NotNow("the process that plans was lost", hint="try again in some seconds")
                question.set_exception(why)

    async def ended(self) -> None:
        """Wait until no process is left that was closed."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _write(process: Companion, data: bytes) -> None:
    process.stdin.write(planner.framed(data))
