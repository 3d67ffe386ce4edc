"""Schedulers that are no part of Ostler, each in a process of its own behind a deadline.

They speak `schedule.proposal` over stdio, a JSON value a line: a snapshot in, a proposal out, one
at a time, and what changes meanwhile is in the next. One that fails in any way is ended and started
anew, ever more seldom; meanwhile the scheduler that is built in plans what it planned.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from ostler.core import charge
from ostler.core.events import Event, Planned, SchedulerSeen, ShadowDiffered
from ostler.core.machine import Machine
from ostler.manager.outsider import Outsider
from ostler.manager.run_as import Place
from ostler.manager.shadow import Shadow, parted
from ostler.model.errors import OstlerError
from ostler.model.scheduler import SERVED
from ostler.model.site import Scheduler
from ostler.schedule.proposal import Proposal, plan_of, shown_line
from ostler.schedule.snapshot import Plan, Snapshot

log = logging.getLogger("ostler.manager")

PAUSE, PAUSE_MOST = (
    1.0,
    60.0,
)  # seconds until one that failed is started again, at first and at most
SETTLED = 1.0  # seconds after which a shadow's plan is compared with what was done
REST = 5.0  # times as long as a look at everything took, until the next one
_decode = msgspec.json.Decoder(Proposal).decode


class Turning(Protocol):
    """What plans are made for."""

    machine: Machine

    def put(self, event: Event) -> None:
        """Hand an event to the machine."""


NO_PROCESS: dict[str, Any] = dict.fromkeys(
    ("pid", "plans", "last_seconds", "mean_seconds", "differences")
)  # what is told of one that is no process beside the manager


class _Question:
    """What one was shown, and what the next plan that was carried out granted."""

    def __init__(self, machine: Machine, now: float, shot: Snapshot) -> None:
        self.machine, self.now, self.shot = machine, now, shot
        self._plans = machine.state.parts.plans
        self._from = machine.state.next_allocation
        self.granted: range | None = None  # allocations; None: no plan was carried out yet

    def look(self) -> None:
        """Note what has been granted, if a plan was carried out and nothing was noted before."""
        state = self.machine.state
        if self.granted is None and state.parts.plans > self._plans:
            self.granted = range(self._from, state.next_allocation)


class Schedulers:
    """All that partitions name, as far as they have processes."""

    def __init__(self, turning: Turning, clock: Callable[[], float], place: Place) -> None:
        """Begin. clock: Unix seconds. place: tells as whom a process may run."""
        self._turning, self._clock, self._place = turning, clock, place
        self._all: dict[str, _One] = {}

    def look(self) -> None:
        """Have plans made: something has changed. Cost, where no partition names one: a look at each."""
        site = self._turning.machine.state.site
        partitions = site.partitions.values()
        named = {each for p in partitions for each in (p.scheduler, p.shadow) if each}
        for name in [name for name in self._all if name not in named]:
            self._all.pop(name).close()
        for name in named.difference(SERVED):
            row, one = site.schedulers[name], self._all.get(name)
            if one is not None and one.row != row:  # changed: begun anew
                one.close()
                one = None
            if one is None:
                one = self._all[name] = _One(row, self._turning, self._clock, self._place)
            one.look()

    def rows(self) -> list[dict[str, Any]]:
        """Return how each of them does."""
        return [one.told() for _, one in sorted(self._all.items())]

    async def close(self) -> None:
        """End all processes."""
        for one in self._all.values():
            one.close()
        await asyncio.gather(*(one.over() for one in self._all.values()), return_exceptions=True)


class _One:
    """One scheduler: asked again whenever something has changed and it is not at work."""

    def __init__(
        self, row: Scheduler, turning: Turning, clock: Callable[[], float], place: Place
    ) -> None:
        self.row = row
        self._turning, self._clock = turning, clock
        self._outsider = Outsider(row, place)
        self._shadow = Shadow()
        self._loop = asyncio.get_running_loop()
        self._question: asyncio.Future[_Question] = self._loop.create_future()
        self._shown: _Question | None = None  # the last one
        self._changed = False  # since the question that is being answered
        self._rest_until = 0.0  # by the loop's clock: a look at everything may cost much
        self._number = 0
        self._pause = PAUSE
        self._why = ""  # it does not plan at present
        self._seconds = [0.0, 0.0]  # of the last plan, of all
        self._differences = 0
        self._task = self._loop.create_task(self._serve())

    def look(self) -> None:
        """Ask, unless it is at work: a shadow has to see what the one that decides sees."""
        if self._shown is not None:
            self._shown.look()
        if self._question.done():
            self._changed = True
        elif (left := self._rest_until - self._loop.time()) > 0:
            self._rest_until = 0.0
            self._loop.call_later(left, self.look)
        else:
            self._ask()

    def _ask(self) -> None:
        began, machine, now = self._loop.time(), self._turning.machine, self._clock()
        self._changed = False
        self._shown = _Question(machine, now, charge.shown(machine.state, now, self.row.name))
        self._rest_until = self._loop.time() + REST * (self._loop.time() - began)
        self._question.set_result(self._shown)

    async def _serve(self) -> None:
        while True:
            asked = await self._question
            try:
                await self._plan(asked)
                self._pause = PAUSE
            except (OSError, ValueError, EOFError, OstlerError) as error:
                self._lost(self._outsider.why(error))
                await self._outsider.end()
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, PAUSE_MOST)
                self._changed = True
            self._question = self._loop.create_future()
            if self._changed:
                self.look()

    async def _plan(self, asked: "_Question") -> None:
        self._number += 1
        began = self._loop.time()
        answer = await self._outsider.ask(shown_line(self._number, asked.now, asked.shot))
        proposal = _decode(answer)
        if proposal.number != self._number:
            raise ValueError(f"it answered {proposal.number} to snapshot {self._number}")
        self._seconds[0] = self._loop.time() - began
        self._seconds[1] += self._seconds[0]
        plan, wrong = plan_of(asked.shot, proposal)
        if wrong:
            log.warning("a plan made no sense", extra={"by": self.row.name, "why": wrong[:5]})
        if asked.machine is self._turning.machine:
            self._take(asked, plan)

    def _take(self, asked: "_Question", plan: Plan) -> None:
        name = self.row.name
        if self._why:
            self._why = ""
            self._put(SchedulerSeen(name, up=True))
        decided = charge.decides(asked.machine.state, name)
        own, other = parted(plan, asked.shot, decided)
        if decided:
            self._put(Planned(own, name))
        if other is not None:
            self._loop.call_later(SETTLED, self._compare, asked, other)

    def _compare(self, asked: "_Question", plan: Plan) -> None:
        asked.look()
        if asked.machine is not self._turning.machine or asked.granted is None:
            return
        text = self._shadow.difference(asked.machine.state, asked.shot, plan, asked.granted)
        if text:
            self._differences += 1
            log.info("a shadow differs", extra={"shadow": self.row.name, "difference": text})
            self._put(ShadowDiffered(self.row.name, text))

    def _lost(self, why: str) -> None:
        log.error("a scheduler is lost", extra={"scheduler": self.row.name, "why": why})
        self._why = why
        self._put(SchedulerSeen(self.row.name, up=False, why=why))

    def _put(self, event: Event) -> None:
        with contextlib.suppress(OstlerError):  # nothing can be written: all is read anew
            self._turning.put(event)

    def told(self) -> dict[str, Any]:
        return {
            "name": self.row.name,
            "pid": self._outsider.pid,
            "plans": self._number,
            "last_seconds": self._seconds[0],
            "mean_seconds": self._seconds[1] / max(self._number, 1),
            "differences": self._differences,
        }

    def close(self) -> None:
        self._task.cancel()
        self._outsider.kill()

    async def over(self) -> None:
        await asyncio.gather(self._task, return_exceptions=True)
        await self._outsider.end()
