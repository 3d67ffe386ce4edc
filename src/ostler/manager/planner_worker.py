"""`python -I -m ostler.manager.planner_worker`: plans for a large machine, and explains.

It has no descriptor but its pipes, no environment and nothing to write to. Explanations are worked
out by forks of it, so that none of them makes a plan late, and the kernel ends those that take long.
"""

import contextlib
import signal
from collections import deque
from functools import partial

from ostler.manager import heap, planner
from ostler.model.errors import OstlerError
from ostler.schedule.decisions import Told
from ostler.schedule.engine import Engine
from ostler.schedule.promised import engine_that_keeps, promised_by
from ostler.schedule.question import reply
from ostler.schedule.views import Views
from ostler.wire import beside
from ostler.wire.beside import Beside, Fork, write_all
from ostler.wire.slices import give_way

AT_ONCE = 2  # explanations


class _Answering(Fork):
    """A fork that explains."""

    def __init__(self, asked: planner.Ask) -> None:
        super().__init__()
        self.asked = asked


class Worker(Beside[_Answering]):
    """One engine, and the views that explanations are worked out from."""

    def __init__(self, given: int, out: int) -> None:
        super().__init__(given, out, planner.MOST)
        self._engine = Engine()
        self._views = Views()
        self._asked: deque[planner.Ask] = deque()

    def take(self, payload: bytes) -> None:
        """Learn what has changed, plan, or keep a question for later."""
        match planner.decode_request(payload):
            case Told(delta):
                self._views.apply(delta)
                self._engine.apply(delta)
            case planner.PlanNow(now):
                self.say(planner.frame(planner.Planned(self._engine.plan(now))))
            case planner.Ask() as asked:
                self._asked.append(asked)
        heap.look()

    def between(self) -> None:
        """Have questions answered, as many as may be at a time."""
        while self._asked and len(self._forks) < AT_ONCE:
            asked = self._asked.popleft()
            self.fork(partial(self._answer, asked), _Answering(asked))

    def _answer(self, asked: planner.Ask, out: int) -> None:
        """Work it out, in a process of its own."""
        signal.alarm(planner.ANSWER_SECONDS)
        try:
            # What was planned and is not told of yet, the engine takes to have started.
            fresh = self._engine.picture.assumed
            engine = self._engine
            if fresh:
                engine = engine_that_keeps(promised_by(engine), self._views.snapshot())
            found = reply(engine, asked.now, asked.question)
            said = planner.Answer(asked.id, found)
        except OstlerError as error:
            said = planner.failure(asked.id, error)
        write_all(out, planner.frame(said))

    def ended(self, fork: _Answering, status: int) -> None:
        """Hand an answer on."""
        if status:
            # It took too long, or met a defect, which is in the log.
            self.say(planner.frame(planner.failure(fork.asked.id, planner.late())))
        else:
            self.say(fork.heard)


def main() -> None:
    """Serve stdin and stdout."""
    pipes = beside.begin()
    give_way()  # the manager is served first, and so is whoever waits for it
    heap.look_between()
    with contextlib.suppress(BrokenPipeError):  # nobody is left to hear it
        Worker(*pipes).serve()


if __name__ == "__main__":
    main()
