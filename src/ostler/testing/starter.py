"""Simulated starters and tasks: what the agent's effects do to processes, in virtual time."""

from collections.abc import Callable
from random import Random

from msgspec import Struct

from ostler.core.agent_words import (
    Phase,
)
from ostler.model.job import TaskExit
from ostler.model.orders import Ended, Launch
from ostler.model.states import Result
from ostler.testing.clock import Timer, VirtualClock
from ostler.testing.ledger import Ledger, Run

TERM, KILL = 15, 9


class Program(Struct, frozen=True):
    """What a simulated task does; its words are the job's command.

    >>> Program(30.0, exit_code=1, failures=2).argv
    (b'simulated', b'30.0', b'1', b'2', b'0')
    """

    seconds: float
    exit_code: int = 0
    failures: int = 0  # attempts that end with 1 before one that ends with `exit_code`
    ignores_term: bool = False

    @property
    def argv(self) -> tuple[bytes, ...]:
        """Return the command of a job whose tasks do this."""
        words = (self.seconds, self.exit_code, self.failures, int(self.ignores_term))
        return (b"simulated", *(str(word).encode() for word in words))

    @classmethod
    def of(cls, launch: Launch) -> "Program":
        """Return what the tasks of a launch do."""
        seconds, code, failures, ignores = launch.argv[1:5]
        return cls(float(seconds), int(code), int(failures), ignores == b"1")


class Starter:
    """One share: it lives beside the agent, and tells whoever is the agent now."""

    def __init__(
        self,
        launch: Launch,
        clock: VirtualClock,
        rng: Random,
        ledger: Ledger,
        tell: Callable[["Starter"], None],
    ) -> None:
        self.launch = launch
        self.phase = Phase.ACCEPTED
        self.row: Ended | None = None
        self.time_limit = launch.time_limit
        self._program = Program.of(launch)
        self._clock = clock
        self._rng = rng
        self._ledger = ledger
        self._tell = tell
        self._run: Run | None = None
        self._begun = launch.start
        self._cause: tuple[str, str] | None = None
        self._worked = 0.0  # seconds of work done before `_since`
        self._since = 0.0
        self._work: Timer | None = None
        self._limit: Timer | None = None
        self._kill: Timer | None = None
        self._frozen = False
        self._dead = False

    @property
    def started_at(self) -> float | None:
        """Return when its tasks started, in Unix seconds; None if they have not."""
        return self._run.began if self._run else None

    def make(self, why_not: str = "") -> None:
        """Make the context, or tell why this node cannot."""
        self._clock.after(self._rng.uniform(0.001, 0.02), lambda: self._made(why_not))

    def begin(self) -> None:
        """Start the tasks as soon as the context is there."""
        self._begun = True
        if self.phase is Phase.MADE:
            self._start()

    def finish(self, cause: str, why: str, grace: float) -> None:
        """SIGTERM now, SIGKILL after `grace` seconds; the first cause is kept."""
        if self.phase is Phase.ENDED:
            return
        self._cause = self._cause or (cause, why)
        if self._run is None:
            self._end_at(self._rng.uniform(0.0, 0.002), 0)
            return
        self._run.ending = self._frozen or self.launch.alloc in self._ledger.suspended
        self.thaw()
        if not self._program.ignores_term:
            self._end_at(self._rng.uniform(0.0, 0.05), TERM)
        else:
            self._end_at(grace, KILL)

    def freeze(self) -> None:
        """Suspend the tasks: no work is done, and no limit comes nearer."""
        if self._run is None or self._frozen or self.phase is Phase.ENDED:
            return
        self._pause()
        self._frozen = self._run.frozen = True

    def thaw(self) -> None:
        """Let the tasks go on."""
        if self._run is not None and self._frozen:
            self._frozen = False
            self._ledger.thaw(self._run)
            self._go()

    def retime(self, seconds: int) -> None:
        """Replace the time limit; 0: none."""
        self.time_limit = seconds
        if self._run is not None and not self._frozen and self.phase is Phase.STARTED:
            self._pause()
            self._go()

    def die(self) -> None:
        """Go down with the host."""
        self._dead = True
        self._pause()
        if self._kill is not None:
            self._kill.cancel()

    def _made(self, why_not: str) -> None:
        if self._dead or self.phase is not Phase.ACCEPTED:
            return
        if why_not:
            self._cause = ("", why_not)
            self._ended(0)
            return
        self.phase = Phase.MADE
        self._tell(self)
        if self._begun:
            self._start()

    def _start(self) -> None:
        if self._dead or self._cause is not None:
            return
        self.phase = Phase.STARTED
        self._run = self._ledger.begin(self.launch.placement.node, self.launch, self._clock.now)
        self._go()
        self._tell(self)

    def _go(self) -> None:
        self._since = self._clock.now
        left = max(self._program.seconds - self._worked, 0.0)
        self._work = self._clock.after(left, lambda: self._ended(0))
        if self.time_limit:
            until_limit = max(self.time_limit - self._worked, 0.0)
            self._limit = self._clock.after(until_limit, self._over_limit)

    def _pause(self) -> None:
        self._worked += self._clock.now - self._since
        self._since = self._clock.now
        for timer in (self._work, self._limit):
            if timer is not None:
                timer.cancel()

    def _over_limit(self) -> None:
        why = f"it ran for longer than its limit of {self.time_limit} s"
        self.finish(Result.TIMEOUT, why, self.launch.grace)

    def _end_at(self, seconds: float, signal: int) -> None:
        timer = self._clock.after(seconds, lambda: self._ended(signal))
        if self._kill is None or self._kill.time > timer.time:
            if self._kill is not None:
                self._kill.cancel()
            self._kill = timer
        else:
            timer.cancel()

    def _ended(self, signal: int) -> None:
        if self._dead or self.phase is Phase.ENDED:
            return
        self._pause()
        for timer in (self._kill,):
            if timer is not None:
                timer.cancel()
        self.phase = Phase.ENDED
        cause, why = self._cause or ("", "")
        tasks: tuple[TaskExit, ...] = ()
        if self._run is not None:
            tasks = self._exits(signal)
            ok = not any(t.code or t.signal for t in tasks)
            self._ledger.end(self._run, self._clock.now, succeeded=ok and not cause)
        self.row = Ended(
            self.launch.alloc, self._clock.now, self.started_at, str(cause), why, tasks
        )
        self._tell(self)

    def _exits(self, signal: int) -> tuple[TaskExit, ...]:
        place = self.launch.placement
        code = 1 if self.launch.attempt <= self._program.failures else self._program.exit_code
        ranks = range(place.first_rank, place.first_rank + place.tasks)
        return tuple(TaskExit(r, 0 if signal else code, signal) for r in ranks)
