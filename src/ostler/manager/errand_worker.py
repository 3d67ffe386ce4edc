"""`python -I -m ostler.manager.errand_worker STATE system|personal`: runs handlers, tells users.

Each attempt is a fork of this process, which waits for nobody: what hangs, crashes or floods is a
fork's matter, and each has a deadline. The forks end their programs when this process is gone.
"""

import contextlib
import logging
import os
import resource
import selectors
import signal
import sys
import time
from typing import NoReturn

import msgspec

from ostler.manager import errands
from ostler.manager.attempt import attempt_at
from ostler.manager.found import DEADLINE
from ostler.manager.run_as import Place
from ostler.model.errand import Order, Outcome, Program, Ran
from ostler.wire.frames import Splitter
from ostler.wire.logs import log_to_stderr

_READ = 1 << 16  # bytes
_SLACK = 15.0  # seconds that a fork may take beyond its time, to end what it has started

log = logging.getLogger("ostler.errands")


class _Attempt:
    """A fork and what it has said so far."""

    def __init__(self, order: Order, pid: int) -> None:
        self.order, self.pid = order, pid
        self.heard = bytearray()
        allowed = order.work.timeout if isinstance(order.work, Program) else DEADLINE
        self.until = time.monotonic() + allowed + _SLACK
        self.killed = False


class Worker:
    """Forks for orders, and tells how they ended."""

    def __init__(self, given: int, out: int, place: Place) -> None:
        self._in, self._out, self._place = given, out, place
        self._splitter = Splitter(errands.MOST)
        self._attempts: dict[int, _Attempt] = {}  # by their pipes
        self._selector = selectors.DefaultSelector()
        self._lifeline, self._ours = os.pipe()  # its reader sees the end of this process

    def serve(self) -> None:
        """Go on until nobody gives orders any more."""
        self._selector.register(self._in, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(self._patience()):
                data = os.read(key.fd, _READ)
                if key.fd != self._in:
                    self._hear(key.fd, data)
                elif not data:
                    return
                else:
                    for payload in self._splitter.feed(data):
                        self._begin(errands.decode_order(payload))
            self._end_late()

    def _patience(self) -> float | None:
        times = [attempt.until for attempt in self._attempts.values() if not attempt.killed]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _end_late(self) -> None:
        for attempt in self._attempts.values():
            if not attempt.killed and time.monotonic() >= attempt.until:
                attempt.killed = True
                os.kill(attempt.pid, signal.SIGKILL)

    def _begin(self, order: Order) -> None:
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            self._run(order, theirs)
        os.close(theirs)
        self._attempts[ours] = _Attempt(order, child)
        self._selector.register(ours, selectors.EVENT_READ)

    def _run(self, order: Order, out: int) -> NoReturn:
        """Make the attempt, in a process of its own, and end."""
        status = 1
        try:
            for fd in (self._in, self._out, self._ours, *self._attempts):
                os.close(fd)
            found = attempt_at(order.work, self._place, self._lifeline)
            if found.result is not Outcome.SUCCESS:
                told = {"handler": order.handler, "event": order.first, "attempt": order.attempt}
                told |= {
                    "result": str(found.result),
                    "reason": found.reason,
                    "output": found.output,
                }
                log.warning("an event was not handled", extra=told)
            ran = Ran(
                *(order.first, order.handler, order.attempt),
                *(found.result, found.exit_status, found.reason),
            )
            data = errands.encode(ran)
            while data:
                data = data[os.write(out, data) :]
            status = 0
        except Exception:
            log.exception("a defect was met")
        finally:
            os._exit(status)

    def _hear(self, pipe: int, data: bytes) -> None:
        attempt = self._attempts[pipe]
        attempt.heard += data
        if data:
            return
        self._selector.unregister(pipe)
        os.close(pipe)
        del self._attempts[pipe]
        _, status = os.waitpid(attempt.pid, 0)
        order = attempt.order
        try:
            ran = errands.decode_ran(bytes(attempt.heard))
        except msgspec.MsgspecError:  # it was killed, or met a defect, which is in the log
            late = attempt.killed or status == signal.SIGALRM
            result = Outcome.LATE if late else Outcome.FAILED
            why = "it took too long" if late else "the process that ran it was lost"
            ran = Ran(order.first, order.handler, order.attempt, result, None, why)
        left = memoryview(errands.framed(ran))
        while left:
            left = left[os.write(self._out, left) :]


def main() -> None:
    """Serve stdin and stdout."""
    log_to_stderr()
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the manager ends by it, then we
    place = Place(sys.argv[1], system=sys.argv[2] == "system")
    with contextlib.suppress(BrokenPipeError):  # nobody is left to hear it
        Worker(sys.stdin.fileno(), sys.stdout.fileno(), place).serve()


if __name__ == "__main__":
    main()
