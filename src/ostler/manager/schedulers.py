"""Schedulers that are no part of Ostler, each in a process of its own behind a deadline.

Beside each stands a process of ours, the mediator, which is told what has changed as the built-in
scheduler is; it shows the machine to the other one and hands on what that says, in pieces. So the
manager neither makes nor reads what is long, and others have their turn between two pieces. One
snapshot is shown at a time, and what changes meanwhile is in the next. A scheduler that fails in
any way is ended and started anew, ever more seldom; meanwhile the scheduler that is built in plans
what it planned.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

from msgspec.structs import replace

from ostler.core import charge
from ostler.core.events import Event, Planned, SchedulerSeen, ShadowDiffered
from ostler.core.machine import Machine
from ostler.core.marks import Marks
from ostler.manager import mediator
from ostler.manager.companion import Companion
from ostler.manager.planning import BEHIND, Planning
from ostler.manager.run_as import Place
from ostler.model.errors import OstlerError
from ostler.model.scheduler import SERVED
from ostler.model.site import Scheduler
from ostler.schedule.decisions import Told

log = logging.getLogger("ostler.manager")

PAUSE, PAUSE_MOST = (
    1.0,
    60.0,
)  # seconds until one that failed is started again, at first and at most
SETTLED = 1.0  # seconds after which a shadow's plan is compared with what was done
SLACK = 30.0  # seconds beyond the deadline in which the mediator shows and reads
UNHEARD = 64 << 20  # bytes that a mediator may leave unread, which then is begun anew


class Turning(Protocol):
    """What plans are made for."""

    machine: Machine
    planning: Planning

    def put(self, event: Event) -> None:
        """Hand an event to the machine."""

    def barrier(self) -> asyncio.Future[None]:
        """Return a future that is done when everything so far is durable."""


NO_PROCESS: dict[str, Any] = dict.fromkeys(
    ("pid", "plans", "last_seconds", "mean_seconds", "differences")
)  # what is told of one that is no process beside the manager


class _Question:
    """What one was shown, and what the next plan that was carried out granted."""

    def __init__(self, machine: Machine, number: int) -> None:
        self.machine, self.number = machine, number
        self.decided = False  # it decides in some partition
        self.told = machine.state.marks.number  # the last delta that it knows of
        self._plans = machine.state.parts.plans
        self._from = machine.state.next_allocation
        # Allocations, from the first on and before the second; None: no plan was carried out yet
        self.granted: tuple[int, int] | None = None

    def look(self) -> None:
        """Note what has been granted, if a plan was carried out and nothing was noted before."""
        state = self.machine.state
        if self.granted is None and state.parts.plans > self._plans:
            self.granted = self._from, state.next_allocation


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
        self._turning, self._clock, self._place = turning, clock, place
        self._loop = asyncio.get_running_loop()
        self._mediator: Companion | None = None
        self._learning: asyncio.Task[None] | None = None  # it is told everything
        self._asked = False  # it is at work, or will be when all has been told
        self._changed = False  # since it was asked
        self._shown: _Question | None = None  # the last one
        self._timer: asyncio.TimerHandle | None = None  # it is late by then, or asked again
        self._number = 0
        self._pause = PAUSE
        self._why = ""  # it does not plan at present
        self._pid: int | None = None
        self._seconds = [0.0, 0.0]  # of the last plan, of all
        self._differences = 0
        self._task = self._loop.create_task(self._serve())
        self._ending: asyncio.Task[None] | None = None
        turning.planning.listeners.add(self)

    def look(self) -> None:
        """Ask, unless it is at work: a shadow has to see what the one that decides sees."""
        if self._shown is not None:
            self._shown.look()
        self._changed = True
        if not self._asked and self._mediator is not None and self._learning is None:
            self._asked = True
            self._turning.planning.tell(self._ask)

    def _ask(self, machine: Machine | None) -> None:
        """Show it what the mediator has been told by now; None: nobody knows what that is."""
        if machine is not self._turning.machine or self._mediator is None or self._learning:
            self._asked = False  # it will be told everything, and is asked then
            return
        self._changed = False
        self._number += 1
        self._shown = _Question(machine, self._number)
        s, name = machine.state, self.row.name
        decided = sorted(charge.decides(s, name))
        self._shown.decided = bool(decided)
        partitions = sorted(charge.others(s).get(name, ()))
        show = mediator.Show(self._number, self._clock(), tuple(partitions), tuple(decided))
        self.hear(mediator.encode(show))
        self._timer = self._loop.call_later(self.row.deadline + SLACK, self._kill)

    def hear(self, data: bytes) -> None:
        """Tell the mediator something, encoded. Its end is noticed where it is listened to."""
        if self._mediator is None:
            return
        with contextlib.suppress(OstlerError):
            stdin = self._mediator.stdin
            stdin.write(len(data).to_bytes(4, "big") + data)
            if stdin.transport.get_write_buffer_size() > UNHEARD:
                self._kill()

    def begin_anew(self) -> None:
        """Tell the mediator everything."""
        if self._learning is not None:
            self._learning.cancel()
        self._learning = None
        if self._mediator is not None:
            self._learning = self._loop.create_task(self._teach(self._mediator))

    async def _teach(self, to: Companion) -> None:
        """Tell it everything, others' turns in between. What changes meanwhile, it hears of as well."""
        machine = self._turning.machine
        with contextlib.suppress(OSError, OstlerError):  # its end is noticed elsewhere
            for delta in machine.deltas(self._clock(), Marks()):
                self.hear(mediator.encode(Told(delta)))
                await asyncio.sleep(0)
                await to.stdin.drain()
                if machine is not self._turning.machine:
                    self.begin_anew()
                    return
            self._learning = None
            self.look()

    async def _serve(self) -> None:
        while True:
            try:
                await self._converse()
            except (
                OSError,
                ValueError,
                EOFError,
                OstlerError,
            ) as error:  # msgspec's are among them
                self._lost(f"the process between it and the manager was lost: {error!r}")
            await self._leave()
            await asyncio.sleep(self._next_pause())

    async def _converse(self) -> None:
        """Begin a mediator, and take what it says until it ends."""
        found = self._mediator = await Companion.begin(mediator.command(), {}, mediator.MOST)
        found.stdin.transport.set_write_buffer_limits(BEHIND)
        self.hear(mediator.encode(mediator.Serve(self.row, self._place)))
        self._asked = False
        self.begin_anew()
        while True:
            await self._take(mediator.decode_reply(await found.read()))

    async def _take(self, message: mediator.FromMediator) -> None:
        match message:
            case mediator.Proposed():
                await self._carry_out(message)
            case mediator.Began(pid):
                self._pid = pid
            case mediator.Failed(why):
                self._pid = None
                self._stop_clock()
                self._lost(why)
                self._timer = self._loop.call_later(self._next_pause(), self._again)
            case mediator.Differs(text):
                self._differences += 1
                log.info("a shadow differs", extra={"shadow": self.row.name, "difference": text})
                self._put(ShadowDiffered(self.row.name, text))

    async def _carry_out(self, found: mediator.Proposed) -> None:
        """Hand a piece of a plan to the machine; the next one only when it is durable."""
        self._stop_clock()
        name, shown = self.row.name, self._shown
        if shown is None or shown.number != found.number:
            return
        if found.wrong:
            log.warning("a plan made no sense", extra={"by": name, "why": found.wrong})
        if shown.machine is self._turning.machine:
            if self._why:
                self._why = ""
                self._put(SchedulerSeen(name, up=True))
            if shown.decided:
                plan = replace(found.plan, number=shown.told)
                self._put(Planned(plan, name, found.piece, "".join(found.wrong[:1])))
                with contextlib.suppress(OstlerError):
                    await self._turning.barrier()
        if not found.piece.last:  # it says them one after the other
            self._timer = self._loop.call_later(SLACK, self._kill)
            return
        self._pause = PAUSE
        self._seconds = [found.seconds, self._seconds[1] + found.seconds]
        if found.compared:
            self._loop.call_later(SETTLED, self._compare, shown)
        self._asked = False
        if self._changed:
            self.look()

    def _compare(self, shown: _Question) -> None:
        """Have a shadow's plan compared, once what was granted has been told."""
        shown.look()

        def ask(machine: Machine | None) -> None:
            granted = shown.granted if machine is shown.machine else None
            self.hear(mediator.encode(mediator.Compare(shown.number, granted)))

        self._turning.planning.tell(ask)

    def _again(self) -> None:
        self._asked = False
        self.look()

    def _next_pause(self) -> float:
        pause, self._pause = self._pause, min(2 * self._pause, PAUSE_MOST)
        return pause

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
            "pid": self._pid,
            "plans": self._number,
            "last_seconds": self._seconds[0],
            "mean_seconds": self._seconds[1] / max(self._number, 1),
            "differences": self._differences,
        }

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _kill(self) -> None:
        """End a mediator that hangs; that is noticed where it is listened to."""
        if self._mediator is not None:
            self._mediator.kill()

    async def _leave(self) -> None:
        """Let the mediator end, and wait for it."""
        self._stop_clock()
        found, self._mediator, self._pid = self._mediator, None, None
        if self._learning is not None:
            self._learning.cancel()
            self._learning = None
        if found is not None:
            await found.end()

    def close(self) -> None:
        """Begin to end its processes."""
        self._turning.planning.listeners.discard(self)
        self._task.cancel()
        self._ending = self._loop.create_task(self._leave())

    async def over(self) -> None:
        """Wait until they have ended."""
        if self._ending is not None:
            await self._ending
