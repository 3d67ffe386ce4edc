"""`python -I -m ostler.manager.errand_worker STATE system|personal`: runs handlers, tells users.

Each attempt is a fork of this process, which waits for nobody: what hangs, crashes or floods is a
fork's matter, and each has a deadline. The forks end their programs when this process is gone.
"""

import contextlib
import logging
import os
import signal
import sys
import time
from functools import partial

import msgspec

from ostler.manager import errands
from ostler.manager.attempt import attempt_at
from ostler.manager.found import DEADLINE
from ostler.manager.pen import sweep
from ostler.manager.run_as import Place
from ostler.model.errand import Order, Outcome, Program, Ran
from ostler.wire import beside
from ostler.wire.beside import Beside, Fork, write_all

_SLACK = 15.0  # seconds that a fork may take beyond its time, to end what it has started

log = logging.getLogger("ostler.errands")


class _Attempt(Fork):
    """A fork that makes an attempt."""

    def __init__(self, order: Order) -> None:
        allowed = order.work.timeout if isinstance(order.work, Program) else DEADLINE
        super().__init__(time.monotonic() + allowed + _SLACK)
        self.order = order


class Worker(Beside[_Attempt]):
    """Forks for orders, and tells how they ended."""

    def __init__(self, given: int, out: int, place: Place) -> None:
        super().__init__(given, out, errands.MOST)
        self._place = place
        self._lifeline, self._ours = os.pipe()  # its reader sees the end of this process

    def take(self, payload: bytes) -> None:
        """Begin an attempt."""
        order = errands.decode_order(payload)
        self.fork(partial(self._run, order), _Attempt(order))

    def _run(self, order: Order, out: int) -> None:
        """Make the attempt, in a process of its own."""
        os.close(self._ours)
        found = attempt_at(order.work, self._place, self._lifeline)
        if found.result is not Outcome.SUCCESS:
            told = {"handler": order.handler, "event": order.first, "attempt": order.attempt}
            told |= {"result": str(found.result), "reason": found.reason, "output": found.output}
            log.warning("an event was not handled", extra=told)
        ran = Ran(
            *(order.first, order.handler, order.attempt),
            *(found.result, found.exit_status, found.reason),
        )
        write_all(out, errands.encode(ran))

    def ended(self, fork: _Attempt, status: int) -> None:
        """Tell how an attempt ended."""
        order = fork.order
        try:
            ran = errands.decode_ran(bytes(fork.heard))
        except msgspec.MsgspecError:  # it was killed, or met a defect, which is in the log
            late = fork.killed or status == signal.SIGALRM
            result = Outcome.LATE if late else Outcome.FAILED
            why = "it took too long" if late else "the process that ran it was lost"
            ran = Ran(order.first, order.handler, order.attempt, result, None, why)
        self.say(errands.framed(ran))


def main() -> None:
    """Serve stdin and stdout."""
    pipes = beside.begin()
    sweep()
    place = Place(sys.argv[1], system=sys.argv[2] == "system")
    with contextlib.suppress(BrokenPipeError):  # nobody is left to hear it
        Worker(*pipes, place).serve()


if __name__ == "__main__":
    main()
