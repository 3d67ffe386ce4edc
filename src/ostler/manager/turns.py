"""Turns of the manager: write, commit, then speak.

Events change the machine at once; their writes gather in a batch with everything that is to be
said because of them. While one batch is being committed by the writer thread the next one gathers.
Nothing of a batch is said before it is durable, answers to reads included.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, tzinfo
from enum import Enum
from typing import NamedTuple, Protocol

from ostler.core.effects import (
    Acknowledge,
    Call,
    Fail,
    Handle,
    Reply,
    Save,
    Send,
    TakenIn,
    Welcomed,
)
from ostler.core.events import Event, Planned, PlannerLost, RmMore, Tick
from ostler.core.machine import Machine
from ostler.manager.decisions import Recorder
from ostler.manager.planning import Planning
from ostler.model.errors import IllegalEvent, NotNow, OstlerError, StaleEpoch, from_parts
from ostler.model.record import Write
from ostler.schedule.snapshot import Piece, Plan
from ostler.store.protocol import Store

log = logging.getLogger("ostler.manager")

Spoken = Acknowledge | Call | Fail | Handle | Reply | Send | TakenIn | Welcomed
PROBE = 0.5  # seconds between tries to write again after a failed commit
PROBE_MOST = 4.0  # the same when a probe finds room and the next commit none, again and again
DEFECT = NotNow("a defect was met and logged", hint="try again")


class Batch(NamedTuple):
    """Rows of one commit, and what is to be said when they are durable."""

    writes: list[Write]
    spoken: list[Spoken | asyncio.Future[None]]


class Needs(Enum):
    """How much of what has happened is to be durable before something is told."""

    NOTHING = 0
    UNDER_WAY = 1  # what is being committed, and not what gathers meanwhile
    ALL = 2


class Speaker(Protocol):
    """Who carries out what the core wants said."""

    def speak(self, effects: list[Spoken]) -> None:
        """Carry out the effects of a durable batch, in order."""

    def written(self, writes: list[Write]) -> None:
        """Take note of rows that are now durable."""

    def silenced(self, error: OstlerError) -> None:
        """Answer everybody who waits: what was not durable is forgotten."""


class Writing(Protocol):
    """The thread of the writer."""

    def do(self, work: Callable[[], None], then: Callable[[Exception | None], None]) -> None:
        """Do it after all before; call `then` in the loop with what was raised, if anything."""

    def close(self) -> None:
        """Finish, and end."""


class Turns:
    """Feeds the machine, commits its writes in batches, and lets the answers out."""

    def __init__(
        self,
        store: Store,
        speaker: Speaker,
        writer: Writing,
        epoch: int,
        clock: Callable[[], float],
        recorder: Recorder | None = None,
        home: tzinfo = UTC,
        identity: str = "ostler",
    ) -> None:
        """Load the machine. home: the zone of this host.

        identity: of the machine, at other resource managers.
        """
        self._identity = identity
        self._store = store
        self._speaker = speaker
        self._epoch = epoch
        self._clock = clock
        self._home = home  # by which calendars and recurring windows go
        self._writer = writer
        self._writes: list[Write] = []
        self._spoken: list[Spoken | asyncio.Future[None]] = []
        self._under_way: Batch | None = None  # what is being committed
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.down: OstlerError | None = None  # why nothing can be written at present
        self._pause = PROBE
        self._recovery: asyncio.TimerHandle | None = None
        self._logged = ""  # the trouble that the log tells already
        self.lost: asyncio.Future[StaleEpoch] = self._loop.create_future()
        self.commits = 0
        self.machine = Machine(
            store.load(),
            epoch=epoch,
            now=clock(),
            home=home,
            identity=identity,
        )
        self.look: Callable[[], None] = lambda: None  # before each plan: others may plan as well
        self.planning = Planning(self, clock, recorder=recorder)

    def put(self, event: Event) -> None:
        """Hand one event to the machine; raise the cause while nothing can be written."""
        if self.down is not None:
            raise _again(self.down)
        self._handle(self._clock(), event)
        self._schedule()

    def _handle(self, now: float, event: Event) -> None:
        """Apply one event. A defect costs what is not durable yet, never the state itself."""
        try:
            effects = self.machine.handle(now, event)
        except Exception as error:
            story = error.story if isinstance(error, IllegalEvent) else ()
            log.exception("a defect was met", extra={"event": repr(event)[:500], "story": story})
            self._fall_silent(DEFECT)
            raise OstlerError("a defect was met; it is in the manager's log") from error
        for effect in effects:
            if isinstance(effect, Save):
                self._writes.append(effect.write)
            else:
                self._spoken.append(effect)

    def unwritten(self) -> tuple[list[Write], list[Write]]:
        """Return the rows that are being committed, and those that gather for the next commit.

        Raises the cause while nothing can be written: then nobody knows what will be durable.
        """
        if self.down is not None:
            raise _again(self.down)
        return self._under_way.writes if self._under_way else [], self._writes

    def barrier(self, needs: Needs = Needs.ALL) -> asyncio.Future[None]:
        """Return a future that is done when so much of what has happened is durable."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self.down is not None:
            future.set_exception(_again(self.down))
        elif needs is Needs.NOTHING:
            future.set_result(None)
        elif needs is Needs.UNDER_WAY and self._under_way:
            self._under_way.spoken.append(future)
        else:
            self._spoken.append(future)
            self._schedule()
        return future

    def _schedule(self) -> None:
        if not (self._under_way or self._scheduled):
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Go on with what is taken in piece by piece, plan if something changed, commit and speak."""
        self._scheduled = False
        if self._under_way or self.down is not None:
            return
        try:
            if self.machine.wants_more:
                self._handle(self._clock(), RmMore())
                self.planning.keep_up(self.machine)
            if self.machine.wants_plan:
                self.look()
                now = self._clock()
                if plan := self._propose(now):
                    self._handle(now, Planned(plan))
        except OstlerError:
            return  # logged, and the state is being read anew
        batch = Batch(self._writes, self._spoken)
        self._writes, self._spoken = [], []
        if batch.writes:
            self._under_way = batch
            self._writer.do(
                lambda: self._store.commit(batch.writes, self._epoch),
                lambda error: self._committed(error, batch),
            )
        else:
            self._speak(batch.spoken)
            if self.machine.wants_more:
                self._schedule()  # others are heard before
        self._set_timer()

    def _propose(self, now: float) -> Plan | None:
        """Return what the scheduler proposes; None: it will be told to `planned`."""
        return self.planning.propose(self.machine, now)

    def planned(self, machine: Machine, plan: Plan, piece: Piece) -> None:
        """Take a piece of a plan that was asked for a while ago."""
        if machine is self.machine and self.down is None:
            with suppress(OstlerError):  # logged, and the state is being read anew
                self.put(Planned(plan, piece=piece))
        self._schedule()

    def planner_lost(self, why: str) -> None:
        """Take note that nobody knows the machine any more."""
        self.put(PlannerLost(why))

    def plan_again(self) -> None:
        """Ask for plans again, if there is anything to plan."""
        self._schedule()

    def _committed(self, error: Exception | None, batch: Batch) -> None:
        self._under_way = None
        if error is None:
            self.commits += 1
            self._all_is_well()
            self._speaker.written(batch.writes)
            self._speak(batch.spoken)
            more = self.machine.wants_plan or self.machine.wants_more
            if self._writes or self._spoken or more:
                self._schedule()
            return
        self._spoken = batch.spoken + self._spoken
        if isinstance(error, OstlerError):
            self._fall_silent(error)
        else:
            log.error("a commit failed", exc_info=error)
            self._fall_silent(DEFECT)

    def _all_is_well(self) -> None:
        self._pause = PROBE
        if self._logged:
            log.warning("writing again")
            self._logged = ""

    def _speak(self, spoken: list[Spoken | asyncio.Future[None]]) -> None:
        said: list[Spoken] = []
        for item in spoken:
            if not isinstance(item, asyncio.Future):
                said.append(item)
                continue
            self._speaker.speak(said)
            said = []
            if not item.done():
                item.set_result(None)
        self._speaker.speak(said)

    def _fall_silent(self, error: OstlerError) -> None:
        """Forget what is not durable, tell everybody who waits, and try again if that may help."""
        if str(error) != self._logged:
            self._logged = str(error)
            log.error("cannot write", extra={"error": self._logged})
        self.down = error
        for item in self._spoken:
            if isinstance(item, asyncio.Future) and not item.done():
                item.set_exception(_again(error))
        self._spoken.clear()
        self._writes.clear()
        self._speaker.silenced(error)
        if isinstance(error, StaleEpoch):
            if not self.lost.done():
                self.lost.set_result(error)
        elif self._recovery is None:
            self._recovery = self._loop.call_later(self._pause, self._recover)

    def _recover(self) -> None:
        """Read the state anew as soon as the database can be written again."""
        self._recovery = None
        if self.lost.done():
            return
        if self._under_way:
            self._recovery = self._loop.call_later(PROBE, self._recover)
            return
        try:
            self._store.probe()
            loaded = self._store.load()
        except OstlerError as error:
            self.down = error
            self._recovery = self._loop.call_later(PROBE, self._recover)
            return
        self.machine = Machine(
            loaded,
            epoch=self._epoch,
            now=self._clock(),
            home=self._home,
            identity=self._identity,
        )
        self.down = None
        self._pause = min(2 * self._pause, PROBE_MOST)  # until a commit succeeds
        self._schedule()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.next_deadline()
        if deadline is not None:
            delay = min(max(deadline - self._clock(), 0.0), 3600.0)
            self._timer = self._loop.call_later(delay, self._tick)

    def _tick(self) -> None:
        if self.down is None:
            self.put(Tick())

    async def in_writer(self, work: Callable[[], None]) -> None:
        """Run something in the writer thread, between commits."""
        done: asyncio.Future[None] = self._loop.create_future()

        def then(error: Exception | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        self._writer.do(work, then)
        await done

    def close(self) -> None:
        """Finish the commit under way and stop."""
        for timer in (self._timer, self._recovery):
            if timer is not None:
                timer.cancel()
        self._writer.close()


def _again(error: OstlerError) -> OstlerError:
    """Return a copy to raise: one that is raised often would keep the frames of all who met it."""
    return from_parts(error.code, error.message, error.expected, error.hint)
