"""`python -I -m ostler.manager.planner_worker`: plans for a large machine, and explains.

It has no descriptor but its pipes, no environment and nothing to write to. Explanations are worked
out by forks of it, so that none of them makes a plan late, and the kernel ends those that take long.
"""

import contextlib
import logging
import os
import resource
import selectors
import signal
import sys
from collections import deque
from typing import NoReturn

from ostler.manager import heap, planner
from ostler.model.errors import OstlerError
from ostler.schedule.decisions import Told
from ostler.schedule.engine import Engine
from ostler.schedule.explain import engine_of
from ostler.schedule.question import reply
from ostler.schedule.views import Views
from ostler.wire.frames import Splitter
from ostler.wire.logs import log_to_stderr
from ostler.wire.slices import take_usual_slices

AT_ONCE = 2  # explanations
_READ = 1 << 20  # bytes

log = logging.getLogger("ostler.planner")


class Worker:
    """One engine, and the views that explanations are worked out from."""

    def __init__(self, given: int, out: int) -> None:
        self._in, self._out = given, out
        self._engine = Engine()
        self._views = Views()
        self._splitter = Splitter(planner.MOST)
        self._asked: deque[planner.Ask] = deque()
        self._forks: dict[int, tuple[int, planner.Ask, bytearray]] = {}  # by their pipes
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Answer until nobody asks any more."""
        self._selector.register(self._in, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                data = os.read(key.fd, _READ)
                if key.fd != self._in:
                    self._hear(key.fd, data)
                elif not data:
                    return
                else:
                    for payload in self._splitter.feed(data):
                        self._take(planner.decode_request(payload))
                        heap.look()
            while self._asked and len(self._forks) < AT_ONCE:
                self._begin(self._asked.popleft())

    def _take(self, message: planner.ToPlanner) -> None:
        match message:
            case Told(delta):
                self._views.apply(delta)
                self._engine.apply(delta)
            case planner.PlanNow(now):
                self._say(planner.Planned(self._engine.plan(now)))
            case planner.Ask():
                self._asked.append(message)

    def _say(self, message: planner.FromPlanner) -> None:
        left = memoryview(planner.frame(message))
        while left:
            left = left[os.write(self._out, left) :]

    def _begin(self, asked: planner.Ask) -> None:
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            self._answer(asked, theirs)
        os.close(theirs)
        self._forks[ours] = child, asked, bytearray()
        self._selector.register(ours, selectors.EVENT_READ)

    def _answer(self, asked: planner.Ask, out: int) -> NoReturn:
        """Work it out, in a process of its own, and end."""
        status = 1
        try:
            signal.alarm(planner.ANSWER_SECONDS)
            os.close(self._in)
            try:
                # What was planned and is not told of yet, the engine takes to have started.
                fresh = self._engine.picture.assumed
                engine = engine_of(self._views.snapshot()) if fresh else self._engine
                found = reply(engine, asked.now, asked.question)
                said = planner.Answer(asked.id, found)
            except OstlerError as error:
                said = planner.failure(asked.id, error)
            self._out = out
            self._say(said)
            status = 0
        except Exception:
            log.exception("an explanation failed")
        finally:
            os._exit(status)

    def _hear(self, pipe: int, data: bytes) -> None:
        child, asked, heard = self._forks[pipe]
        heard += data
        if data:
            return
        self._selector.unregister(pipe)
        os.close(pipe)
        del self._forks[pipe]
        _, status = os.waitpid(child, 0)
        if status:  # it took too long, or met a defect, which is in the log
            self._say(planner.failure(asked.id, planner.late()))
        else:
            left = memoryview(bytes(heard))
            while left:
                left = left[os.write(self._out, left) :]


def main() -> None:
    """Serve stdin and stdout."""
    log_to_stderr()
    take_usual_slices()  # the manager is served first
    heap.look_between()
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the manager ends by it, then we
    with contextlib.suppress(BrokenPipeError):  # nobody is left to hear it
        Worker(sys.stdin.fileno(), sys.stdout.fileno()).serve()


if __name__ == "__main__":
    main()
