"""`python -I -m ostler.drivers.worker`: runs the driver of one foreign resource manager.

It never runs the driver's code itself: forks do, one for each role. It keeps their deadlines,
reads what they say and print within bounds, ends them with all they have started, and begins
others after a pause.
"""

import contextlib
import logging
import os
import selectors
import signal
import time
from collections import deque

import msgspec

from ostler.core.foreign.pace import NEVER, Backoff
from ostler.drivers import caller
from ostler.model.foreign import Option
from ostler.wire import beside, drivers
from ostler.wire.beside import Beside, Fork
from ostler.wire.drivers import (
    Asking,
    Begin,
    Do,
    Done,
    Fault,
    FromDriver,
    Hint,
    Lost,
    Part,
    Role,
    Unable,
    Up,
)
from ostler.wire.frames import Splitter, frame
from ostler.wire.slices import take_usual_slices

_LINE = 400  # bytes of a line that a driver prints
_LINES = 20  # that are logged within a while
_WHILE = 10.0  # seconds
_FLOOD = 8 << 20  # bytes that it may print within a while
_HINTS = 1_000  # that it may give within a while
_FATAL = "Fatal Python error"  # its place in the code follows
_MERGE = 0.2  # seconds in which hints are told once
_SLACK = 1.0  # seconds for an answer to be written down, beyond the driver's time

log = logging.getLogger("ostler.drivers")


class Meter:
    """How much of something came within a while."""

    def __init__(self) -> None:
        self._since = 0.0
        self._sum = 0

    def add(self, amount: int, now: float) -> int:
        """Return how much it is by now."""
        if now >= self._since + _WHILE:
            self._since, self._sum = now, 0
        self._sum += amount
        return self._sum


class Talk:
    """What a fork prints, as lines of the log. Most of much is left out."""

    def __init__(self, rm: str, role: Role) -> None:
        self._told = {"rm": rm, "role": str(role)}
        self._rest = b""
        self._lines, self._bytes = Meter(), Meter()
        self.last = ""  # line

    def heard(self, data: bytes, now: float) -> bool:
        """Log it; say whether it is more than anybody wants to know."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:_LINE]
        for line in lines:
            if text := line[:_LINE].decode(errors="replace").strip():
                if not self.last.startswith(_FATAL):
                    self.last = text
                if self._lines.add(1, now) <= _LINES:
                    log.info("a driver prints", extra={**self._told, "text": text})
        return self._bytes.add(len(data), now) > _FLOOD


class Child(Fork):
    """A fork that runs a driver."""

    def __init__(self, rm: str, role: Role, given: int, talk: int, line: int) -> None:
        super().__init__(time.monotonic() + drivers.LOADING)
        self.role = role
        self.given, self.talk = given, talk  # pipes: its frames, what it prints
        self.line = line  # a pipe: it is killed when nobody has this end of it any more
        self.talks = Talk(rm, role)
        self.splitter = Splitter(drivers.MOST)
        self.unsent = bytearray()
        self.up = False
        self.doing: Do | None = None
        self.bytes = self.cpus = 0  # of the answer under way
        self.hints = Meter()
        self.fault: tuple[Fault, str] | None = None  # why it is ended, if not by itself
        self.leaves = False  # it is of no more use, but has done nothing wrong

    @property
    def pipes(self) -> tuple[int, ...]:
        """Return the descriptors that only the loop has."""
        return self.given, self.talk, self.line

    def kill(self) -> None:
        """End it with all that it has started."""
        if self.fault is None and not self.leaves:
            what = "be loaded" if self.doing is None else self.doing.verb
            seconds = drivers.LOADING if self.doing is None else self.doing.seconds
            why = f"did not answer to {what} in {seconds:g} s"
            if self.doing is None:
                why = f"was not ready {seconds:g} s after it had been started"
            self.fault = Fault.HUNG, f"the driver {why}, so its process was killed"
        self.killed, self.until = True, NEVER
        for kill in (os.killpg, os.kill):  # the second: it leads no group yet
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """End what is left of it, and return its status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return super().reap()

    def end(self, fault: Fault, why: str) -> None:
        """End it for a reason."""
        if not self.killed:
            self.fault = fault, why
            self.kill()


class Place:
    """What is to be done in one role, and by whom."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.waiting: deque[Do] = deque()
        self.backoff = Backoff()
        self.begin_at = NEVER  # monotonic: when a child is to be begun


class Worker(Beside[Child]):
    """The forks of one driver."""

    def __init__(self, given: int, out: int) -> None:
        super().__init__(given, out, drivers.MOST)
        self._begin: Begin | None = None
        self._name = ""  # of the resource manager
        self._places = {role: Place() for role in Role}
        self._hint: Hint | None = None  # to be told
        self._hint_at = 0.0

    # -- what the manager wants --------------------------------------------------------------

    def take(self, payload: bytes) -> None:
        """Take a frame of the manager."""
        match drivers.decode_request(payload):
            case Begin() as begin:
                self._begin = begin
                for role in (Role.QUERY, Role.ORDER):
                    self._places[role].begin_at = 0.0
            case Do() as order:
                self._places[drivers.role_of(order.verb)].waiting.append(order)

    def due(self) -> float:
        """Return when there is something to do, even if nothing comes."""
        hint = NEVER if self._hint is None else self._hint_at
        return min(hint, *(place.begin_at for place in self._places.values()))

    def between(self) -> None:
        """Begin what is due."""
        now = time.monotonic()
        for role, place in self._places.items():
            if now >= place.begin_at:
                place.begin_at = NEVER
                place.child = self._start(role)
            child = place.child
            if child and child.up and not child.doing and not child.killed and place.waiting:
                self._give(child, place.waiting.popleft())
        if self._hint is not None and now >= self._hint_at:
            self._tell(self._hint)
            self._hint, self._hint_at = None, now + _MERGE

    def _tell(self, message: FromDriver) -> None:
        self.say(drivers.framed(message))

    # -- forks -------------------------------------------------------------------------------

    def _start(self, role: Role) -> Child:
        if self._begin is None:
            raise ValueError("nothing can be begun yet")
        begin, self._name = self._begin, self._begin.rm
        given, ours = os.pipe()
        talk, theirs = os.pipe()
        lifeline, line = os.pipe()

        def work(out: int) -> None:
            for place in self._places.values():
                for fd in place.child.pipes if place.child else ():
                    os.close(fd)
            for fd in child.pipes:
                os.close(fd)
            caller.run(begin, role, given, out, theirs, lifeline)

        child = Child(begin.rm, role, ours, talk, line)
        self.fork(work, child)
        for fd in (given, theirs, lifeline):
            os.close(fd)
        os.set_blocking(ours, False)
        self._selector.register(talk, selectors.EVENT_READ, lambda fd, _: self._print(child, fd))
        return child

    def _give(self, child: Child, order: Do) -> None:
        child.doing, child.bytes, child.cpus = order, 0, 0
        child.until = time.monotonic() + order.seconds
        child.unsent += drivers.framed(order)
        self._selector.register(
            child.given, selectors.EVENT_WRITE, lambda fd, _: self._send(child, fd)
        )

    def _send(self, child: Child, fd: int) -> None:
        try:
            del child.unsent[: os.write(fd, child.unsent)]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it has ended, which is told by another pipe
            child.unsent.clear()
        if not child.unsent:
            self._selector.unregister(fd)

    def _print(self, child: Child, fd: int) -> None:
        data = os.read(fd, 1 << 16)
        if not data:
            self._selector.unregister(fd)
        elif child.talks.heard(data, time.monotonic()):
            child.end(Fault.FLOOD, f"the driver printed over {_FLOOD >> 20} MiB at a time")

    # -- what forks say ----------------------------------------------------------------------

    def hear(self, fork: Child, data: bytes) -> None:
        """Take what a fork says, if it makes sense."""
        if fork.killed:
            return
        try:
            for payload in fork.splitter.feed(data):
                self._understand(fork, drivers.decode_reply(payload), payload)
        except (msgspec.MsgspecError, ValueError) as error:
            fork.end(Fault.GARBAGE, f"the driver's process talks nonsense: {error}")

    def _understand(self, child: Child, message: FromDriver, payload: bytes) -> None:
        framed = frame(payload, drivers.MOST)
        match message:
            case Up() if not child.up:
                child.up, child.until = True, NEVER
                self._tell(Up(child.role, message.about))
                wants = child.role is Role.QUERY and Option.EVENTS in message.about.options
                if wants and self._places[Role.EVENTS].child is None:
                    self._places[Role.EVENTS].begin_at = 0.0
            case Unable(why=why) if not child.doing:
                what = "tells of no more events" if child.up else "cannot be loaded"
                child.end(Fault.FAILED, f"the driver {what}: {why}")
            case Hint() if child.role is Role.EVENTS:
                self._hinted(child, message)
            case Part(number=number) if child.doing and child.doing.number == number:
                child.bytes += len(payload)
                child.cpus += sum(node.cpus for node in message.nodes)
                if child.bytes > drivers.MOST_OF_ANSWER:
                    most = drivers.MOST_OF_ANSWER >> 20
                    child.end(Fault.FLOOD, f"an answer of the driver has over {most} MiB")
                elif child.cpus > drivers.MOST_CPUS:
                    most = drivers.MOST_CPUS
                    child.end(Fault.FLOOD, f"an answer of the driver tells of over {most} CPUs")
                else:
                    self.say(framed)
            case Asking(number=number) if child.doing and child.doing.number == number:
                child.until = time.monotonic() + child.doing.round + _SLACK
            case Done(number=number, fault=Fault.MEMORY) if child.doing:
                child.end(Fault.MEMORY, message.why)
            case Done(number=number) if child.doing and child.doing.number == number:
                child.doing, child.until = None, NEVER
                self.say(framed)
                if message.stuck:
                    child.leaves = True
                    child.kill()
            case _:
                child.end(Fault.GARBAGE, "the driver's process says what nobody asked for")

    def _hinted(self, child: Child, hint: Hint) -> None:
        now = time.monotonic()
        if child.hints.add(1, now) > _HINTS:
            child.end(Fault.FLOOD, f"the driver told of over {_HINTS} events at a time")
        elif self._hint is None:
            self._hint, self._hint_at = hint, max(self._hint_at, now)

    def ended(self, fork: Child, status: int) -> None:
        """Tell that a fork has ended, and have another one begun."""
        child, place = fork, self._places[fork.role]
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(child.talk, False)
            child.talks.heard(os.read(child.talk, 1 << 16), time.monotonic())
        for fd in child.pipes:
            with contextlib.suppress(KeyError):
                self._selector.unregister(fd)
            os.close(fd)
        place.child = None
        now = time.monotonic()
        if child.leaves:
            place.begin_at = now
            return
        fault, why = child.fault or (Fault.CRASHED, _end_of(child, status))
        pause = place.backoff.lost(now)
        place.begin_at = now + pause
        lost = [child.doing] if child.doing else []
        if child.role is Role.QUERY:  # the rest of a load is of no use
            lost += place.waiting
            place.waiting.clear()
        verb = child.doing.verb if child.doing else ""
        numbers = tuple(order.number for order in lost)
        log.warning(
            "a driver was lost", extra={"rm": self._name, "role": str(child.role), "why": why}
        )
        self._tell(Lost(child.role, fault, why[:1000], pause, numbers, verb))

    def close(self) -> None:
        """End all forks."""
        for place in self._places.values():
            if place.child:
                place.child.kill()


def _end_of(child: Child, status: int) -> str:
    number = os.waitstatus_to_exitcode(status)
    how = f"with status {number}"
    if number < 0:
        how = f"by signal {signal.Signals(-number).name}"
    verb = child.doing.verb if child.doing else "nothing"
    last = f"; its last words: {child.talks.last}" if child.talks.last else ""
    return f"the driver's process ended {how} while it did {verb}{last}"


def main() -> None:
    """Serve stdin and stdout."""
    worker = Worker(*beside.begin())
    take_usual_slices()  # the manager is served first
    try:
        with contextlib.suppress(BrokenPipeError):  # nobody is left to hear it
            worker.serve()
    finally:
        worker.close()


if __name__ == "__main__":
    main()
