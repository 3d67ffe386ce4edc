"""The driver of one resource manager, as the manager sees it: when it is asked, and what it says.

A process keeps the driver (`ostler.drivers.worker`). Here loads are launched and gathered at the
resource manager's own pace, and orders are carried out; what comes of both goes to the core.
"""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from msgspec import structs

from ostler.core.effects import Call
from ostler.core.events import Event, RmAnswered, RmLoaded, RmTrouble, RmUp
from ostler.core.foreign.pace import NEVER, Backoff, Pace, Timing
from ostler.manager.companion import Companion
from ostler.manager.load import Load
from ostler.manager.native import Blobs
from ostler.model.errors import NotNow, OstlerError
from ostler.model.foreign import About, Did, Outcome, Start
from ostler.model.limits import MAX_SENTENCE
from ostler.model.site import ResourceManager
from ostler.model.units import parse_size
from ostler.wire import drivers
from ostler.wire.drivers import (
    QUERIES,
    Begin,
    Do,
    Done,
    Fault,
    FromDriver,
    Hint,
    Lost,
    Part,
    Role,
    Up,
)

log = logging.getLogger("ostler.manager")

TRACED = 50  # iterations that are remembered
RUN_AS = "run-as"  # settings that are not the driver's
MEMORY = "memory"


class Runner:
    """One resource manager, for as long as its row is as it is."""

    def __init__(
        self,
        row: ResourceManager,
        put: Callable[[Event], None],
        blobs: Blobs,
        is_taking: Callable[[str], bool],
    ) -> None:
        """Begin. is_taking: says whether the core still takes in what the load of one has told."""
        self.row = row
        self._is_taking = is_taking
        self._put = put
        self._blobs = blobs
        self._loop = asyncio.get_running_loop()
        self.pace = Pace(row.interval, self._loop.time())
        self.pace.happened()  # what is there is taken in at once
        self.about: About | None = None
        self.timings: defaultdict[str, Timing] = defaultdict(Timing)  # by verb
        self.late = 0  # answers that nobody waited for any more
        self.losses = 0  # of processes
        self.trace: deque[dict[str, Any]] = deque(maxlen=TRACED)  # the last iterations
        self._companion: Companion | None = None
        self._unsent: list[Do] = []  # until there is a process
        self._next = 1
        self._load: Load | None = None
        self._loaded: RmLoaded | None = None  # complete, and not taken in yet
        self._calls: dict[int, Call] = {}  # orders that are not answered
        self._queries_up = False
        self._told = ""  # the failure that the core knows of already
        self._down = ""  # why no process could be begun, as the core knows already; empty: one was
        self._refusals = Backoff(max(1.0, row.interval))
        self._crashes = Backoff()
        self._timer: asyncio.TimerHandle | None = None
        self._serving = self._loop.create_task(self._serve())

    # -- the process ---------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Keep a process, for ever."""
        while True:
            why = await self._one_process()
            was_up, self._queries_up, self._companion = self._queries_up, False, None
            pause = self._crashes.lost(self._loop.time())
            log.error("no process runs a driver", extra={"rm": self.row.name, "why": why})
            waiting = {order.number for order in self._unsent}
            sent = [number for number in self._calls if number not in waiting]
            numbers = (*sent, *(self._load.open if self._load else ()))
            self._lost(Lost(Role.QUERY, Fault.CRASHED, why, pause, numbers))
            if not was_up:
                self._cannot_begin(why)
            await asyncio.sleep(pause)

    async def _one_process(self) -> str:
        """Serve with one process until it ends; return why it did."""
        companion: Companion | None = None
        try:
            begin = self._begin()
            command, env = drivers.command(), drivers.ENVIRONMENT
            companion = await Companion.begin(command, env, drivers.MOST)
            log.info("a process runs a driver", extra={"rm": self.row.name, "pid": companion.pid})
            companion.stdin.write(drivers.framed(begin))
            unsent, self._unsent = self._unsent, []
            self._companion = companion
            for order in unsent:
                self._send(order)
            while True:
                data = await companion.read()
                self._take(drivers.decode_reply(data))
        except EOFError:
            status = await companion.status() if companion else 0
            return f"the process that keeps the driver ended with status {status}"
        except (OSError, ValueError, OstlerError) as error:
            return f"the process that keeps the driver failed: {error}"
        finally:
            if companion is not None:
                companion.kill()
                await companion.status()

    def _begin(self) -> Begin:
        settings = dict(self.row.settings)
        user = settings.pop(RUN_AS, "")
        memory = parse_size(settings.pop(MEMORY)) if MEMORY in settings else drivers.MEMORY
        return Begin(self.row.name, self.row.driver, settings, user, memory, self.row.workers)

    def _send(self, order: Do) -> None:
        if self._companion is None:
            self._unsent.append(order)
            return
        with contextlib.suppress(NotNow):  # it has ended, which is about to be told
            self._companion.stdin.write(drivers.framed(order))

    def _number(self) -> int:
        self._next += 1
        return self._next

    # -- orders --------------------------------------------------------------------------------

    def give(self, call: Call) -> None:
        """Have an order carried out."""
        number = self._number()
        try:
            start = self._dressed(call)
        except OstlerError as error:
            log.error("cannot order", extra={"rm": self.row.name, "why": str(error)})  # noqa: TRY400
            self._tell(RmAnswered(call.rm, call.call, Outcome(Did.NEVER, text=_words(error))))
            return
        self._calls[number] = call
        seconds = float(self.row.deadline)
        order = Do(number, call.verb, seconds, 0.0, call.job, call.token, start, call.time_limit)
        self._send(order)

    def _dressed(self, call: Call) -> Start | None:
        """Return the start with what the core does not hold."""
        if call.start is None:
            return None
        env, script, items = call.blobs
        own = {name.encode(): value.encode() for name, value in call.variables.items()}
        if (line := self._blobs.line(items, call.element)) is not None:
            own[b"OSTLER_ITEM"] = line.replace(b"\0", b"")
        entries = [
            entry
            for entry in self._blobs.get(env).split(b"\0")
            if entry and entry.partition(b"=")[0] not in own
        ]
        entries += [b"%s=%s" % (name, value) for name, value in own.items()]
        whole = b"".join(entry + b"\0" for entry in entries) or call.start.env
        script_text = self._blobs.get(script) if script else call.start.script
        return structs.replace(call.start, env=whole, script=script_text)

    # -- what the process says -------------------------------------------------------------------

    def _take(self, message: FromDriver) -> None:
        match message:
            case Up(role, about):
                if role is Role.QUERY:
                    self.about, self._queries_up = about, True
                    if self._down:
                        self.pace.happened()  # whatever it has missed is taken in at once
                    self._tell(RmUp(self.row.name, about))
            case Part(number=number):
                if self._load and number in self._load.open:
                    self._load.parts.append(message)
                else:
                    self.late += 1
            case Done():
                self._done(message)
            case Hint():
                self.happened(seen=False)
            case Lost():
                self.losses += 1
                was_up = self._queries_up or message.role is not Role.QUERY
                self._queries_up = self._queries_up and message.role is not Role.QUERY
                self._lost(message)
                if not was_up:
                    self._cannot_begin(message.why)
        self._schedule()

    def _done(self, done: Done) -> None:
        number = done.number
        if self._load and number in self._load.open:
            verb = self._load.open.pop(number)
            self._time(verb, done)
            if done.fault is None:
                self._load.done[verb] = done
            else:
                self._load.why = done.why
                self._trouble_once(done.fault, done.why)
            self._look_at_load()
        elif call := self._calls.pop(number, None):
            self._time(call.verb, done)
            outcome = done.outcome or Outcome(Did.UNKNOWN, text=done.why)
            self._tell(RmAnswered(self.row.name, call.call, outcome))
            self.pace.happened(seen=False)
        else:
            self.late += 1

    def _time(self, verb: str, done: Done) -> None:
        timing = self.timings[verb]
        timing.took(done.took)
        timing.failed += done.fault is not None
        if done.nodes is not None:
            node = self.timings["node"]
            node.took_together(done.nodes.count, done.nodes.total, done.nodes.most)
            node.failed += done.nodes.late + done.nodes.failed

    def _lost(self, lost: Lost) -> None:
        """Take note that a process is gone, and what was asked of it is unknown."""
        if lost.verb:
            self.timings[lost.verb].failed += 1
        calls = [self._calls.pop(number) for number in lost.numbers if number in self._calls]
        again = lost.fault is Fault.FAILED and lost.why == self._told  # it still cannot be loaded
        if calls or not again:
            self._told = lost.why
            until = time.time() + lost.pause
            numbers = tuple(call.call for call in calls)
            self._tell(RmTrouble(self.row.name, str(lost.fault), lost.why, until, numbers))
        if self._load and any(number in self._load.open for number in lost.numbers):
            self._load.why, self._load.pause = lost.why, lost.pause
            self._load.open.clear()
            self._look_at_load()
        self._schedule()

    def _cannot_begin(self, why: str) -> None:
        """Tell that nothing answers: no load is launched, which could fail, before one is up."""
        if self._down != why and self.about is not None:
            self._down = why
            self._tell(RmLoaded(self.row.name, self.about, None, None, time.time(), 0.0, why))

    def _trouble_once(self, fault: Fault, why: str) -> None:
        if why != self._told:
            self._told = why
            self._tell(RmTrouble(self.row.name, str(fault), why))

    def _tell(self, event: Event) -> None:
        with contextlib.suppress(OstlerError):  # then all is read anew, and asked anew
            self._put(event)

    # -- loads -----------------------------------------------------------------------------------

    def happened(self, *, seen: bool = True) -> None:
        """Take note of an event, which brings the next iteration forward."""
        self.pace.happened(seen=seen)
        if not seen:
            self._loaded = None
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = min(self.pace.iterate_at, self.pace.launch_at if self._queries_up else NEVER)
        if due != NEVER:
            self._timer = self._loop.call_later(max(0.0, due - self._loop.time()), self._act)

    def _act(self) -> None:
        """Take in what is loaded, or launch a load, if it is time."""
        self._timer = None
        now = self._loop.time()
        if now >= self.pace.iterate_at:
            because = self.pace.because
            self.pace.iterated(now)
            loaded, self._loaded = self._loaded, None
            if loaded is not None:
                self.trace[-1] |= {"at": time.time(), "because": because}
                self._tell(loaded)
                if self._is_taking(self.row.name):
                    self.pace.takes()
        elif self._queries_up and now >= self.pace.launch_at:
            self.pace.launched(now)
            first, second = self._number(), self._number()
            self._load = Load((first, second), time.time())
            seconds, together = float(self.row.deadline), float(self.row.interval)
            together = max(seconds, together)
            self._send(Do(first, QUERIES[0], seconds, together))
            self._send(Do(second, QUERIES[1], seconds))
        self._schedule()

    def _look_at_load(self) -> None:
        """See whether the load under way is over, and how."""
        load = self._load
        if load is None or load.open or self.about is None:
            return
        self._load = None
        now = self._loop.time()
        loaded = load.loaded(self.row.name, self.about, time.time() - load.began)
        self.trace.append(load.traced(loaded))
        if load.whole:
            self._told = self._down = ""
            self._refusals.calm()
            self.pace.loaded(now)
            self._loaded = loaded
        else:
            pause = load.pause or self._refusals.lost(now)
            self.pace.failed(now, pause)
            self._tell(loaded)

    def taken_in(self) -> None:
        """Take note that a load is in that took several turns; now another one may be launched."""
        self.pace.taken(self._loop.time())
        self._schedule()

    # -- for others --------------------------------------------------------------------------------

    def read(self) -> dict[str, Any]:
        """Return what `ostler rm show` prints."""
        now = self._loop.time()
        return {
            "pid": self._companion.pid if self._companion else None,
            "up": self._queries_up,
            "loading": self.pace.loading,
            "next_iteration": round(self.pace.next_at - now, 3),
            "verbs": {verb: timing.row() for verb, timing in sorted(self.timings.items())},
            "load": self.pace.timing.row(),
            "late": self.late,
            "losses": self.losses,
            "orders": len(self._calls),
        }

    def forget(self) -> None:
        """Forget all orders: the core has, and asks anew. What is loaded is loaded anew."""
        self._calls.clear()
        self.pace.taken(self._loop.time())
        self._unsent = [order for order in self._unsent if order.verb in QUERIES]
        self.happened(seen=False)

    async def close(self) -> None:
        """End the process, with all it runs."""
        if self._timer is not None:
            self._timer.cancel()
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)


def _words(error: OstlerError) -> str:
    return str(error)[:MAX_SENTENCE]
