"""One share in the agent's hands: waiting for a starter, with one, or orphaned by one."""

import asyncio
import logging
import time

from msgspec import structs

from ostler.agent import inquest, remains
from ostler.agent.elements import Elements
from ostler.agent.journal import Handed
from ostler.agent.office import Office, inquire, remove_spool
from ostler.agent.programs import Around
from ostler.agent.relay_request import relay_request
from ostler.agent.remnant import Remnant, apply
from ostler.agent.starters import Starter
from ostler.core.agent_words import (
    ShareEnded,
    ShareProgress,
    ShareStarted,
)
from ostler.model.ids import AllocationId
from ostler.model.orders import NODE_FAULT, ElementEnd, Ended, Launch, Progress, Spans
from ostler.model.states import Result
from ostler.wire.descriptors import let_go

log = logging.getLogger("ostler.agent")

CLIENT_SECONDS = 10.0  # in which the client of `run` must have left its descriptors
_TRIES = 3  # starters that may die before the share has run


class Hand:
    """Carries out what is ordered of one share, wherever it is. See `Starter.holder`."""

    def __init__(self, office: Office, alloc: AllocationId, launch: Launch | None) -> None:
        self.alloc = alloc
        self.launch = launch
        self._office = office
        self._loop = asyncio.get_running_loop()
        self._starter: Starter | None = None
        self._dead = ""  # path of a dead starter's spool that tells of this share
        self._remnant: Remnant | None = None
        self._inquiry: asyncio.Task[None] | None = None
        self._queue: list[dict[str, object]] = []  # orders until somebody can take them
        self._passed = False  # orders were passed on, so that some can be lost on their way
        self._elements = Elements()  # of a slot
        self._end: tuple[str, str, float] | None = None
        self._stdio: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tries = 0
        self._begun = False
        self.over = False
        programs = None if launch is None else launch.programs
        self.around = Around(office, launch, programs) if launch and programs else None

    # -- handing out -----------------------------------------------------------------------

    def make(self) -> None:
        """Find a starter for it, and before that its client's descriptors if it wants any."""
        launch = self.launch
        if self.over or launch is None:
            return
        if self.around is not None and not self.around.is_ready:
            self.around.prepare(self._prepared)
            return
        if launch.stdio and not self._stdio:
            left = self._office.left.take(launch.stdio, launch.uid)
            if left is None:
                self._office.left.when_left(launch.stdio, self.make)
                if self._timer is None:
                    self._timer = self._loop.call_later(CLIENT_SECONDS, self._client_is_gone)
                return
            self._stdio = left
        self._stop_waiting()
        self._tries += 1
        if launch.streams is None:
            self._office.starters.want(self._take)
        else:
            self._office.starters.relay(relay_request(launch), self._relay_is_there)

    def _prepared(self, why: str) -> None:
        """Go on after the prolog."""
        if why:
            self.finish(structs.replace(self._never(NODE_FAULT, why), drain=why))
        elif self._end is not None:
            self.finish(self._never(self._end[0], self._end[1]))
        else:
            self.make()

    def _relay_is_there(self, why: str) -> None:
        if self.over:
            return
        if why:
            self.finish(self._never(NODE_FAULT, f"nothing here can hold its streams: {why}"))
        else:
            self._office.starters.want(self._take)

    def _client_is_gone(self) -> None:
        self._timer = None
        self.finish(self._never(Result.CANCELLED, "the client of run is gone"))

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.launch is not None and self.launch.stdio:
            self._office.left.stop_waiting(self.launch.stdio)

    def _take(self, starter: Starter) -> bool:
        """Give it to an idle starter, unless it is over; journal first."""
        if self.over or self.launch is None or starter.link is None:
            return False
        try:
            self._office.journal.hand(
                Handed(self.alloc, starter.name, starter.pid, starter.start_time, starter.above)
            )
        except OSError as error:
            why = f"the agent cannot write its journal: {error.strerror}"
            self.finish(self._never(NODE_FAULT, why))
            return False
        starter.holder = self
        self._starter = starter
        starter.launch(self.launch, self._stdio, declared=self._office.declared)
        self._passed = True
        if self._begun:
            starter.send({"type": "start_tasks", "alloc": self.alloc})
        self._flush()
        starter.link.flush()  # at once: this is what a job waits for
        return True

    @property
    def starter(self) -> Starter | None:
        """Return the starter that has it, if one does."""
        return self._starter

    def adopt(self, starter: Starter) -> None:
        """Go on with the starter that has it since before this agent's time."""
        self._starter = starter
        starter.holder = self

    # -- orders ----------------------------------------------------------------------------

    def tell(self, message: dict[str, object]) -> None:
        """Pass an order on, now or as soon as somebody can take it."""
        if not self.over:
            self._queue.append(message)
            self._flush()

    def begin_tasks(self) -> None:
        """Let its tasks start, here or at whatever starter gets it next."""
        self._begun = True
        if self._starter is not None:
            self.tell({"type": "start_tasks", "alloc": self.alloc})

    def end(self, cause: str, why: str, grace: float) -> None:
        """End it wherever it is; the first cause is kept."""
        if self.over:
            return
        first = self._end or (cause, why, grace)
        self._end = (first[0], first[1], grace)
        if self._remnant is not None or self._starter is not None:
            order = {"type": "end", "cause": first[0], "why": first[1], "grace": grace}
            self.tell({**order, "alloc": self.alloc})
        elif self._inquiry is None and not (self.around is not None and self.around.is_busy):
            self.finish(self._never(first[0], first[1]))

    def withdraw(self, elements: Spans, cause: str, why: str, grace: float) -> None:
        """Take elements back; with a cause, end the one of them that runs wherever it is."""
        if cause:
            self._elements.doom(elements, (cause, why, grace))
        order = {"type": "withdraw", "elements": elements, "cause": cause, "why": why}
        self.tell({**order, "grace": grace, "alloc": self.alloc})
        self._end_doomed()

    def _end_doomed(self) -> None:
        """End the element that a dead starter left, if that was ordered."""
        if self._remnant is None or self.over:
            return
        doom = self._elements.doom_of(self._remnant.element)
        if doom is not None:
            self._remnant.end_element(*doom)

    def heard_manager(self) -> None:
        """Begin the lease anew, if it has one."""
        if self._starter is not None and self.launch is not None and self.launch.lease:
            self._starter.send({"type": "lease", "alloc": self.alloc})

    def _flush(self) -> None:
        if self._remnant is not None:
            queue, self._queue = self._queue, []
            for message in queue:
                apply(self._remnant, message)
        elif self._starter is not None and self._starter.link is not None:
            queue, self._queue = self._queue, []
            self._passed = self._passed or bool(queue)
            for message in queue:
                self._starter.send(message)

    # -- the starter -----------------------------------------------------------------------

    def started(self, at: float) -> None:
        """Its tasks run: the client's descriptors are theirs now."""
        self._close_stdio()
        self._office.feed(ShareStarted(self.alloc, at))

    def progressed(self, row: Progress) -> None:
        """Tell of its elements, in the order in which they ended."""
        if not self.over:
            self._elements.told(row)
            self._office.feed(ShareProgress(row))

    def acknowledged(self, serial: int) -> None:
        """Its elements' ends up to this serial are durable: let the starter forget them too."""
        self._elements.acknowledged(serial)
        self.tell({"type": "acked", "alloc": self.alloc, "serial": serial})

    def starter_back(self) -> None:
        """Give it what was ordered meanwhile; some may have been lost with the connection."""
        if self._end is not None:
            self.end(*self._end)
        self._flush()
        if self._is_slot and self._passed:
            self._office.greet_anew(f"what was on its way to share {self.alloc} may be lost")

    def starter_died(self) -> None:
        """Find out what became of the share; before that, nothing is done about it."""
        if self._starter is None:
            return
        starter = self._starter
        log.warning("a starter died", extra={"starter": starter.name, "alloc": self.alloc})
        self.died(self._office.starters.spool_path(starter.name))
        if not self.over:
            inquiry = self._inquire(self._dead, starter.above)
            self._inquiry = self._loop.create_task(inquiry)

    async def _inquire(self, path: str, above: tuple[int, int]) -> None:
        verdict = await inquire(self._office, path, self.alloc, above)
        self._inquiry = None
        self.judged(path, verdict)

    def judged(self, path: str, verdict: inquest.Verdict) -> None:
        """Act on what the inquest into the death of its starter found."""
        self.died(path)
        log.info("inquest", extra={"alloc": self.alloc, "verdict": type(verdict).__name__})
        match verdict:
            case inquest.Over(row, ends):
                self.finish(row, ends)
            case inquest.NeverRan():
                self._try_again()
            case inquest.GoesOn():
                self.watch(verdict)
            case inquest.Unknown(why):
                log.warning("a share is lost", extra={"alloc": self.alloc, "why": why})
                self._give_up(path, why)

    def _give_up(self, path: str, why: str) -> None:
        """End what may be left of it, for "lost" must not be said of what still runs."""
        entry = self._office.journal.entries.get(self.alloc)
        if entry is None or entry.handed is None:
            self.finish(inquest.lost(self.alloc, self._accepted_at(), why))
            return
        state = remains.bare_state(path, self.alloc, entry.handed.pid, entry.handed.start_time)
        state.cause, state.why = Result.LOST, why
        self.watch(inquest.GoesOn(state, entry.accepted_at, entry.accepted_at))

    def died(self, path: str) -> None:
        """Note that a dead starter's spool tells of it, to be removed when it is forgotten."""
        self._starter = None
        self._dead = path

    def watch(self, found: inquest.GoesOn) -> None:
        """Take the dead starter's place."""
        self.started(found.started_at)
        self._remnant = Remnant(found, self._office.reaper, self.finish)
        self._remnant.begin()
        self._end_doomed()
        if self._end is not None and not self.over:
            self._remnant.end(*self._end)
        self._flush()

    def _try_again(self) -> None:
        self._clean()
        if self._end is not None:
            self.finish(self._never(self._end[0], self._end[1]))
        elif self._is_slot:
            # Elements that it was fed may have gone with the starter: only the manager has all.
            self.finish(self._never("", "its starter died before it began anything"))
        elif self._tries >= _TRIES or self.launch is None:
            self.finish(self._never("", f"{self._tries} starters died before they could start it"))
        else:
            self.make()

    def _accepted_at(self) -> float:
        entry = self._office.journal.entries.get(self.alloc)
        return time.time() if entry is None else entry.accepted_at

    @property
    def _is_slot(self) -> bool:
        return self.launch is not None and self.launch.chunk is not None

    # -- the end ---------------------------------------------------------------------------

    def _never(self, cause: str, why: str) -> Ended:
        return Ended(self.alloc, time.time(), None, cause, why)

    def finish(self, row: Ended, ends: tuple[ElementEnd, ...] = ()) -> None:
        """Note its end, durable before it is told; later ends of the same share are ignored.

        ends: of a slot's elements, of which its starter may not have told.
        """
        if self.over:
            return
        if self.around is not None and not self.around.is_clear:
            self.around.clear(lambda why: self.finish(_draining(row, why), ends))
            return
        self.over = True
        self._queue.clear()
        self._stop_waiting()
        self._close_stdio()
        if self.launch is None or self.launch.key:
            self._office.contexts.drop(self.alloc)
        last = self._elements.last_word(self.alloc, ends)
        try:
            self._office.journal.finish(row, last)
        except OSError as error:
            log.error("journal not written", extra={"why": error.strerror})  # noqa: TRY400
        if ends and last is not None:
            self._office.feed(ShareProgress(last))
        self._office.feed(ShareEnded(row))

    def forget(self) -> None:
        """The manager knows: let the starter be idle again, or clean up after a dead one."""
        try:
            self._office.journal.drop(self.alloc)
        except OSError as error:
            log.error("journal not written", extra={"why": error.strerror})  # noqa: TRY400
        starter, self._starter = self._starter, None
        if starter is not None:
            starter.holder = None
            starter.send({"type": "forget", "alloc": self.alloc})
        self._clean()

    def _clean(self) -> None:
        if self._dead:
            remove_spool(self._dead)
            self._dead = ""

    def _close_stdio(self) -> None:
        let_go(self._stdio)
        self._stdio = []

    def close(self) -> None:
        """Let go of it, as the agent ends; whatever runs goes on."""
        self._stop_waiting()
        self._close_stdio()
        if self._inquiry is not None:
            self._inquiry.cancel()
        if self._remnant is not None:
            self._remnant.close()
        if self.around is not None:
            self.around.close()


def _draining(row: Ended, why: str) -> Ended:
    """Return the end of a share with the node's wish for no more work, if the epilog failed."""
    return structs.replace(row, drain=row.drain or why) if why else row
