"""What a simulated element does: its program, and its tasks while they run, in virtual time."""

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import Struct

from ostler.model.job import Dependency, JobSpec, TaskExit
from ostler.model.orders import Launch
from ostler.model.resources import Request
from ostler.model.states import Result
from ostler.testing.clock import Timer, VirtualClock
from ostler.testing.ledger import Ledger, Run

TERM, KILL = 15, 9


class Program(Struct, frozen=True):
    """What a simulated task does; its words are the job's command.

    >>> Program(30.0, exit_code=1, failures=2).argv
    (b'simulated', b'30.0', b'1', b'2', b'0', b'0')
    """

    seconds: float
    exit_code: int = 0
    failures: int = 0  # attempts that end with 1 before one that ends with `exit_code`
    ignores_term: bool = False
    rejected: bool = False  # no node accepts its context: its user is unknown, say

    @property
    def argv(self) -> tuple[bytes, ...]:
        """Return the command of a job whose tasks do this."""
        flags = int(self.ignores_term), int(self.rejected)
        words = (self.seconds, self.exit_code, self.failures, *flags)
        return (b"simulated", *(str(word).encode() for word in words))

    @classmethod
    def of(cls, launch: Launch) -> "Program":
        """Return what the tasks of a launch do."""
        seconds, code, failures, ignores, rejected = launch.argv[1:6]
        return cls(float(seconds), int(code), int(failures), ignores == b"1", rejected == b"1")


class Site:
    """What everything on one host shares, and what its disk does not take."""

    def __init__(self, name: str, clock: VirtualClock, rng: Random, ledger: Ledger) -> None:
        self.name = name
        self.clock = clock
        self.rng = rng
        self.ledger = ledger
        self.fail_contexts = 0  # so many contexts cannot be made here
        self.fail_programs = 0  # so many prologs or epilogs fail here
        self.no_contexts = False  # nothing of a context can be written here
        self.fail_starts = 0  # so many elements cannot be started here, whatever they ask for


class Tasks:
    """The tasks of one element on one node, from their start to their end.

    `over` is called once, when nothing of them is left.
    """

    def __init__(self, site: Site, run: Run, time_limit: int, over: Callable[[], None]) -> None:
        self.run = run
        self.cause: tuple[str, str] = ("", "")  # what ends them, if it is not themselves
        self._site = site
        self._program = Program.of(run.launch)
        self._time_limit = time_limit
        self._over = over
        self._signal = 0
        self._ended = False
        self._worked = 0.0  # seconds of work done before `_since`
        self._since = 0.0
        self._work: Timer | None = None
        self._limit: Timer | None = None
        self._kill: Timer | None = None
        self._go()

    def finish(self, cause: str, why: str, grace: float) -> None:
        """SIGTERM now, SIGKILL after `grace` seconds; the first cause is kept."""
        if self._ended:
            return
        if not self.cause[0]:
            self.cause = (cause, why)
        site = self._site
        self.run.ending = self.run.frozen or self.run.launch.alloc in site.ledger.suspended
        self.thaw()
        if not self._program.ignores_term:
            self._end_after(site.rng.uniform(0.0, 0.05), TERM)
        else:
            self._end_after(grace, KILL)

    def freeze(self) -> None:
        """Suspend them: no work is done, and no limit comes nearer."""
        if not self.run.frozen and not self._ended:
            self._pause()
            self.run.frozen = True

    def thaw(self) -> None:
        """Let them go on."""
        if self.run.frozen and not self._ended:
            self._site.ledger.thaw(self.run)
            self._go()

    def retime(self, seconds: int) -> None:
        """Replace the time limit; 0: none."""
        self._time_limit = seconds
        if not self.run.frozen and not self._ended:
            self._pause()
            self._go()

    def vanish(self) -> None:
        """Go down with the host."""
        self._ended = True
        self._pause()
        if self._kill is not None:
            self._kill.cancel()

    @property
    def exits(self) -> tuple[TaskExit, ...]:
        """Return how each task ended."""
        place = self.run.launch.placement
        code = 1 if self.run.attempt <= self._program.failures else self._program.exit_code
        ranks = range(place.first_rank, place.first_rank + place.tasks)
        return tuple(TaskExit(r, 0 if self._signal else code, self._signal) for r in ranks)

    def _go(self) -> None:
        self._since = self._site.clock.now
        left = max(self._program.seconds - self._worked, 0.0)
        self._work = self._site.clock.after(left, lambda: self._end(0))
        if self._time_limit:
            until_limit = max(self._time_limit - self._worked, 0.0)
            self._limit = self._site.clock.after(until_limit, self._over_limit)

    def _pause(self) -> None:
        self._worked += self._site.clock.now - self._since
        self._since = self._site.clock.now
        for timer in (self._work, self._limit):
            if timer is not None:
                timer.cancel()

    def _over_limit(self) -> None:
        why = f"it ran for longer than its limit of {self._time_limit} s"
        self.finish(Result.TIMEOUT, why, self.run.launch.grace)

    def _end_after(self, seconds: float, signal: int) -> None:
        timer = self._site.clock.after(seconds, lambda: self._end(signal))
        if self._kill is None or self._kill.time > timer.time:
            if self._kill is not None:
                self._kill.cancel()
            self._kill = timer
        else:
            timer.cancel()

    def _end(self, signal: int) -> None:
        if self._ended:
            return
        self.vanish()
        self._signal = signal
        bad = self.cause[0] or any(t.code or t.signal for t in self.exits)
        self._site.ledger.end(self.run, self._site.clock.now, succeeded=not bad)
        self._over()


def make_spec(seconds: float = 10.0, **named: Any) -> JobSpec:
    """Return the specification of a simulated job; see `SimCluster.submit`."""
    program = {k: named.pop(k) for k in Program.__struct_fields__ if k in named}
    request = {k: named.pop(k) for k in Request.__struct_fields__ if k in named}
    after = tuple(d if isinstance(d, Dependency) else Dependency(d) for d in named.pop("after", ()))
    argv = Program(seconds, **program).argv
    return JobSpec(argv=argv, request=Request(**request), after=after, **named)
